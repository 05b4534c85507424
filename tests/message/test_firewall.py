"""The header firewall and the agents' edits."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gatepost.message.firewall import apply_edits, firewalled
from gatepost.message.headers import HeaderIndex
from gatepost.model.session import Rights
from gatepost.model.verdict import AddHeader, RemoveHeader

NONE, ROUTING, ORGANIZATION = Rights.NONE, Rights.ROUTING_HEADERS, Rights.ORGANIZATION_HEADERS
OURS = "mx.example.com"
KEPT = b"Subject: x\r\n"

CASES = [
    ("ordinary mail passes", NONE, b"", b""),
    ("our own field", NONE, b"X-Gatepost-SCL: -1\r\n", b""),
    ("any case", NONE, b"x-GATEPOST-scl: -1\r\n", b""),
    ("with a fold", NONE, b"X-Gatepost-SCL:\r\n -1\r\n", b""),
    ("a blank before the colon", NONE, b"X-Gatepost-SCL : -1\r\n", b""),
    ("a folded name", NONE, b"X-Gatepost-SCL\r\n : -1\r\n", b""),
    ("a leading blank on the first line", NONE, b" X-Gatepost-SCL: -1\r\n", b""),
    ("a fold of nothing", NONE, b"\n X-Gatepost-SCL: -1\r\n", b""),
    ("a fold of no field", NONE, b"rubbish\r\n X-Gatepost-SCL: -1\r\n", b""),
    ("hidden behind a bare LF", NONE, b"A: 1\nX-Gatepost-SCL: -1\r\n", b""),
    ("hidden behind a bare CR", NONE, b"A: 1\rX-Gatepost-SCL: -1\r\n", b""),
    ("hidden behind VT", NONE, b"A: 1\x0bX-Gatepost-SCL: -1\r\n", b""),
    ("hidden behind NEL", NONE, "A: 1\x85X-Gatepost-SCL: -1\r\n".encode(), b""),
    ("hidden behind U+2028", NONE, "A: 1\u2028X-Gatepost-SCL: -1\r\n".encode(), b""),
    ("hidden behind U+2029", NONE, "A: 1\u2029X-Gatepost-SCL: -1\r\n".encode(), b""),
    ("a NUL in the name", NONE, b"X-Gate\0post-SCL: -1\r\n", b""),
    ("a NUL before the name", NONE, b"\0X-Gatepost-SCL: -1\r\n", b""),
    ("a DEL in the name", NONE, b"X-Gatepost\x7f-SCL: -1\r\n", b""),
    ("a byte order mark before the name", NONE, "\ufeffX-Gatepost-SCL: -1\r\n".encode(), b""),
    ("a soft hyphen in the name", NONE, "X-MS-Exchange\u00ad-Organization-SCL: -1\r\n".encode(), b""),
    ("a NUL in the name, far down", NONE, b"A: 1\nX-\0Gatepost-SCL: -1\r\n", b""),
    ("8-bit text in a value stays", NONE, b"A: X-Gate\xe9post-\r\n", b"A: X-Gate\xe9post-\r\n"),
    ("Exchange's own", NONE, b"X-MS-Exchange-Organization-SCL: -1\r\nX-MS-Exchange-Forest-X: 1\r\n", b""),
    ("hidden behind U+2028", NONE, "A: 1\u2028X-Gatepost-SCL: -1\r\n".encode(), b""),
    ("NUL before the colon", NONE, b"X-Gatepost-SCL\0: -1\r\n", b""),
    ("NUL in front", NONE, b"\0X-Gatepost-SCL: -1\r\n", b""),
    ("a hard blank before the colon", NONE, b"X-Gatepost-SCL\xa0: -1\r\n", b""),
    ("a name in a value stays", NONE, b"A: X-Gatepost-SCL\r\n", b"A: X-Gatepost-SCL\r\n"),
    ("a name in a fold stays", NONE, b"A: 1\r\n X-Gatepost-SCL: 1\r\n", b"A: 1\r\n X-Gatepost-SCL: 1\r\n"),
    ("trusted senders may", ORGANIZATION, b"X-Gatepost-SCL: 5\r\n", b"X-Gatepost-SCL: 5\r\n"),
    ("trace without the right", NONE, b"Received: a\r\nResent-From: b\r\n", b""),
    (
        "trace with the right",
        ROUTING,
        b"Received: a\r\nResent-From: b\r\n",
        b"Received: a\r\nResent-From: b\r\n",
    ),
    ("Received-SPF is no Received", NONE, b"Received-SPF: a\r\n", b"Received-SPF: a\r\n"),
    ("Bcc is the sender's affair", NONE, b"Bcc: a\r\n", b"Bcc: a\r\n"),
]
AR = b"Authentication-Results: "
CLAIMS = [
    ("our name", AR + b"mx.example.com; spf=pass\r\n", b""),
    ("any case", AR + b"MX.Example.COM; spf=pass\r\n", b""),
    ("no result", AR + b"mx.example.com\r\n", b""),
    ("quoted", AR + b'"mx.example.com"; spf=pass\r\n', b""),
    ("with a version", AR + b"mx.example.com 1; spf=pass\r\n", b""),
    ("behind a comment", AR + b"(a (b\\) c) d) mx.example.com; spf=pass\r\n", b""),
    ("an open comment", AR + b"( mx.example.com; spf=pass\r\n", b""),
    ("folded", AR + b"\r\n mx.example.com\r\n ; spf=pass\r\n", b""),
    ("a final dot", AR + b"mx.example.com.; spf=pass\r\n", b""),
    ("look-alike letters", AR + "mx.ехample.com; spf=pass\r\n".encode(), b""),
    ("a control character behind it", AR + b"mx.example.com\x1e; spf=pass\r\n", b""),
    ("a control character inside", AR + b"mx.exam\0ple.com; spf=pass\r\n", b""),
    *(
        (f"as the first word of {value!r}", AR + value + b"\r\n", b"")
        for value in (
            b"mx.example.com/1; a=b",
            b"mx.example.com:25; a=b",
            b"mx.example.com=; a=b",
            b"mx.example.com, x; a=b",
            b"<mx.example.com>; a=b",
            b"'mx.example.com'; a=b",
            b";mx.example.com; a=b",
            b"mx . example\r\n . com; a=b",
            b"mx.(x)example.com; a=b",
            b"=?utf-8?q?mx=2Eexample=2Ecom?=; a=b",
            b"=?utf-8?b?bXguZXhhbXBsZS5jb20=?=; a=b",
        )
    ),
    ("a NUL before the colon", b"Authentication-Results\0: mx.example.com; a=b\r\n", b""),
    ("a name of ours in front of another", AR + b"mx.example.com.o.example; a=b\r\n", None),
    ("another in front of a name of ours", AR + b"o.mx.example.com; a=b\r\n", None),
    ("an encoded word in a result", AR + b'o.example; a=b reason="=?utf-8?q?x?="\r\n', None),
    ("somebody else's with one", AR + b"other.example\x1e; a=b\r\n", AR + b"other.example\x1e; a=b\r\n"),
    ("a blank before the colon", b"Authentication-Results : mx.example.com; spf=pass\r\n", b""),
    ("a NUL in the field's name", b"Authentication-\0Results: mx.example.com; spf=pass\r\n", b""),
    ("hidden behind a bare LF", b"A: b\nAuthentication-Results: mx.example.com; spf=pass\r\n", b""),
    ("somebody else's", AR + b"other.example; spf=pass\r\n", AR + b"other.example; spf=pass\r\n"),
    (
        "our name in a result",
        AR + b"o.example; x=mx.example.com\r\n",
        AR + b"o.example; x=mx.example.com\r\n",
    ),
]


@pytest.mark.threat("H34")
@pytest.mark.parametrize(("rights", "brought", "left"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_private_fields_need_rights(rights: Rights, brought: bytes, left: bytes) -> None:
    assert firewalled(brought + KEPT + b"\r\n", rights, authserv_id=OURS) == left + KEPT + b"\r\n"


@pytest.mark.threat("J33")
@pytest.mark.parametrize(("brought", "left"), [c[1:] for c in CLAIMS], ids=[c[0] for c in CLAIMS])
def test_nobody_brings_results_in_our_name(brought: bytes, left: bytes | None) -> None:
    left = brought if left is None else left
    every = Rights.ORGANIZATION_HEADERS | Rights.ROUTING_HEADERS
    assert firewalled(KEPT + brought + b"\r\n", every, authserv_id=OURS) == KEPT + left + b"\r\n"


@pytest.mark.threat("J33")
def test_results_of_our_other_doors_need_rights() -> None:
    brought = AR + b"MX2.example.com; dmarc=pass\r\n" + AR + b"o.example; spf=pass\r\n"
    others = frozenset({"mx2.example.com", "mx3.example.com"})
    left = firewalled(KEPT + brought + b"\r\n", ROUTING, authserv_id=OURS, other_ids=others)
    assert left == KEPT + AR + b"o.example; spf=pass\r\n\r\n"
    whole = KEPT + brought + b"\r\n"
    assert firewalled(whole, ORGANIZATION | ROUTING, authserv_id=OURS, other_ids=others) is whole


@pytest.mark.threat("J33", "J05")
def test_blanks_without_end_in_somebody_elses_results_cost_no_time() -> None:
    head = b"".join(
        AR + b"o.example" + b"\r\n ".join([b" " * 7000] * 9) + b"x; spf=pass\r\n" for _ in range(3)
    )
    before = time.process_time()
    assert firewalled(head + b"\r\n", Rights.NONE, authserv_id=OURS) == head + b"\r\n"
    assert time.process_time() - before < 1.0  # it was half a minute


def test_mail_without_private_fields_is_not_copied() -> None:
    head = KEPT + b"\r\n"
    assert firewalled(head, NONE, authserv_id=OURS) is head


SCRAPS = st.sampled_from(
    [
        b"X-Gatepost-A",
        b"x-gatepost-",
        b":",
        b" ",
        b"\r\n",
        b"\n",
        b"\r",
        b"A: b",
        b"\t",
        b"\r\n ",
        b"\x0c",
        b"\0",
    ]
)


@pytest.mark.threat("H34")
@example([b"\r\n ", b"X-Gatepost-A", b"A: b"])
@given(st.lists(SCRAPS, max_size=20))
def test_no_arrangement_smuggles_a_private_field(scraps: list[bytes]) -> None:
    # Given any head, and the way it leaves us: stray CRs and LFs become CR LF
    left = firewalled(b"".join(scraps) + b"\r\n\r\n", NONE, authserv_id=OURS)
    sent = left.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    # Then no reader finds a private field in it
    head = sent.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    names = [name for name, _ in HeaderIndex.parse(head).fields]
    assert not any(name.startswith(b"x-gatepost-") for name in names)


def test_edits_remove_then_add_on_top_in_order() -> None:
    head = b"A: 1\r\nb : 2\r\n 3\r\nC: 4\r\n\r\n"
    edits = (AddHeader("X-One", "1"), RemoveHeader("B"), AddHeader("X-Two", "2"))
    assert apply_edits(head, edits) == b"X-One: 1\r\nX-Two: 2\r\nA: 1\r\nC: 4\r\n\r\n"


def test_no_edit_is_no_copy() -> None:
    head = b"A: 1\r\n\r\n"
    assert apply_edits(head, ()) is head
    assert apply_edits(head, (RemoveHeader("B"),)) is not None


def test_removing_every_field_leaves_a_header_section() -> None:
    assert apply_edits(b"A: 1\r\n\r\n", (RemoveHeader("a"),)) == b"\r\n"
