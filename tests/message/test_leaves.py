"""The parts of a mail, whatever a stranger made of it."""

from __future__ import annotations

import email
import email.policy
import time
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.leaves import DEPTH_LIMIT, PARTS_LIMIT, leaves

NESTED = b"""Content-Type: multipart/mixed; boundary="a"\r
\r
preamble\r
--a\r
Content-Type: multipart/alternative;\r
\tboundary=b\r
\r
--b\r
\r
plain\r
--b \r
Content-Type: TEXT/HTML; charset=x\r
Content-Transfer-Encoding: Quoted-Printable\r
\r
<p>=3D\r
--b--\r
epilogue\r
--ab\r
--a\r
Content-Type: message/rfc822\r
\r
Subject: inner\r
Content-Type: application/gzip\r
Content-Transfer-Encoding: base64\r
Content-Disposition: attachment; filename="x.xml.gz"\r
\r
QUJD\r
RA==\r
--a--\r
"""


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_parts_in_their_order(newline: bytes) -> None:
    found = list(leaves(NESTED.replace(b"\r\n", newline)))
    assert [(leaf.media_type, leaf.decoded()) for leaf in found] == [
        ("text/plain", b"plain"),
        ("text/html", b"<p>="),
        ("application/gzip", b"ABCD"),
    ]
    assert found[2].names == ("x.xml.gz",)


@pytest.mark.parametrize(
    ("mail", "parts"),
    [
        (b"", [b""]),
        (b"Subject: x\r\n\r\nbody", [b"body"]),
        (b"\r\nbody", [b"body"]),
        (b"Content-Type: multipart/mixed\r\n\r\n--\r\nx", [b"--\r\nx"]),
        (b"Content-Type: multipart/mixed; boundary=a\r\n\r\nnothing", [b"nothing"]),
        (b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\ncut off", [b"cut off"]),
        (b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\n1\r\n--a--\r\n--a\r\n\r\n2", [b"1"]),
        (b"Content-Transfer-Encoding: base64\r\n\r\nQUJDRA", [b"ABCD"]),
        (b"Content-Transfer-Encoding: base64\r\n\r\n!", [b""]),
    ],
    ids=[
        "nothing",
        "one part",
        "no fields",
        "a multipart without boundary is one part",
        "a multipart without delimiter is one part",
        "the last part may lack its end",
        "nothing counts behind the end",
        "base64 without its padding",
        "no base64 at all",
    ],
)
def test_odd_mails(mail: bytes, parts: list[bytes]) -> None:
    assert [leaf.decoded() for leaf in leaves(mail)] == parts


@pytest.mark.threat("J39")
def test_hostile_mails_cost_little() -> None:
    """Deep, wide, full of delimiters, with one field without end: each of them some megabytes."""
    deep = b"".join(
        b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (n, n) for n in range(5000)
    )
    wide = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 300_000
    lookalikes = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--ab\r\n" * 500_000
    endless = b'Content-Type: multipart/mixed; x="' + b";" * 3_000_000 + b'"; boundary=a\r\n\r\n--a\r\n\r\nx'
    folded = b"X:" + b"\r\n " * 1_000_000 + b"\r\n\r\nx"
    began = time.process_time()
    for mail in (deep, wide, lookalikes, endless, folded):
        assert len(list(leaves(mail))) <= PARTS_LIMIT
    assert time.process_time() - began < 10
    assert DEPTH_LIMIT < 20


@given(st.lists(st.sampled_from([*NESTED.splitlines(keepends=True), b"--a", b"\r\n", b"\0", b"x" * 90])))
def test_any_bytes_have_parts(pieces: list[bytes]) -> None:
    for leaf in leaves(b"".join(pieces)):
        leaf.decoded()


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_what_the_library_attached_is_found(contents: list[bytes]) -> None:
    mail = EmailMessage()
    mail.set_content("hello")
    for content in contents:
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename="a.xml")
    found = list(leaves(mail.as_bytes(policy=email.policy.SMTP)))
    assert [leaf.decoded() for leaf in found[1:]] == contents
