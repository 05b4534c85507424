"""Parameters of MAIL and RCPT, and xtext: what is understood, what is refused with which reply."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests.protocol.talk import HELLO, OFFER, Talk

from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.protocol.events import Mail, Offer, Rcpt
from gatepost.protocol.smtp_client_commands import xtext
from gatepost.protocol.xtext import decode_xtext

TLS_OFFER = replace(OFFER, require_tls=True, auth=("PLAIN",))


def said(command: str, offer: Offer = TLS_OFFER, *, first: bytes = b"") -> tuple[str, object]:
    talk = Talk(offer=offer, tls=True)
    talk.say(HELLO + b"" if not first else HELLO)
    if first:
        talk.say(first)
    return talk.codes(command.encode() + b"\r\n")[0], talk.events[-1]


@dataclass(frozen=True, slots=True)
class Asked:
    name: str
    text: str
    fields: dict[str, object]


MAIL_ASKED = [
    Asked("nothing", "", {}),
    Asked("blanks", "   ", {}),
    Asked("SIZE", " SIZE=100000", {"size_declared": 100000}),
    Asked("SIZE zero", " SIZE=0", {"size_declared": 0}),
    Asked("lower case", " size=12 body=8bitmime", {"size_declared": 12, "body": BodyType.EIGHT_BIT_MIME}),
    Asked("two blanks", "  SIZE=12  RET=FULL ", {"size_declared": 12, "ret": Ret.FULL}),
    Asked("7BIT", " BODY=7BIT", {"body": BodyType.SEVEN_BIT}),
    Asked("BINARYMIME", " BODY=BinaryMime", {"body": BodyType.BINARY_MIME}),
    Asked("SMTPUTF8", " SMTPUTF8", {"smtputf8": True}),
    Asked("REQUIRETLS", " REQUIRETLS", {"require_tls": True}),
    Asked("RET", " RET=hdrs", {"ret": Ret.HDRS}),
    Asked("ENVID", " ENVID=a+2Bb+3Dc", {"envid": "a+b=c"}),
    Asked("ENVID of 100 octets", " ENVID=" + "a" * 100, {"envid": "a" * 100}),
    Asked("AUTH", " AUTH=e+3Dmc2@example.com", {"auth": "e=mc2@example.com"}),
    Asked("AUTH unknown", " AUTH=<>", {"auth": "<>"}),
]


@pytest.mark.parametrize("asked", MAIL_ASKED, ids=lambda a: a.name)
def test_parameters_of_mail(asked: Asked) -> None:
    code, event = said(f"MAIL FROM:<ann@client.example>{asked.text}")
    assert code == "250 2.0.0"
    assert isinstance(event, Mail)
    plain = Mail(sender=event.sender)
    assert event == structs.replace(plain, **asked.fields)


RCPT_ASKED = [
    Asked(
        "NOTIFY", " NOTIFY=SUCCESS,failure,DELAY", {"notify": Notify.SUCCESS | Notify.FAILURE | Notify.DELAY}
    ),
    Asked("NEVER", " NOTIFY=NEVER", {"notify": Notify.NEVER}),
    Asked("ORCPT", " ORCPT=rfc822;Bob+2Bx@b.test", {"orcpt": "rfc822;Bob+x@b.test"}),
    Asked("ORCPT of 500 octets", " ORCPT=x;" + "a" * 498, {"orcpt": "x;" + "a" * 498}),
]


@pytest.mark.parametrize("asked", RCPT_ASKED, ids=lambda a: a.name)
def test_parameters_of_rcpt(asked: Asked) -> None:
    code, event = said(f"RCPT TO:<bob@ours.example>{asked.text}", first=b"MAIL FROM:<>\r\n")
    assert code == "250 2.0.0"
    assert isinstance(event, Rcpt)
    plain = Recipient(address=event.recipient.address)
    assert event.recipient == replace(plain, **asked.fields)  # type: ignore[arg-type]  # fields of Recipient


def test_an_international_orcpt_needs_smtputf8() -> None:
    command = "RCPT TO:<jür@ours.example> ORCPT=utf-8;jür@x.test"
    code, event = said(command, first=b"MAIL FROM:<> SMTPUTF8\r\n")
    assert isinstance(event, Rcpt)
    assert (code, event.recipient.orcpt) == ("250 2.0.0", "utf-8;jür@x.test")
    assert said("RCPT TO:<b@o.test> ORCPT=utf-8;jür@x.test", first=b"MAIL FROM:<>\r\n")[0] == "501 5.5.4"


MAIL_REFUSED = [
    ("unknown", "FOO=1", "555 5.5.4"),
    ("unknown without value", "FOO", "555 5.5.4"),
    ("of RCPT", "NOTIFY=NEVER", "555 5.5.4"),
    ("FUTURERELEASE", "HOLDFOR=1000", "555 5.5.4"),
    ("DELIVERBY", "BY=120;R", "555 5.5.4"),
    ("MT-PRIORITY", "MT-PRIORITY=3", "555 5.5.4"),
    ("2 KB long", "X=" + "a" * 1950, "555 5.5.4"),
    ("twice", "SIZE=1 SIZE=1", "501 5.5.4"),
    ("RET twice", "RET=FULL RET=HDRS", "501 5.5.4"),
    ("twice in other case", "RET=FULL ret=FULL", "501 5.5.4"),
    ("no value", "SIZE=", "501 5.5.4"),
    ("no equals sign", "SIZE", "501 5.5.4"),
    ("BODY without value", "BODY", "501 5.5.4"),
    ("RET without value", "RET", "501 5.5.4"),
    ("ENVID without value", "ENVID", "501 5.5.4"),
    ("AUTH without value", "AUTH", "501 5.5.4"),
    ("two equals signs", "SIZE=1=2", "501 5.5.4"),
    ("no keyword", "=1", "501 5.5.4"),
    ("unknown, with an equals sign and nothing", "FOO=", "501 5.5.4"),
    ("a bad keyword", "SI_ZE=1", "501 5.5.4"),
    ("a keyword that begins with a hyphen", "-SIZE=1", "501 5.5.4"),
    ("SMTPUTF8 with a value", "SMTPUTF8=1", "501 5.5.4"),
    ("REQUIRETLS with a value", "REQUIRETLS=yes", "501 5.5.4"),
    ("SIZE of 20 digits", "SIZE=99999999999999999999", "552 5.3.4"),
    ("SIZE one above the limit", "SIZE=100001", "552 5.3.4"),
    ("SIZE of 21 digits", "SIZE=" + "0" * 21, "501 5.5.4"),
    ("SIZE negative", "SIZE=-1", "501 5.5.4"),
    ("SIZE a word", "SIZE=abc", "501 5.5.4"),
    ("SIZE with other digits", "SIZE=١٢", "501 5.5.4"),
    ("BODY unknown", "BODY=9BIT", "501 5.5.4"),
    ("RET unknown", "RET=NONE", "501 5.5.4"),
    ("ENVID with NUL", "ENVID=a+00b", "501 5.5.4"),
    ("ENVID with CR LF", "ENVID=a+0D+0Ab", "501 5.5.4"),
    ("ENVID with 8-bit", "ENVID=a+FFb", "501 5.5.4"),
    ("ENVID beyond ASCII", "SMTPUTF8 ENVID=ü", "501 5.5.4"),
    ("ENVID that is not xtext", "ENVID=a+2", "501 5.5.4"),
    ("ENVID with lower case hex", "ENVID=a+2b", "501 5.5.4"),
    ("ENVID of 101 octets", "ENVID=" + "a" * 101, "501 5.5.4"),
    ("AUTH of 501 octets", "AUTH=" + "a" * 501, "501 5.5.4"),
]


@pytest.mark.threat("B18", "B19", "B21", "B22", "B24")
@pytest.mark.parametrize(("name", "text", "code"), MAIL_REFUSED, ids=[r[0] for r in MAIL_REFUSED])
def test_refused_parameters_of_mail(name: str, text: str, code: str) -> None:
    assert said(f"MAIL FROM:<ann@client.example> {text}")[0] == code


RCPT_REFUSED = [
    ("of MAIL", "SIZE=1", "555 5.5.4"),
    ("NEVER beside others", "NOTIFY=NEVER,FAILURE", "501 5.5.4"),
    ("NOTIFY unknown", "NOTIFY=ALWAYS", "501 5.5.4"),
    ("NOTIFY default", "NOTIFY=DEFAULT", "501 5.5.4"),
    ("NOTIFY empty item", "NOTIFY=SUCCESS,", "501 5.5.4"),
    ("NOTIFY without value", "NOTIFY", "501 5.5.4"),
    ("ORCPT without value", "ORCPT", "501 5.5.4"),
    ("ORCPT without type", "ORCPT=bob@b.test", "501 5.5.4"),
    ("ORCPT without address", "ORCPT=rfc822;", "501 5.5.4"),
    ("ORCPT with an empty type", "ORCPT=;bob", "501 5.5.4"),
    ("ORCPT with a bad type", "ORCPT=rf+c;bob", "501 5.5.4"),
    ("ORCPT with CR LF", "ORCPT=rfc822;a+0D+0Ab", "501 5.5.4"),
    ("ORCPT of 501 octets", "ORCPT=x;" + "a" * 499, "501 5.5.4"),
]


@pytest.mark.threat("B18", "B21", "B22")
@pytest.mark.parametrize(("name", "text", "code"), RCPT_REFUSED, ids=[r[0] for r in RCPT_REFUSED])
def test_refused_parameters_of_rcpt(name: str, text: str, code: str) -> None:
    assert said(f"RCPT TO:<bob@ours.example> {text}", first=b"MAIL FROM:<>\r\n")[0] == code


NOT_OFFERED = [
    ("SMTPUTF8", "SMTPUTF8", replace(OFFER, smtputf8=False)),
    ("RET", "RET=FULL", replace(OFFER, dsn=False)),
    ("ENVID", "ENVID=a", replace(OFFER, dsn=False)),
    ("AUTH", "AUTH=<>", OFFER),
    ("REQUIRETLS", "REQUIRETLS", OFFER),
    ("BINARYMIME without CHUNKING", "BODY=BINARYMIME", replace(OFFER, chunking=False)),
    ("BINARYMIME", "BODY=BINARYMIME", replace(OFFER, binary_mime=False)),
    ("BODY at all", "BODY=7BIT", replace(OFFER, chunking=False, eight_bit_mime=False)),
]


@pytest.mark.threat("B22", "B24")
@pytest.mark.parametrize(("name", "text", "offer"), NOT_OFFERED, ids=[n[0] for n in NOT_OFFERED])
def test_what_was_not_offered_is_unknown(name: str, text: str, offer: Offer) -> None:
    assert said(f"MAIL FROM:<a@b.test> {text}", offer)[0] == "555 5.5.4"


@pytest.mark.parametrize(
    ("text", "offer"),
    [
        ("BODY=8BITMIME", replace(OFFER, chunking=False)),
        ("BODY=BINARYMIME", replace(OFFER, eight_bit_mime=False)),
    ],
)
def test_either_of_two_extensions_brings_body(text: str, offer: Offer) -> None:
    assert said(f"MAIL FROM:<a@b.test> {text}", offer)[0] == "250 2.0.0"


def test_dsn_of_recipients_not_offered() -> None:
    for text in ("NOTIFY=NEVER", "ORCPT=rfc822;a"):
        assert (
            said(f"RCPT TO:<a@b.test> {text}", replace(OFFER, dsn=False), first=b"MAIL FROM:<>\r\n")[0]
            == "555 5.5.4"
        )


@pytest.mark.threat("B24")
def test_requiretls_only_under_tls() -> None:
    talk = Talk(offer=TLS_OFFER)
    talk.say(HELLO)
    assert talk.codes(b"MAIL FROM:<a@b.test> REQUIRETLS\r\n") == ["555 5.5.4"]


def test_size_without_a_limit() -> None:
    assert (
        said("MAIL FROM:<a@b.test> SIZE=99999999999999999999", replace(OFFER, size_bytes=0))[0] == "250 2.0.0"
    )


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E)))
def test_xtext_comes_back(text: str) -> None:
    assert decode_xtext(xtext(text)) == text


@pytest.mark.parametrize(
    "text", ["a b", "a=b", "a+", "a+4", "a+4g", "a+4a", "ä", "a\x7f", "+7F", "+80", "+09"]
)
def test_not_xtext(text: str) -> None:
    with pytest.raises(ValueError):
        decode_xtext(text)


@pytest.mark.parametrize("text", ["a\x85", "a\xa0b", "a\u2028b", "a b", "+FF"])
def test_not_international_xtext(text: str) -> None:
    with pytest.raises(ValueError):
        decode_xtext(text, utf8=True)
