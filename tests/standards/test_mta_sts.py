"""MTA-STS records and policies, as they are published and as they are broken."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.standards.mta_sts import StsMode, StsPolicy, matches, parse_policy, policy_id

GOOD = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n"

RECORDS = [
    ("the usual record", [b"v=STSv1; id=20160831085700Z;"], "20160831085700Z"),
    ("without the last semicolon", [b"v=STSv1; id=1"], "1"),
    ("an extension field", [b"v=STSv1; id=1; future=yes"], "1"),
    ("other TXT records beside it", [b"v=spf1 -all", b"v=STSv1;id=a1"], "a1"),
    ("no record", [], None),
    ("two records are none", [b"v=STSv1; id=1", b"v=STSv1; id=2"], None),
    ("another version", [b"v=STSv10; id=1"], None),
    ("no id", [b"v=STSv1;"], None),
    ("an id that is too long", [b"v=STSv1; id=" + b"a" * 33], None),
    ("an id with a hyphen", [b"v=STSv1; id=a-b"], None),
    ("two ids", [b"v=STSv1; id=1; id=2"], None),
    ("not ASCII", ["v=STSv1; id=é".encode()], None),
    ("a field without a value", [b"v=STSv1; id=1; x"], None),
    ("endless", [b"v=STSv1; id=1; " + b"x=y;" * 5000], None),
]


@pytest.mark.parametrize(("texts", "expected"), [r[1:] for r in RECORDS], ids=[r[0] for r in RECORDS])
def test_record(texts: list[bytes], expected: str | None) -> None:
    assert policy_id(texts) == expected


POLICIES = [
    ("CR LF", GOOD),
    ("LF only", GOOD.replace("\r\n", "\n")),
    ("upper case and a final dot", GOOD.replace("mail.example.com", "MAIL.Example.COM.")),
    ("unknown fields", GOOD + "fancy: yes\r\n"),
    ("the first of two modes counts", GOOD + "mode: none\r\n"),
    ("blank lines and blanks", "\r\n" + GOOD.replace(": ", ":   ") + "\r\n"),
]


@pytest.mark.parametrize("text", [p[1] for p in POLICIES], ids=[p[0] for p in POLICIES])
def test_policy_is_read(text: str) -> None:
    wanted = StsPolicy(mode=StsMode.ENFORCE, max_age_s=604800, mx=("mail.example.com", "*.example.net"))
    assert parse_policy(text.encode()) == wanted


BROKEN = [
    ("empty", "", "version"),
    ("a web page", "<html><body>Not Found</body></html>", "is not a line"),
    ("another version", GOOD.replace("STSv1", "STSv2"), "version"),
    ("an unknown mode", GOOD.replace("enforce", "maybe"), "enforce, testing or none"),
    ("no mode", GOOD.replace("mode: enforce\r\n", ""), "enforce, testing or none"),
    ("no mx", "version: STSv1\nmode: enforce\nmax_age: 1", "no mx"),
    ("no max_age", GOOD.replace("max_age: 604800", ""), "max_age"),
    ("max_age of two years", GOOD.replace("604800", "63115200"), "max_age"),
    ("a negative max_age", GOOD.replace("604800", "-1"), "max_age"),
    ("digits of another script", GOOD.replace("604800", "٦٠٤"), "max_age"),
    ("a star inside", GOOD.replace("*.example", "mail.*.example"), "mx"),
    ("an mx that is an address", GOOD.replace("mail.example.com", "[192.0.2.1]"), "mx"),
    ("a star alone", GOOD.replace("*.example.net", "*"), "mx"),
    ("too many mx", GOOD + "mx: a.example.com\n" * 201, "more than 200"),
    ("too long", GOOD + "x" * 70000, "longer than"),
]


@pytest.mark.threat("D24")
@pytest.mark.parametrize(("text", "why"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_policy_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_policy(text.encode())


def test_a_policy_of_none_needs_no_mx() -> None:
    assert parse_policy(b"version: STSv1\nmode: none\nmax_age: 60").mode is StsMode.NONE


MATCHES = [
    ("the same name", "mail.example.com", "mail.example.com", True),
    ("another name", "mail.example.com", "mx.example.com", False),
    ("a star for one label", "*.example.com", "mx1.example.com", True),
    ("a star is not two labels", "*.example.com", "a.b.example.com", False),
    ("a star is not no label", "*.example.com", "example.com", False),
    ("a star and a longer name", "*.example.com", "badexample.com", False),
]


@pytest.mark.parametrize(("pattern", "host", "fits"), [m[1:] for m in MATCHES], ids=[m[0] for m in MATCHES])
def test_mx_pattern(pattern: str, host: str, fits: bool) -> None:
    assert matches(pattern, host) is fits


@given(st.binary(max_size=400))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    policy_id([data, b"v=STSv1;" + data])
    for text in (data, b"version: STSv1\nmode: none\nmax_age: 1\n" + data):
        with contextlib.suppress(ValueError):
            parse_policy(text)
