"""The trace fields we write, whatever the peer calls itself."""

from __future__ import annotations

import email
import email.policy
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gatepost.message.fields import date_text, field
from gatepost.message.headers import HeaderIndex
from gatepost.message.origin import read_hop
from gatepost.message.trace import completing_fields, received_field
from gatepost.model.address import Address
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.session import Rights, Session, TlsInfo

NOW = 1_795_352_700.0  # Sun, 22 Nov 2026 13:05:00
BOB = Address("bob", "example.com")
SESSION = Session(
    session_id="0" * 16,
    connector="internet",
    client_ip="192.0.2.1",
    client_port=40000,
    local_ip="192.0.2.25",
    local_port=25,
    started_at=NOW,
    helo="client.example.net",
    esmtp=True,
)
MAIL = Envelope(sender=Address("ann", "example.net"), recipients=(Recipient(address=BOB),))


def received(session: Session = SESSION, envelope: Envelope = MAIL, recipient: Address | None = BOB) -> str:
    """The field's unfolded value."""
    octets = received_field(
        session, envelope, hostname="mx.example.com", mail_id="1k3v8q0zt4w00", now=NOW, recipient=recipient
    )
    index = HeaderIndex.parse(octets + b"\r\n")
    assert [name for name, _ in index.fields] == [b"received"]
    assert not index.defects
    return index.fields[0].value.decode()


def test_the_usual_received_field() -> None:
    assert received() == (
        "from client.example.net ([192.0.2.1]) by mx.example.com with ESMTP id 1k3v8q0zt4w00 "
        "for <bob@example.com>; Sun, 22 Nov 2026 13:05:00 +0000"
    )


@pytest.mark.parametrize(
    ("helo", "then"),
    [
        ("client.example.net", "from client.example.net (unverified [192.0.2.1]) by"),
        ("", "from [192.0.2.1] (unverified) by"),
        ("od d", "from [192.0.2.1] (HELO od?d) (unverified) by"),
    ],
)
def test_an_address_whose_names_do_not_lead_back_is_marked(helo: str, then: str) -> None:
    octets = received_field(
        structs.replace(SESSION, helo=helo),
        MAIL,
        hostname="mx.example.com",
        mail_id="1k3v8q0zt4w00",
        now=NOW,
        recipient=None,
        unverified=True,
    )
    value = HeaderIndex.parse(octets + b"\r\n").fields[0].value
    assert value.decode().startswith(then)
    # And another Gatepost finds the address all the same
    hop = read_hop(value)
    assert hop is not None
    assert hop.address == "192.0.2.1"


MODERN = TlsInfo(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", bits=256)
OLDER = TlsInfo(version="TLSv1.2", cipher="ECDHE-RSA-AES256-GCM-SHA384", bits=256)
UTF8_BOB = Address("böb", "example.com")
SHOWS = [
    ("HELO is SMTP", structs.replace(SESSION, esmtp=False), MAIL, BOB, "with SMTP id"),
    ("TLS", structs.replace(SESSION, tls=MODERN), MAIL, BOB, "with ESMTPS (TLSv1.3) id"),
    ("its registered cipher", structs.replace(SESSION, tls=MODERN), MAIL, BOB, "tls TLS_AES_256_GCM_SHA384;"),
    (
        "another cipher",
        structs.replace(SESSION, tls=OLDER),
        MAIL,
        BOB,
        "(TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384) id",
    ),
    ("AUTH", structs.replace(SESSION, tls=MODERN, user="ann"), MAIL, BOB, "with ESMTPSA"),
    (
        "SMTPUTF8",
        SESSION,
        structs.replace(MAIL, smtputf8=True),
        UTF8_BOB,
        "with UTF8SMTP id 1k3v8q0zt4w00 for <böb@example.com>",
    ),
    (
        "an IPv6 client",
        structs.replace(SESSION, client_ip="2001:db8::1"),
        MAIL,
        BOB,
        "([IPv6:2001:db8::1]) by",
    ),
    (
        "a literal as HELO",
        structs.replace(SESSION, helo="[192.0.2.9]"),
        MAIL,
        BOB,
        "from [192.0.2.9] ([192.0.2.1]) by",
    ),
    ("several recipients", SESSION, MAIL, None, "id 1k3v8q0zt4w00; Sun"),
    ("a quoted local part", SESSION, MAIL, Address("b(o>b", "example.com"), 'for <"b(o>b"@example.com>;'),
]


@pytest.mark.parametrize(
    ("session", "mail", "recipient", "shown"), [s[1:] for s in SHOWS], ids=[s[0] for s in SHOWS]
)
def test_received_shows(session: Session, mail: Envelope, recipient: Address | None, shown: str) -> None:
    assert shown in received(session, mail, recipient)


def test_received_hides_what_an_ascii_hop_cannot_read() -> None:
    assert " for " not in received(recipient=UTF8_BOB)


@pytest.mark.threat("S09")
def test_received_names_neither_product_nor_version_nor_inside() -> None:
    text = received(structs.replace(SESSION, tls=MODERN, user="ann")).lower()
    assert "gatepost" not in text
    assert "192.0.2.25" not in text
    assert "ann" not in text


HELOS = [
    ("empty", "", "from [192.0.2.1] by"),
    ("a comment's end", "a) by evil (b", "from [192.0.2.1] (HELO a??by?evil??b) by"),
    ("a script", "<script>", "(HELO ?script?)"),
    ("a format", "%s%n{0.__class__}${jndi:x}", "(HELO ?s?n?0.__class__???jndi:x?)"),
    ("SQL", "x';drop table--", "(HELO x??drop?table--)"),
    ("a semicolon", "a; Mon, 1 Jan", "(HELO a??Mon??1?Jan)"),
    ("letters beyond ASCII", "bücher.example", "(HELO b?cher.example)"),
    ("a broken literal", "[1.2.3.4", "(HELO [1.2.3.4)"),
    ("ten thousand letters", "a" * 10_000, f"(HELO {'a' * 255})"),
]


@pytest.mark.threat("B15", "B37")
@pytest.mark.parametrize(("helo", "shown"), [h[1:] for h in HELOS], ids=[h[0] for h in HELOS])
def test_whatever_the_peer_calls_itself(helo: str, shown: str) -> None:
    assert shown in received(structs.replace(SESSION, helo=helo))


LOCALS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=64)


@pytest.mark.threat("B15", "B37")
@given(helo=st.text(max_size=300), local=LOCALS, utf8=st.booleans())
def test_no_peer_text_breaks_the_field(helo: str, local: str, utf8: bool) -> None:
    # Given any HELO and any local part, with CR and LF among them
    octets = received_field(
        structs.replace(SESSION, helo=helo),
        structs.replace(MAIL, smtputf8=utf8),
        hostname="mx.example.com",
        mail_id="1k3v8q0zt4w00",
        now=NOW,
        recipient=Address(local, "example.com"),
    )
    # Then there is one field, its lines are short, and its date is where dates are
    assert octets.endswith(b"; Sun, 22 Nov 2026 13:05:00 +0000\r\n") or octets.replace(
        b"\r\n ", b" "
    ).endswith(b"; Sun, 22 Nov 2026 13:05:00 +0000\r\n")
    assert octets.count(b"\r\nReceived") == 0
    lines = octets.removesuffix(b"\r\n").split(b"\r\n")
    assert all(line.startswith(b" ") and line.strip() for line in lines[1:])
    assert all(len(line) <= 998 and b"\r" not in line and b"\n" not in line for line in lines)
    # And the "from" clause cannot be continued by the peer: it says "by" once, ours
    clauses = octets.replace(b"\r\n", b"").partition(b" by mx.example.com with ")
    assert clauses[0].count(b" by ") == 0


USER = structs.replace(SESSION, user="ann")
SYSTEM = structs.replace(SESSION, rights=Rights.INTERNAL)
BOTH = b"Date: Sun, 22 Nov 2026 13:05:00 +0000\r\nMessage-ID: <id@mx.example.com>\r\n"
COMPLETING = [
    ("a user's bare mail", USER, b"A: 1\r\n\r\n", BOTH),
    ("an internal system's", SYSTEM, b"A: 1\r\n\r\n", BOTH),
    ("only what is missing", USER, b"Date: x\r\n\r\n", b"Message-ID: <id@mx.example.com>\r\n"),
    ("nothing is missing", USER, b"Date: x\r\nmessage-id: y\r\n\r\n", b""),
    ("a stranger's stays as it is", SESSION, b"A: 1\r\n\r\n", b""),
]


@pytest.mark.parametrize(
    ("session", "head", "added"), [c[1:] for c in COMPLETING], ids=[c[0] for c in COMPLETING]
)
def test_submissions_are_completed(session: Session, head: bytes, added: bytes) -> None:
    index = HeaderIndex.parse(head)
    assert completing_fields(index, session, hostname="mx.example.com", mail_id="id", now=NOW) == added


@given(st.text(max_size=300).filter(lambda t: not set("\r\n\0") & set(t)))
def test_a_field_folds_and_unfolds_to_itself(value: str) -> None:
    octets = field("X-Test", value)
    assert octets.endswith(b"\r\n")
    assert (
        octets[:-2].replace(b"\r\n", b"").decode("utf-8", "replace")
        == f"X-Test: {value}".encode("utf-8", "replace").decode()
    )
    assert all(line.strip() for line in octets[:-2].split(b"\r\n"))


_WORD = st.integers(1, 90).map(lambda length: "w" * length)


@given(st.lists(_WORD, min_size=1, max_size=30).map(" ".join))
def test_plain_words_are_folded_as_late_as_can_be(value: str) -> None:
    lines = field("Name", value)[:-2].split(b"\r\n")
    for line, following in itertools.pairwise(lines):
        first_word = following[1:].split(b" ")[0]
        assert len(line) + 1 + len(first_word) > 78
    for number, line in enumerate(lines):
        # Only a word that fits on no line makes one longer, and then it stands there alone.
        words = line.split(b" ")[1:]
        assert len(line) <= 78 or len(words) == 1, number


@pytest.mark.parametrize("value", ["a\r\nb", "a\nb", "a\rb", "a\0b"])
def test_no_value_with_a_line_break_is_written(value: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        field("X-Test", value)


def test_a_line_has_998_octets_and_no_more() -> None:
    assert field("A", "b" * 995) == b"A: " + b"b" * 995 + b"\r\n"
    with pytest.raises(ValueError, match="998"):
        field("A", "b" * 996)


def test_dates_are_what_others_read() -> None:
    parsed = email.message_from_bytes(f"Date: {date_text(NOW)}\r\n\r\n".encode(), policy=email.policy.default)
    assert parsed["date"].datetime.timestamp() == NOW
