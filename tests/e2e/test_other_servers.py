"""Exim and OpenSMTPD on both sides: as senders by TLS and BDAT or one command at a time, and as next hops."""

from __future__ import annotations

import smtplib
from collections.abc import Callable, Iterator
from email import message_from_bytes

import pytest
from tests.services.apart import why_not
from tests.services.exim import EximServer
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.opensmtpd import OpensmtpdServer

Gateways = Callable[..., GatewayUnderTest]
OFFICE = (
    "[receive-connectors.test.ranges.office]",
    'addresses = ["127.0.0.1"]',
    'rights = ["submit", "relay", "any-sender", "own-domain-sender", "routing-headers", "internal"]',
)
YOU, ANN = "you@there.example", "ann@ours.example"
NOBODY = "nobody@elsewhere.example"
TEXT = "Grüße\r\n.\r\n..\r\n" + "x" * 990 + "\r\n"
HEAD = "From: you@there.example\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"


@pytest.fixture(params=[EximServer, OpensmtpdServer], ids=["exim", "opensmtpd"])
def server(request: pytest.FixtureRequest) -> Iterator[EximServer | OpensmtpdServer]:
    if reason := why_not(request.param.PACKAGE):
        pytest.skip(reason)
    made = request.param()
    yield made
    made.stop()


def send(server: EximServer | OpensmtpdServer, *to: str, subject: str = "hello", size: int = 1) -> None:
    """By the server's door to the gateway."""
    text = f"{HEAD}Content-Transfer-Encoding: 8bit\r\nSubject: {subject}\r\n\r\n{TEXT * size}".encode()
    with smtplib.SMTP("127.0.0.1", server.outbound) as client:
        assert client.sendmail(YOU, to, text, ["BODY=8BITMIME"]) == {}


@pytest.mark.slow  # a mail server and a gateway start, and mail goes through three queues
def test_both_ways(gateway: Gateways, server: EximServer | OpensmtpdServer) -> None:
    # Given a server that sends everything to the gateway, and is the gateway's next hop
    running = gateway(smart_host=f"[127.0.0.1]:{server.port}", connector=OFFICE)
    server.start(gateway=running.port)
    # When mails go round, a large one too
    send(server, ANN, "bob@ours.example")
    send(server, "postmaster@ours.example", size=500)
    # Then they come back as they were, over TLS where it is to be had
    (mail,) = wait_until(lambda: server.mails("ann"))
    (large,) = wait_until(lambda: server.mails("postmaster"))
    wait_until(lambda: server.mails("bob"))
    for got, size in ((mail, 1), (large, 500)):
        assert got.replace(b"\r\n", b"\n").endswith((TEXT * size).replace("\r\n", "\n").encode())
        last, ours = [
            " ".join(str(field).split()) for field in message_from_bytes(got).get_all("Received", ())
        ][:2]
        assert "by mx.ours.example with ESMTPS" in ours
        assert ("ESMTPS" in last.upper()) is server.SERVES_TLS
    # Somebody it does not know is refused by the gateway: the server itself tells the sender
    send(server, "unknown@ours.example", subject="to nobody of ours")
    (bounce,) = wait_until(lambda: server.mails("you"))
    assert b"Recipient" in bounce
    assert b"550" in bounce
    # Somebody whom the next hop refuses: the gateway tells the sender
    send(server, NOBODY, subject="to nobody there")
    wait_until(lambda: len(server.mails("you")) == 2)
    (notice,) = [one for one in server.mails("you") if b"Reporting-MTA: dns; mx.ours.example" in one]
    assert f"Final-Recipient: rfc822; {NOBODY}".encode() in notice
    assert b"\nStatus: 5." in notice
    wait_until(lambda: running.cli("queue", "list").stdout.startswith("the queue is empty"))
