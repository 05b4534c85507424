"""The purported responsible address, by every rule of RFC 4407 and by what Microsoft's filter found."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared_data import SHARED

from gatepost.message.headers import HeaderField, HeaderIndex
from gatepost.standards.sender_id import Reason, find_pra, result_of
from gatepost.standards.spf import Answer, NoRecord
from gatepost.standards.spf_record import Result

REAL = SHARED / "headers/senderid_pra.jsonl"


def fields(head: str) -> tuple[HeaderField, ...]:
    return HeaderIndex.parse(head.replace("\n", "\r\n").encode()).fields


RULES = [
    ("From alone", "From: a@a.test\n", "a@a.test", "from"),
    ("Sender before From", "From: a@a.test\nSender: b@b.test\n", "b@b.test", "sender"),
    ("an empty Sender is none", "Sender: \nFrom: a@a.test\n", "a@a.test", "from"),
    ("Resent-From before Sender",
     "Resent-From: c@c.test\nSender: b@b.test\nFrom: a@a.test\n", "c@c.test", "resent-from"),
    ("Resent-Sender before Resent-From",
     "Resent-From: c@c.test\nResent-Sender: d@d.test\n", "d@d.test", "resent-sender"),
    ("Resent-Sender of the newer block",
     "Resent-Sender: d@d.test\nReceived: x\nResent-From: c@c.test\n", "d@d.test", "resent-sender"),
    ("Resent-Sender of an older block",
     "Resent-From: c@c.test\nReceived: x\nResent-Sender: d@d.test\n", "c@c.test", "resent-from"),
    ("Return-Path parts blocks, too",
     "Resent-From: c@c.test\nReturn-Path: <>\nResent-Sender: d@d.test\n", "c@c.test", "resent-from"),
    ("another field does not",
     "Resent-From: c@c.test\nX-A: x\nResent-Sender: d@d.test\n", "d@d.test", "resent-sender"),
    ("an empty Resent-From above parts nothing",
     "Resent-From:\nReceived: x\nResent-Sender: d@d.test\n", "d@d.test", "resent-sender"),
    ("two From", "From: a@a.test\nFrom: b@b.test\n", None, "from"),
    ("two Sender", "Sender: a@a.test\nSender: b@b.test\nFrom: c@c.test\n", None, "sender"),
    ("two authors", "From: a@a.test, b@b.test\n", None, "from"),
    ("two authors and a Sender", "From: a@a.test, b@b.test\nSender: a@a.test\n", "a@a.test", "sender"),
    ("no domain", "From: a\n", None, "from"),
    ("no field at all", "To: a@a.test\n", None, ""),
    ("the null sender", "From: <>\n", None, "from"),
    ("a comment", "From: a@a.test (b@b.test (c@c.test))\n", "a@a.test", "from"),
    ("a quoted name with an address", 'From: "b@b.test, c@c.test" <a@a.test>\n', "a@a.test", "from"),
    ("a folded field", "From: Ann\n <a@a.test>\n", "a@a.test", "from"),
    ("an address in Unicode", "From: <ä@a.test>\n", "ä@a.test", "from"),
    ("an IDN", "From: <a@ä.test>\n", "a@xn--4ca.test", "from"),
    ("a name with a comma that is not quoted", "From: Ann, Bob <a@a.test>\n", "a@a.test", "from"),
    ("an address and what is none", "From: a@@a.test, b@b.test\n", None, "from"),
    ("a comma in a domain", "From: <a@a,test>\n", "a@a", "from"),
    ("a group", "From: Club: a@a.test;\n", "a@a.test", "from"),
    ("two in angle brackets", "From: <a@a.test> <b@b.test>\n", None, "from"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("head", "pra", "field"), [rule[1:] for rule in RULES], ids=[rule[0] for rule in RULES]
)
def test_the_rules(head: str, pra: str | None, field: str) -> None:
    found = find_pra(fields(head))
    assert (str(found.address) if found.address else None, found.field) == (pra, field)
    assert bool(found.problem) is (pra is None)


def test_what_the_filter_of_microsoft_found() -> None:
    if not REAL.exists():
        pytest.skip(f"{REAL} is not here: headers of real mail, which may not be published")
    cases = [json.loads(line) for line in REAL.read_text("utf-8").splitlines()]
    wrong = []
    for case in cases:
        head = "".join(f"{name}:{value}\n" for name, value in case["headers"])
        found = find_pra(fields(head))
        if found.field != case["kind"] or str(found.address).lower() != case["pra"].lower():
            wrong.append((case, str(found.address), found.problem))
    assert (len(cases), wrong) == (236, [])


RESULTS = [
    (Result.PASS, None, Result.PASS, None),
    (Result.FAIL, None, Result.FAIL, Reason.NOT_PERMITTED),
    (Result.SOFTFAIL, None, Result.SOFTFAIL, None),
    (Result.NONE, NoRecord.NOT_PUBLISHED, Result.NONE, None),
    (Result.NONE, NoRecord.NO_DOMAIN, Result.FAIL, Reason.NO_DOMAIN),
    (Result.NONE, NoRecord.MALFORMED, Result.FAIL, Reason.MALFORMED_DOMAIN),
    (Result.PERMERROR, None, Result.PERMERROR, None),
]


@pytest.mark.parametrize(("of_spf", "no_record", "result", "reason"), RESULTS)
def test_results(of_spf: Result, no_record: NoRecord | None, result: Result, reason: Reason | None) -> None:
    answer = Answer(result=of_spf, domain="a.test", no_record=no_record)
    assert result_of(answer) == (result, reason)


_PIECES = st.sampled_from(
    ["<", ">", '"', "\\", "(", ")", ",", ";", ":", "@", "a", "b.test", " ", "é", "\udcff"]
)


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_list_of_mailboxes_is_read(value: str) -> None:
    field = HeaderField(b"from", value.encode("utf-8", "surrogateescape"))
    found = find_pra([field])
    assert found.address is None or found.address.domain


@pytest.mark.parametrize("piece", ["(", "<", '"', "\\", '"a', '<"', "(\\", "a@", "@", "a,"])
def test_a_long_field_is_read_in_time_that_grows_with_its_length(piece: str) -> None:
    find_pra([HeaderField(b"from", (piece * 8000).encode()[:8192])])
    assert find_pra([HeaderField(b"from", (piece * 80_000).encode())]).address is None
