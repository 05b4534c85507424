"""What a next hop offers, and MAIL and RCPT with the parameters it understands: no value becomes a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.test_client_engine import events

from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.model.fault import WorldFault
from gatepost.protocol.smtp_client import (
    ClientEngine,
)
from gatepost.protocol.smtp_client_commands import (
    MailOptions,
    PeerOffers,
    mail_command,
    parse_offers,
    rcpt_command,
)

OFFERS = [
    ("nothing", [], PeerOffers()),
    ("SIZE", [b"SIZE 36700160"], PeerOffers(size_bytes=36700160)),
    ("SIZE without a number", [b"SIZE"], PeerOffers()),
    ("SIZE of 18 digits", [b"SIZE " + b"9" * 18], PeerOffers(size_bytes=10**18 - 1)),
    ("SIZE of 19 digits", [b"SIZE 1" + b"0" * 18], PeerOffers()),
    ("SIZE of 40 digits", [b"SIZE " + b"9" * 40], PeerOffers()),
    ("SIZE below zero", [b"SIZE -1"], PeerOffers()),
    ("lower case", [b"pipelining"], PeerOffers(pipelining=True)),
    ("AUTH with a blank", [b"AUTH PLAIN LOGIN"], PeerOffers(auth=("PLAIN", "LOGIN"))),
    ("AUTH as of old", [b"AUTH=LOGIN"], PeerOffers(auth=("LOGIN",))),
    ("LIMITS", [b"LIMITS MAILMAX=5 RCPTMAX=20"], PeerOffers(rcpt_max=20)),
    ("junk", [b"\xff\x00", b"", b"-", b"X" * 900], PeerOffers()),
    (
        "everything",
        [b"8BITMIME", b"SMTPUTF8", b"DSN", b"CHUNKING", b"BINARYMIME", b"STARTTLS", b"REQUIRETLS"],
        PeerOffers(
            eight_bit_mime=True,
            smtputf8=True,
            dsn=True,
            chunking=True,
            binary_mime=True,
            starttls=True,
            require_tls=True,
        ),
    ),
]


@pytest.mark.threat("N07")
@pytest.mark.parametrize(("name", "lines", "then"), OFFERS, ids=[o[0] for o in OFFERS])
def test_parse_offers(name: str, lines: list[bytes], then: PeerOffers) -> None:
    assert parse_offers([b"mx.example", *lines]) == then


@pytest.mark.threat("N07")
def test_an_ehlo_of_10000_keywords_breaks_the_conversation() -> None:
    engine = ClientEngine("us.example")
    events(engine, b"220 x\r\n")
    engine.hello()
    with pytest.raises(WorldFault):
        events(engine, b"".join(b"250-X%d\r\n" % n for n in range(10_000)))


def test_mail_with_every_parameter() -> None:
    options = MailOptions(
        size_bytes=7,
        body=BodyType.EIGHT_BIT_MIME,
        smtputf8=True,
        require_tls=True,
        ret=Ret.HDRS,
        envid="a+b=c d",
    )
    assert (
        mail_command(Address("ä", "a.example"), options)
        == (
            "MAIL FROM:<ä@a.example> SIZE=7 BODY=8BITMIME SMTPUTF8 REQUIRETLS RET=HDRS ENVID=a+2Bb+3Dc+20d\r\n"
        ).encode()
    )


@pytest.mark.parametrize(
    ("octets", "then"),
    [(100, b" ENVID=" + b"x" * 100 + b"\r\n"), (101, b"<>\r\n")],
    ids=["at the limit", "above"],
)
def test_the_longest_envid(octets: int, then: bytes) -> None:
    assert mail_command(NULL_SENDER, MailOptions(envid="x" * octets)).endswith(then)


@pytest.mark.threat("A14")
@pytest.mark.parametrize("octet", ["\r", "\n", "\0", "\x7f"], ids=repr)
def test_an_address_that_a_bug_of_ours_tore_is_never_sent(octet: str) -> None:
    address = Address("b", "b.example")
    object.__setattr__(address, "domain", f"b.example>{octet}RSET")
    with pytest.raises(ValueError):
        mail_command(address, MailOptions())


def test_the_null_sender() -> None:
    assert mail_command(NULL_SENDER, MailOptions()) == b"MAIL FROM:<>\r\n"


RCPT_CASES = [
    ("no DSN offered", Notify.FAILURE, "rfc822;x@y", False, False, ""),
    ("nothing asked for", Notify.DEFAULT, "", True, False, ""),
    ("NEVER", Notify.NEVER, "", True, False, " NOTIFY=NEVER"),
    ("several", Notify.DELAY | Notify.SUCCESS, "", True, False, " NOTIFY=SUCCESS,DELAY"),
    ("ORCPT", Notify.DEFAULT, "rfc822;x+y@z", True, False, " ORCPT=rfc822;x+2By@z"),
    ("ORCPT in Unicode", Notify.DEFAULT, "utf-8;ä\\@z", True, True, r" ORCPT=utf-8;\x{E4}\x{5C}@z"),
    ("ORCPT in Unicode without SMTPUTF8", Notify.DEFAULT, "utf-8;ä@z", True, False, ""),
    ("ORCPT without a type", Notify.DEFAULT, "x@z", True, False, ""),
    ("ORCPT of 500 octets", Notify.DEFAULT, "x;" + "y" * 498, True, False, " ORCPT=x;" + "y" * 498),
    ("ORCPT of 501 octets", Notify.DEFAULT, "x;" + "y" * 499, True, False, ""),
    ("ORCPT that is too long", Notify.DEFAULT, "rfc822;" + "x" * 500, True, False, ""),
]


@pytest.mark.parametrize(
    ("name", "notify", "orcpt", "dsn", "smtputf8", "then"), RCPT_CASES, ids=[c[0] for c in RCPT_CASES]
)
def test_rcpt(name: str, notify: Notify, orcpt: str, dsn: bool, smtputf8: bool, then: str) -> None:
    recipient = Recipient(address=Address("b", "b.example"), notify=notify, orcpt=orcpt)
    assert rcpt_command(recipient, dsn=dsn, smtputf8=smtputf8) == f"RCPT TO:<b@b.example>{then}\r\n".encode()


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=40), st.text(max_size=40))
def test_no_value_becomes_a_second_command(local: str, domain: str, envid: str, orcpt: str) -> None:
    try:
        address = Address(local, domain)
        lines = [
            mail_command(address, MailOptions(envid=envid)),
            rcpt_command(Recipient(address=address, orcpt=f"rfc822;{orcpt}"), dsn=True, smtputf8=True),
        ]
    except (ValueError, UnicodeEncodeError):
        return
    for line in lines:
        assert line.endswith(b"\r\n")
        assert line.count(b"\r") == line.count(b"\n") == 1
