"""What a mail needs against what the next hop offers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import pytest
from tests.delivery.fakes import CONTENT, mail_to

from gatepost.delivery.needs import needs_of, options_for
from gatepost.model.content import BodyForm, Content, SpooledBody
from gatepost.model.envelope import BodyType, Ret
from gatepost.model.queued import QueuedMail
from gatepost.model.reply import Reply
from gatepost.protocol.smtp_client_commands import MailOptions, PeerOffers

ALL = PeerOffers(
    size_bytes=10_000,
    eight_bit_mime=True,
    smtputf8=True,
    dsn=True,
    chunking=True,
    binary_mime=True,
    require_tls=True,
)
NONE = PeerOffers()
EIGHT = PeerOffers(eight_bit_mime=True)
PLAIN = mail_to("b@b.example")
UTF8_TO = mail_to("bö@b.example")
DECLARED_UTF8 = replace(PLAIN, smtputf8=True)
BINARY = replace(PLAIN, body_type=BodyType.BINARY_MIME)
DECLARED_8BIT = replace(PLAIN, body_type=BodyType.EIGHT_BIT_MIME)
ASKS_TLS = replace(PLAIN, require_tls=True)
ASKS_DSN = replace(PLAIN, ret=Ret.HDRS, envid="e1")
EIGHT_BIT = replace(CONTENT, body="ä\r\n".encode())
UTF8_HEAD = replace(CONTENT, head="Subject: ä\r\n\r\n".encode())
SPOOLED_8BIT = Content(head=b"\r\n", body=SpooledBody("x", 5, 0), form=BodyForm(has_8bit=True))
WITH_NUL = replace(CONTENT, form=BodyForm(has_nul=True))
WITH_BARE_LF = replace(CONTENT, form=BodyForm(bare_newlines=True))
SIZE = CONTENT.size_bytes


def with_line(octets: int) -> Content:
    return replace(CONTENT, form=BodyForm(longest_line_bytes=octets))


@dataclass(frozen=True)
class Case:
    name: str
    offers: PeerOffers
    then: MailOptions | str
    mail: QueuedMail = field(default=PLAIN, repr=False)
    content: Content = field(default=CONTENT, repr=False)
    setting: Literal["send", "fail"] = "send"


CASES = [
    Case("plain mail to anybody", NONE, MailOptions()),
    Case("SIZE is told to who asked", replace(NONE, size_bytes=10_000), MailOptions(size_bytes=SIZE)),
    Case("exactly the size", replace(NONE, size_bytes=SIZE), MailOptions(size_bytes=SIZE)),
    Case("one octet too large", replace(NONE, size_bytes=SIZE - 1), "5.3.4"),
    Case("8-bit content", EIGHT, MailOptions(body=BodyType.EIGHT_BIT_MIME), content=EIGHT_BIT),
    Case("8-bit content to an old host", NONE, MailOptions(), content=EIGHT_BIT),
    Case("8-bit content to an old host, strict", NONE, "5.6.3", content=EIGHT_BIT, setting="fail"),
    Case("8-bit content in a file, strict", NONE, "5.6.3", content=SPOOLED_8BIT, setting="fail"),
    Case("declared 8BITMIME, is ASCII, strict", NONE, MailOptions(), mail=DECLARED_8BIT, setting="fail"),
    Case("binary", ALL, MailOptions(size_bytes=SIZE, body=BodyType.BINARY_MIME), mail=BINARY),
    Case("binary without BINARYMIME", replace(NONE, chunking=True), "5.6.1", mail=BINARY, content=WITH_NUL),
    Case("binary without CHUNKING", replace(NONE, binary_mime=True), "5.6.1", mail=BINARY, content=WITH_NUL),
    Case("binary by a bare LF", EIGHT, "5.6.1", mail=BINARY, content=WITH_BARE_LF),
    Case("binary by a line above 998", EIGHT, "5.6.1", mail=BINARY, content=with_line(999)),
    Case("declared binary, lines of 998", NONE, MailOptions(), mail=BINARY, content=with_line(998)),
    Case("declared binary, is text", NONE, MailOptions(), mail=BINARY),
    Case(
        "declared binary, 8-bit text", EIGHT, MailOptions(body=BodyType.EIGHT_BIT_MIME), mail=BINARY, content=EIGHT_BIT
    ),
    Case("declared binary, is 8-bit text, strict", NONE, "5.6.3", mail=BINARY, content=EIGHT_BIT, setting="fail"),
    Case("a local part in Unicode", replace(NONE, smtputf8=True), MailOptions(smtputf8=True), mail=UTF8_TO),
    Case("a local part in Unicode, no SMTPUTF8", NONE, "5.6.7", mail=UTF8_TO),
    Case("asked for SMTPUTF8, needs it", NONE, "5.6.7", mail=DECLARED_UTF8, content=UTF8_HEAD),
    Case("asked for SMTPUTF8, does not need it", NONE, MailOptions(), mail=DECLARED_UTF8),
    Case("a raw 8-bit head without SMTPUTF8 is 8-bit mail", NONE, MailOptions(), content=UTF8_HEAD),
    Case("REQUIRETLS", replace(NONE, require_tls=True), MailOptions(require_tls=True), mail=ASKS_TLS),
    Case("REQUIRETLS is not offered", NONE, "5.7.30", mail=ASKS_TLS),
    Case("DSN", replace(NONE, dsn=True), MailOptions(ret=Ret.HDRS, envid="e1"), mail=ASKS_DSN),
    Case("no DSN", NONE, MailOptions(), mail=ASKS_DSN),
]  # fmt: skip


@pytest.mark.threat("K05")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_options(case: Case) -> None:
    needs = needs_of(case.mail, [r.recipient for r in case.mail.recipients], case.content)
    result = options_for(case.mail, needs, case.offers, case.setting)
    if isinstance(case.then, str):
        assert isinstance(result, Reply)
        assert result.is_permanent
        assert result.enhanced == case.then
    else:
        assert result == case.then
