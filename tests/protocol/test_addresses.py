"""Addresses as clients write them: what is taken, in which form, and what is refused with which reply."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import (
    canonical_domain,
    parse_mailbox,
    parse_recipient,
    parse_sender,
    split_path,
)
from gatepost.protocol.refusals import RCPT_SYNTAX, BrokenFraming


@dataclass(frozen=True, slots=True)
class Good:
    name: str
    path: str
    local: str
    domain: str


GOOD = [
    Good("ordinary", "ann@example.com", "ann", "example.com"),
    Good("case of the local part is kept", "Ann@Example.COM", "Ann", "example.com"),
    Good("final dot", "ann@example.com.", "ann", "example.com"),
    Good("plus", "ann+list@example.com", "ann+list", "example.com"),
    Good("all atom characters", "!#$%&'*+/=?^_`{|}~-@example.com", "!#$%&'*+/=?^_`{|}~-", "example.com"),
    Good("dots between atoms", "a.b.c@example.com", "a.b.c", "example.com"),
    Good("percent is a letter like others", "u%foreign.test@gate.test", "u%foreign.test", "gate.test"),
    Good("bang too", "foreign.test!u@gate.test", "foreign.test!u", "gate.test"),
    Good("a leading minus", "-oQ/tmp@example.com", "-oQ/tmp", "example.com"),
    Good("a shell word", "$(id)|`id`@example.com".replace("(id)", "{id}"), "${id}|`id`", "example.com"),
    Good("quoted", '"ann"@example.com', "ann", "example.com"),
    Good("quoted with an at sign", '"u@foreign.test"@gate.test', "u@foreign.test", "gate.test"),
    Good(
        "quoted with everything",
        '"a b;c\\"d\\\\e<>()@,:[]"@example.com',
        'a b;c"d\\e<>()@,:[]',
        "example.com",
    ),
    Good("dequoted once only", '"\\\\\\"x"@example.com', '\\"x', "example.com"),
    Good("quoted with a quoted letter", '"\\x"@example.com', "x", "example.com"),
    Good("source route", "@a.test,@b.test:u@c.test", "u", "c.test"),
    Good("source route with a literal", "@[192.0.2.1]:u@foreign.test", "u", "foreign.test"),
    Good("source route with an IPv6 literal", "@[IPv6:::1]:u@foreign.test", "u", "foreign.test"),
    Good("IPv4 literal", "u@[192.0.2.9]", "u", "[192.0.2.9]"),
    Good("IPv6 literal", "u@[IPv6:2001:DB8:0:0::1]", "u", "[IPv6:2001:db8::1]"),
    Good("IPv6 literal, lower case tag", "u@[ipv6:::ffff:192.0.2.1]", "u", "[IPv6:::ffff:192.0.2.1]"),
    Good("one label", "x@localhost", "x", "localhost"),
    Good("digits in labels", "x@3com.4u", "x", "3com.4u"),
    Good("an underscore", "x@_dmarc.ex_ample.com", "x", "_dmarc.ex_ample.com"),
    Good("A-label", "x@XN--BCHER-KVA.example", "x", "xn--bcher-kva.example"),
    Good("64 octets of local part", "a" * 64 + "@example.com", "a" * 64, "example.com"),
    Good("63 octets of label", "a@" + "b" * 63 + ".com", "a", "b" * 63 + ".com"),
    Good("255 octets of domain", "a@" + "b." * 126 + "com", "a", "b." * 126 + "com"),
]


@pytest.mark.threat("F05", "F06", "F10", "F12", "F13", "F15", "F16", "F17", "F18", "F23")
@pytest.mark.parametrize("case", GOOD, ids=lambda c: c.name)
def test_taken(case: Good) -> None:
    for address in (parse_sender(case.path, utf8=False), parse_recipient(case.path, utf8=True)):
        assert (address.local, address.domain) == (case.local, case.domain)


INTERNATIONAL = [
    Good("local part", "jürgen@example.com", "jürgen", "example.com"),
    Good("quoted local part", '"jür gen"@example.com', "jür gen", "example.com"),
    Good("domain", "x@BÜCHER.example", "x", "xn--bcher-kva.example"),
    Good("sharp s stays", "x@straße.example", "x", "xn--strae-oqa.example"),
    Good("ideographic full stop", "x@例え。テスト", "x", "xn--r8jz45g.xn--zckzah"),
    Good("ideographic full stop at the end", "x@例え.com。", "x", "xn--r8jz45g.com"),
    Good("a quoted pair beyond ASCII", '"\\ü"@example.com', "ü", "example.com"),
    Good(
        "63 letters of label, many of which vanish", "x@" + "b\u00ad" * 31 + "b.test", "x", "b" * 32 + ".test"
    ),
    Good(
        "255 letters of domain, many of which vanish",
        "x@" + ("b\u00ad" * 31 + "b.") * 3 + "b\u00ad" * 31 + "b",
        "x",
        ".".join(["b" * 32] * 4),
    ),
    Good("32 letters of two octets", "ü" * 32 + "@example.com", "ü" * 32, "example.com"),
]


@pytest.mark.parametrize("case", INTERNATIONAL, ids=lambda c: c.name)
def test_international(case: Good) -> None:
    address = parse_recipient(case.path, utf8=True)
    assert (address.local, address.domain) == (case.local, case.domain)
    with pytest.raises(PeerFault) as fault:
        parse_sender(case.path, utf8=False)
    assert str(fault.value.reply).startswith("553 5.6.7")


BAD = [
    ("no domain", "u"),
    ("no domain behind quotes", '"u@foreign.test"'),
    ("percent without domain", '"u%foreign.test"'),
    ("bang path", "foreign.test!u"),
    ("two at signs", "u@foreign.test@gate.test"),
    ("two at signs and a literal", "u@foreign.test@[192.0.2.1]"),
    ("empty local part", "@gate.test"),
    ("empty quoted local part", '""@gate.test'),
    ("only an at sign", "@"),
    ("empty domain", "u@"),
    ("only a dot", "u@."),
    ("two final dots", "u@gate.test.."),
    ("empty label", "u@gate..test"),
    ("leading dot in the domain", "u@.gate.test"),
    ("two addresses", "u@gate.test,v@foreign.test"),
    ("a blank", "u@gate.test v@foreign.test"),
    ("a semicolon", "u@gate.test;foreign.test"),
    ("leading dot", ".u@gate.test"),
    ("trailing dot", "u.@gate.test"),
    ("double dot", "a..b@gate.test"),
    ("parenthesis", "a(b)@gate.test"),
    ("colon", "a:b@gate.test"),
    ("backslash without quotes", "a\\b@gate.test"),
    ("text behind quotes", '"a"b@gate.test'),
    ("quotes inside", 'a"b"@gate.test'),
    ("a number", "u@2130706433"),
    ("a hexadecimal number", "u@0x7f000001"),
    ("four numbers", "u@203.0.113.9"),
    ("four numbers and a dot", "u@203.0.113.9."),
    ("a number as last label", "u@example.1"),
    ("0x", "u@example.0x"),
    ("a sharp", "u@#123"),
    ("a comma for the at sign", "u,gate.test"),
    ("nothing for the at sign", '"u"gate.test'),
    ("65 letters of label, most of which vanish", "x@b" + "\u00ad" * 64 + ".test"),
    ("257 letters of domain, most of which vanish", "x@" + ("b" + "\u00ad" * 50 + ".") * 5 + "b\u00ad"),
    ("leading hyphen", "u@-a.test"),
    ("trailing hyphen", "u@a-.test"),
    ("65 octets of local part", "a" * 65 + "@example.com"),
    ("65 octets of quoted local part", '"' + "a " * 32 + 'b"@example.com'),
    ("33 letters of two octets", "ü" * 33 + "@example.com"),
    ("64 octets of label", "a@" + "b" * 64 + ".com"),
    ("256 octets of domain", "a@" + "b." * 126 + "comm"),
    ("a literal that is no address", "u@[example.com]"),
    ("a literal with a leading zero", "u@[192.0.2.01]"),
    ("a literal above 255", "u@[192.0.2.256]"),
    ("a literal with three numbers", "u@[192.0.2]"),
    ("a literal without end", "u@[192.0.2.1"),
    ("a literal with text behind", "u@[192.0.2.1]x"),
    ("an IPv6 literal without tag", "u@[2001:db8::1]"),
    ("an IPv6 literal with a dotless i", "u@[\u0131Pv6:2001:db8::1]"),
    ("an IPv6 literal with zone", "u@[IPv6:fe80::1%eth0]"),
    ("an IPv6 literal that is none", "u@[IPv6:1::2::3]"),
    ("an unknown literal", "u@[X-new:abc]"),
    ("an empty literal", "u@[]"),
    ("a route without mailbox", "@a.test:"),
    ("a route without colon", "@a.test,u@b.test"),
    ("control character", "a\x01b@gate.test"),
    ("NUL", '"a\0b"@gate.test'),
    ("CR LF in quotes", '"a\\\r\nRCPT TO:<x>"@gate.test'),
    ("DEL", "a\x7f@gate.test"),
    ("C1 control", "a\x85b@gate.test"),
    ("line separator", "a\u2028b@gate.test"),
    ("a surrogate", "a\ud800b@gate.test"),
    ("domain that is not IDNA", "u@\u2460.test\u2000"),
    ("full-width number", "u@１２７.０.０.１"),
    ("full-width at sign", "u@a＠b.test"),
    ("a bidi trick", "u@\u05d0a.test"),
    ("60,000 letters of domain", "u@" + "ü" * 60_000),
    ("64 letters of U-label", "u@" + "ü" * 64 + ".test"),
]


@pytest.mark.threat("F04", "F07", "F08", "F09", "F11", "F14", "F18", "F19", "F21", "F24", "F25", "H26")
@pytest.mark.parametrize(("name", "path"), BAD, ids=[b[0] for b in BAD])
def test_refused(name: str, path: str) -> None:
    for parse, code in ((parse_sender, "501 5.1.7"), (parse_recipient, "553 5.1.3")):
        with pytest.raises(PeerFault) as fault:
            parse(path, utf8=True)
        assert str(fault.value.reply).startswith(code)
        assert not isinstance(fault.value, BrokenFraming)


@pytest.mark.threat("F24", "F26")
def test_the_two_special_paths() -> None:
    assert parse_sender("", utf8=False) == NULL_SENDER
    assert parse_recipient("postmaster", utf8=False) == Address("postmaster", "")
    assert parse_recipient("PostMaster", utf8=False) == Address("PostMaster", "")
    with pytest.raises(PeerFault):
        parse_recipient("", utf8=False)
    with pytest.raises(PeerFault):
        parse_sender("postmaster", utf8=False)


def test_a_turkish_postmaster_is_none() -> None:
    with pytest.raises(PeerFault):
        parse_recipient("PO\u017ftmaster", utf8=True)  # long s folds to s in some tables


@pytest.mark.threat("H26")
def test_the_length_is_checked_before_the_conversion() -> None:
    before = time.process_time()
    with pytest.raises(PeerFault):
        canonical_domain("xn--" + "ü" * 500_000)
    assert time.process_time() - before < 5


def test_mailboxes_of_lists() -> None:
    assert parse_mailbox("Ann@BÜCHER.example") == Address("Ann", "xn--bcher-kva.example")
    for wrong in ("", "<ann@a.test>", "@a.test:ann@b.test", "postmaster", "ann@a.test b", " ann@a.test"):
        with pytest.raises(PeerFault):
            parse_mailbox(wrong)


PATHS = [
    ("plain", "<a@b>", ("a@b", "")),
    ("null", "<>", ("", "")),
    ("parameters", "<a@b> SIZE=1", ("a@b", " SIZE=1")),
    ("a bracket in quotes", '<"a>b"@c>', ('"a>b"@c', "")),
    ("a quoted quote", '<"a\\">b"@c> X', ('"a\\">b"@c', " X")),
]


@pytest.mark.parametrize(("name", "text", "parts"), PATHS, ids=[p[0] for p in PATHS])
def test_split_path(name: str, text: str, parts: tuple[str, str]) -> None:
    assert split_path(text, RCPT_SYNTAX) == parts


@pytest.mark.threat("F22")
@pytest.mark.parametrize(
    "text",
    [
        "a@b",
        "",
        "<",
        "<a@b",
        "a@b>",
        " <a@b>",
        "<a@b><c@d>",
        "<a@b>x",
        "<a@b>,<c@d>",
        "<a<b@c>>",
        "x<a@b>",
        "<a\\b@c>",
        '"a" <b@c>',
    ],
)
def test_no_path(text: str) -> None:
    with pytest.raises(PeerFault) as fault:
        split_path(text, RCPT_SYNTAX)
    assert fault.value.reply is RCPT_SYNTAX
    assert not isinstance(fault.value, BrokenFraming)


@pytest.mark.threat("F25")
@pytest.mark.parametrize("text", ['<"a', '<"a\\', '<"a\\"', '<"a"@b,"c', '"a', '<a"@b>'])
def test_a_torn_path(text: str) -> None:
    with pytest.raises(BrokenFraming):
        split_path(text, RCPT_SYNTAX)


@pytest.mark.parametrize(
    "text",
    [
        "<" + '"a"' * 700,
        "<" + "a" * 2000,
        '<"' + "\\a" * 1000,
        "<" + '"\\' * 1000,
        "@" * 2000,
        "@a," * 600 + ":",
        "a." * 1000,
    ],
)
def test_parsing_takes_linear_time(text: str) -> None:
    before = time.process_time()
    for use in (lambda: split_path(text, RCPT_SYNTAX), lambda: parse_recipient(text, utf8=True)):
        with pytest.raises(PeerFault):
            use()
    assert time.process_time() - before < 5


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_a_fault(text: str) -> None:
    try:
        address = parse_recipient(text, utf8=True)
    except PeerFault:
        return
    # What was taken is written and read again as the same address, by whoever delivers it.
    if address.domain:
        again = parse_recipient(str(address), utf8=True)
        assert again == address


LOCALS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=16)


@given(LOCALS)
def test_every_local_part_survives_quoting(local: str) -> None:
    address = Address(local, "example.com")
    path, rest = split_path(f"<{address}> X", RCPT_SYNTAX)
    assert rest == " X"
    assert parse_recipient(path, utf8=True) == address
