"""Who wrote a mail: one reading of From, which says when others may read something else."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shared_data import SHARED

from gatepost.facts.author import ADDRESSES_LIMIT, Author, read_author
from gatepost.policy.dossier import decode_fact, encode_fact
from gatepost.standards.mailboxes import MAILBOXES_LIMIT, addresses_in, read_mailboxes

VECTORS = SHARED / "headers/stalwart"


@dataclass(frozen=True)
class Case:
    name: str
    value: str
    addresses: tuple[str, ...]
    names: tuple[str, ...] = ()
    is_clear: bool = True


CASES = [
    Case("an address alone", "ann@a.test", ("ann@a.test",)),
    Case("a name and an address", "Ann <ann@a.test>", ("ann@a.test",), ("Ann",)),
    Case("the old way of writing a name", "ann@a.test (Ann)", ("ann@a.test",), ("Ann",)),
    Case("a quoted name", '"Ann \\"B\\", C" <ann@a.test>', ("ann@a.test",), ('Ann "B", C',)),
    Case("an encoded name", "=?utf-8?q?J=C3=B6rg?= <j@a.test>", ("j@a.test",), ("Jörg",)),
    Case("an encoded name in quotes", '"=?utf-8?q?J=C3=B6rg?=" <j@a.test>', ("j@a.test",), ("Jörg",)),
    Case("raw UTF-8", "Jörg <jörg@bücher.test>", ("jörg@xn--bcher-kva.test",), ("Jörg",)),
    Case("a quoted local part", '"a b"@a.test', ('"a b"@a.test',)),
    Case("upper case domain", "<Ann@A.TEST>", ("Ann@a.test",)),
    Case("two addresses", "ann@a.test, Bob <bob@b.test>", ("ann@a.test", "bob@b.test"), ("Bob",)),
    Case("an empty entry", "ann@a.test,,bob@b.test,", ("ann@a.test", "bob@b.test")),
    Case("a group", "Us: ann@a.test, bob@b.test;", ("ann@a.test", "bob@b.test"), ("Us",)),
    Case("an empty group", "Nobody:;", (), ("Nobody",), is_clear=False),
    Case("its own address as a name", "ann@a.test <ann@a.test>", ("ann@a.test",), ("ann@a.test",)),
    Case("an address in quotes", '"ceo@l.test" <x@e.test>', ("x@e.test",), ("ceo@l.test",)),
    Case("an address literal", "ann@[192.0.2.1]", ("ann@[192.0.2.1]",)),
    Case("nothing", "", (), is_clear=False),
    Case("an empty address", "Ann <>", (), ("Ann",), is_clear=False),
    Case("no domain", "ann", (), is_clear=False),
    Case(
        "another address as a name", "ceo@l.test <x@e.test>", ("x@e.test",), ("ceo@l.test",), is_clear=False
    ),
    Case("text behind", "<x@e.test>ceo@l.test", ("x@e.test",), ("ceo@l.test",), is_clear=False),
    Case("two brackets", "<ceo@l.test><x@e.test>", ("ceo@l.test", "x@e.test"), is_clear=False),
    Case("a backslash", "<ceo@l.test>\\,<x@e.test>", ("ceo@l.test", "x@e.test"), ("\\",), is_clear=False),
    Case("a source route", "<@a,@b:ceo@l.test>", ("ceo@l.test",), is_clear=False),
    Case(
        "an encoded address beside one",
        "=?utf-8?b?Y2VvQGwudGVzdA==?=,<x@e.test>",
        ("x@e.test",),
        is_clear=False,
    ),
    Case("a comment inside", "<ceo@l.test(a.e.test>", ("ceo@l.test",), is_clear=False),
    Case("a comment in the domain", "<ceo@l.(x)test>", ("ceo@l.test",), is_clear=False),
    Case("blanks in the domain", "ceo@l . test", ("ceo@l.test",), is_clear=False),
    Case("a quote without end", 'Ann "<ann@a.test>', (), is_clear=False),
    Case("a bracket without end", "Ann <ann@a.test", ("ann@a.test",), ("Ann",), is_clear=False),
    Case("a NUL", "ceo@l.test\0.e.test", (), is_clear=False),
    Case("a full-width at", "ceo\uff20l.test", (), is_clear=False),
    Case("two at signs", "ceo@l.test@e.test", (), is_clear=False),
]


@pytest.mark.threat("J25")
@pytest.mark.threat("J26")
@pytest.mark.threat("K03")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_from(case: Case) -> None:
    author = read_author(b"From: " + case.value.encode() + b"\r\nTo: bob@gate.test\r\n\r\n")
    assert tuple(map(str, author.addresses)) == case.addresses
    assert (author.problem == "") == case.is_clear
    if case.names:
        assert author.display_names == case.names


@pytest.mark.threat("J25")
@pytest.mark.threat("J28")
@pytest.mark.parametrize(
    ("head", "addresses", "problem"),
    [
        (b"Subject: x\r\n\r\n", (), "no From field"),
        (b"From: a@a.test\r\nFrom: b@b.test\r\n\r\n", ("a@a.test", "b@b.test"), "2 From fields"),
        (b"From\r\n : a@a.test\r\n\r\n", ("a@a.test",), "header section with blank-before-colon"),
        (b"From: a@a.test\r\nSender: b@b.test\r\n\r\n", ("a@a.test",), ""),
        (b"From:\r\n Ann\r\n <a@a.test>\r\n\r\n", ("a@a.test",), ""),
    ],
)
def test_fields(head: bytes, addresses: tuple[str, ...], problem: str) -> None:
    author = read_author(head)
    assert (tuple(map(str, author.addresses)), author.problem) == (addresses, problem)


@pytest.mark.threat("J28")
@pytest.mark.parametrize(
    ("line", "is_clear"),
    [
        (b"From\xa0: b@b.test", False),
        (b"\xc2\xa0From: b@b.test", False),
        (b"Fro\x01m: b@b.test", False),
        (b"Subject: x\x0bFrom: b@b.test", False),
        (b"Subject: x\xe2\x80\xa8From: b@b.test", False),
        (b"X From: b@b.test", True),
        (b"Subject: from: x", True),
        (b"Subj\xa0ect: x\r\n From: y", True),
        (b"Subject: x\x0bTo: y", True),
    ],
)
def test_a_line_that_some_read_as_one_more_from_field(line: bytes, is_clear: bool) -> None:
    author = read_author(line + b"\r\nFrom: a@a.test\r\n\r\n")
    assert (tuple(map(str, author.addresses)), author.problem == "") == (("a@a.test",), is_clear)


def test_as_many_addresses_as_the_limit_and_one_more() -> None:
    many = [f"a{n}@d{n}.test" for n in range(ADDRESSES_LIMIT)]
    assert not read_author(f"From: {', '.join(many)}\r\n\r\n".encode()).problem
    more = read_author(f"From: {', '.join([*many, 'x@x.test'])}\r\n\r\n".encode())
    assert len(more.addresses) == ADDRESSES_LIMIT
    assert more.problem
    assert len(read_mailboxes(b"a@a.test," * 1000).mailboxes) == MAILBOXES_LIMIT


@pytest.mark.parametrize(
    "piece", [b"(", b'"', b'\\"', b"<", b"[a", b"=?utf-8?q?", b"\\", b"@a:", b"a,", b":;", b"\xff"]
)
def test_hostile_repetition_is_read_in_linear_time(piece: bytes) -> None:
    began = time.process_time()
    read_mailboxes(piece * 100_000)
    assert time.process_time() - began < 10


@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from([b"a@b.test", b"<", b">", b'"', b"(", b")", b",", b":", b";", b"\\", b" ", b"\r\n "])
    ).map(b"".join)
)
def test_any_bytes_have_an_author_or_a_problem(value: bytes) -> None:
    author = read_author(b"From: " + value + b"\r\n\r\n")
    assert author.addresses or author.problem
    assert all(name.isprintable() for name in author.display_names)
    assert decode_fact("author", encode_fact(author), {"author": Author}) == author


def test_the_vectors_of_another_parser() -> None:
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is not here")
    for path in VECTORS.glob("*.json"):
        for case in json.loads(path.read_text("utf-8")):
            read_mailboxes(case["header"].encode())  # whatever it is, it raises nothing
    agreed = 0
    for case in json.loads((VECTORS / "address.json").read_text("utf-8")):
        head = case["header"].split("\n\n")[0].strip("\n").replace("\r\n", "\n").replace("\n", "\r\n")
        groups = case["expected"].get("Group") or [{"addresses": case["expected"]["List"]}]
        wanted = [entry["address"] for group in groups for entry in group["addresses"] if entry["address"]]
        found = read_mailboxes(head.encode())
        read = [str(mailbox.address).lower() for mailbox in found.mailboxes]
        if found.problem:
            continue  # not an address at all, or written so that readers disagree
        assert read == [address.lower() for address in wanted], head
        agreed += 1
    assert agreed >= 40


def test_addresses_in_a_text() -> None:
    assert addresses_in("Ann (ann@Gate.test), <b@x.y.test>") == ("gate.test", "x.y.test")
    assert addresses_in("Ann at gate.test") == ()


_PIECES = st.sampled_from(
    ["Ann", "O'Brien-2", " ", '"', "<", ">", "ann", "a.b", "@", "A.Test", "x" * 65, ".", "1", "-"]
)
_ADDRESSES = st.sampled_from(
    ["ann@a.test", "Ann.B@A-1.Test", "x" * 60 + "@b.test", "a+b=c_d@x.y.test", "a@b.1"]
)
_NAMES = st.sampled_from(["", "Ann ", '"Ann Bee" ', "Ann  Bee ", "A. Bee ", '"Ann" ', "-Ann ", "Ann"])


@given(
    st.lists(_PIECES, max_size=8).map("".join)
    | st.builds("{}<{}>".format, _NAMES, _ADDRESSES)
    | st.builds("{}{}".format, _NAMES, _ADDRESSES)
)
def test_a_plain_field_is_read_at_once_as_it_would_be_read_piece_by_piece(value: str) -> None:
    """A blank behind it makes no difference to what it says, and no plain field of it."""
    octets = value.encode()
    assert read_mailboxes(octets) == read_mailboxes(octets + b"\t")


@pytest.mark.threat("J25", "J05")
def test_what_stands_behind_signs_without_end_is_claimed_all_the_same() -> None:
    author = read_author(b"From: x" + b"<" * 4000 + b" ann@ours.example x\r\n\r\n")
    assert author.problem
    assert author.claimed == ("ours.example",)
