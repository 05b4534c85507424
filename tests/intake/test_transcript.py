"""What the protocol log shows of a command is what the client said, parameters and all."""

from __future__ import annotations

import pytest

from gatepost.intake.transcript import command_text
from gatepost.model.content import BodyForm
from gatepost.protocol.events import EndOfData, Offer
from gatepost.protocol.smtp_commands import read_mail, read_rcpt

OFFER = Offer(hostname="ours.example", size_bytes=0, auth=("PLAIN",), require_tls=True)
MAILS = [
    "MAIL FROM:<a@b.example>",
    "MAIL FROM:<>",
    "MAIL FROM:<a@b.example> SIZE=0 BODY=8BITMIME",
    "MAIL FROM:<a@b.example> BODY=BINARYMIME",
    "MAIL FROM:<jürgen@b.example> SIZE=7 SMTPUTF8 REQUIRETLS RET=HDRS ENVID=order+207",
    "MAIL FROM:<a@b.example> AUTH=<>",
    "MAIL FROM:<a@b.example> AUTH=ann+2Bx@b.example",
]
RCPTS = [
    "RCPT TO:<a@b.example>",
    "RCPT TO:<jürgen@b.example> NOTIFY=NEVER",
    "RCPT TO:<a@b.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;x+2By@c.example",
    "RCPT TO:<postmaster>",
]


@pytest.mark.parametrize("line", MAILS)
def test_mail(line: str) -> None:
    assert command_text(read_mail(line[5:], OFFER, tls=True)) == line


@pytest.mark.parametrize("line", RCPTS)
def test_rcpt(line: str) -> None:
    assert command_text(read_rcpt(line[5:], OFFER, utf8=True)) == line


def test_content_by_its_command() -> None:
    assert command_text(EndOfData(BodyForm(size_bytes=7))) == "(end of message, 7 octets of body)"
    chunked = EndOfData(BodyForm(size_bytes=7), by_bdat=True)
    assert command_text(chunked) == "BDAT LAST (end of message, 7 octets of body)"
