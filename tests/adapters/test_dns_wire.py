"""DNS messages: every byte string is an answer or refused, and what an answer says is read right."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.adapters.dns_wire import (
    Answer,
    Kind,
    Malformed,
    Record,
    ServerRefusal,
    Status,
    Truncated,
    askable,
    differs_in_case,
    is_reply_to,
    query,
    question,
    read_reply,
)
from gatepost.model.fault import PeerFault
from gatepost.ports.resolver import Mx

ASKED = question("a.example", Kind.A)
WHO = b"\xc0\x0c"
"""A pointer to the name that was asked."""


def record(kind: int, data: bytes, *, owner: bytes = WHO, ttl_s: int = 300, class_: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, class_, ttl_s, len(data)) + data


def reply(
    *answers: bytes,
    asked: bytes = ASKED,
    rcode: int = 0,
    flags: int = 0x8180,
    authority: Sequence[bytes] = (),
) -> bytes:
    head = struct.pack("!HHHHHH", 7, flags | rcode, 1, len(answers), len(authority), 0)
    return head + asked + b"".join(answers) + b"".join(authority)


def name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.split(".")) + b"\x00"


SOA = record(6, name("ns.x") + name("h.x") + struct.pack("!IIIII", 1, 2, 3, 4, 120), ttl_s=900)
ADDRESS = b"\x7f\x00\x00\x02"


@dataclass(frozen=True)
class Case:
    name: str
    message: bytes
    then: tuple[Status, tuple[Record, ...], int]
    kind: Kind = Kind.A


CASES = [
    Case("an address", reply(record(1, ADDRESS)), (Status.FOUND, ("127.0.0.2",), 300)),
    Case("another class is not ours", reply(record(1, ADDRESS, class_=3)), (Status.NODATA, (), 60)),
    Case(
        "records of other names are not ours",
        reply(record(1, ADDRESS, owner=name("b.example"))),
        (Status.NODATA, (), 60),
    ),
    Case(
        "the owner's case does not matter",
        reply(record(1, ADDRESS, owner=name("A.eXample"))),
        (Status.FOUND, ("127.0.0.2",), 300),
    ),
    Case(
        "an alias inside the answer",
        reply(record(5, name("c.example")), record(1, ADDRESS, owner=name("c.example"), ttl_s=30)),
        (Status.FOUND, ("127.0.0.2",), 30),
    ),
    Case(
        "a record before its alias",
        reply(record(1, ADDRESS, owner=name("c.example")), record(5, name("c.example"))),
        (Status.FOUND, ("127.0.0.2",), 300),
    ),
    Case("no such name, as the SOA says", reply(rcode=3, authority=[SOA]), (Status.NXDOMAIN, (), 120)),
    Case("no such record", reply(authority=[SOA]), (Status.NODATA, (), 120)),
    Case(
        "an alias to nowhere",
        reply(record(5, name("c.example")), rcode=3, authority=[SOA]),
        (Status.NXDOMAIN, (), 120),
    ),
    Case("TTL zero is five seconds", reply(record(1, ADDRESS, ttl_s=0)), (Status.FOUND, ("127.0.0.2",), 5)),
    Case(
        "TTL with the top bit is zero",
        reply(record(1, ADDRESS, ttl_s=1 << 31)),
        (Status.FOUND, ("127.0.0.2",), 5),
    ),
    Case(
        "TTL of a year is a day",
        reply(record(1, ADDRESS, ttl_s=31_536_000)),
        (Status.FOUND, ("127.0.0.2",), 86_400),
    ),
    Case(
        "IPv6",
        reply(record(28, bytes(15) + b"\x01"), asked=question("a.example", Kind.AAAA)),
        (Status.FOUND, ("::1",), 300),
        Kind.AAAA,
    ),
    Case(
        "MX",
        reply(record(15, b"\x00\x0a" + name("MX.example")), asked=question("a.example", Kind.MX)),
        (Status.FOUND, (Mx(10, "mx.example"),), 300),
        Kind.MX,
    ),
    Case(
        "null MX",
        reply(record(15, b"\x00\x00\x00"), asked=question("a.example", Kind.MX)),
        (Status.FOUND, (Mx(0, ""),), 300),
        Kind.MX,
    ),
    Case(
        "MX by pointer",
        reply(record(15, b"\x00\x0a\x02mx" + WHO), asked=question("a.example", Kind.MX)),
        (Status.FOUND, (Mx(10, "mx.a.example"),), 300),
        Kind.MX,
    ),
    Case(
        "strings are joined",
        reply(record(16, b"\x03a b\x00\x01c"), asked=question("a.example", Kind.TXT)),
        (Status.FOUND, (b"a bc",), 300),
        Kind.TXT,
    ),
    Case(
        "empty text",
        reply(record(16, b""), asked=question("a.example", Kind.TXT)),
        (Status.FOUND, (b"",), 300),
        Kind.TXT,
    ),
    Case(
        "control characters and HTML in a name",
        reply(record(12, b"\x04<b>\x00\x02ok\x00"), asked=question("a.example", Kind.PTR)),
        (Status.FOUND, ("\\060b\\062\\000.ok",), 300),
        Kind.PTR,
    ),
]


@pytest.mark.threat("M03", "M06", "M08")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_what_an_answer_says(case: Case) -> None:
    # When it is read
    answer = read_reply(case.message, question("a.example", case.kind), case.kind)
    # Then
    assert (answer.status, answer.records, answer.ttl_s) == case.then


LONG_CHAIN = [record(5, name(f"n{n + 1}.x"), owner=name(f"n{n}.x")) for n in range(20)]
BROKEN = {
    "no header": b"\x00" * 5,
    "ends in the records": reply(record(1, ADDRESS))[:-2],
    "more records promised than there are": reply(record(1, ADDRESS))[:6]
    + b"\x00\x09"
    + reply(record(1, ADDRESS))[8:],
    "a label overruns the message": reply(record(1, ADDRESS, owner=b"\x3fabc")),
    "a label of a reserved kind": reply(record(1, ADDRESS, owner=b"\x80a\x00")),
    "a pointer to itself": reply(record(1, ADDRESS, owner=struct.pack("!H", 0xC000 | 12 + len(ASKED)))),
    "a pointer forward": reply(record(1, ADDRESS, owner=b"\xc0\xff")),
    "two pointers at each other": reply(
        record(1, ADDRESS, owner=struct.pack("!HH", 0xC000 | 14 + len(ASKED), 0xC000 | 12 + len(ASKED)))
    ),
    "a name of more than 255 octets": reply(record(1, ADDRESS, owner=name(".".join(["x" * 60] * 5)))),
    "an address of five octets": reply(record(1, ADDRESS + b"\x00")),
    "an IPv6 address of four octets": reply(record(28, ADDRESS), asked=question("a.example", Kind.AAAA)),
    "an MX without a host": reply(record(15, b"\x00\x0a"), asked=question("a.example", Kind.MX)),
    "an MX whose host overruns": reply(record(15, b"\x00\x0a\x02mx"), asked=question("a.example", Kind.MX)),
    "a name shorter than its record": reply(
        record(12, name("b.x") + b"\x00"), asked=question("a.example", Kind.PTR)
    ),
    "a string overruns its record": reply(record(16, b"\x09abc"), asked=question("a.example", Kind.TXT)),
    "an alias to itself": reply(record(5, WHO)),
    "twenty aliases": reply(record(5, name("n0.x")), *LONG_CHAIN),
    "a text of 17 KiB": reply(record(16, (b"\xff" + b"x" * 255) * 68), asked=question("a.example", Kind.TXT)),
    "1,000 texts": reply(*[record(16, b"\x01x")] * 1000, asked=question("a.example", Kind.TXT)),
    "200 strings of 255, twice": reply(
        *[record(16, (b"\xff" + b"x" * 255) * 50)] * 2, asked=question("a.example", Kind.TXT)
    ),
    "1,501 records": reply(*[record(1, ADDRESS)] * 1501),
}


@pytest.mark.threat("M04", "M05", "M06")
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_answer_is_no_answer(case: str) -> None:
    message = BROKEN[case]
    kind = next((k for k in Kind if question("a.example", k) in message), Kind.A)
    with pytest.raises(Malformed):
        read_reply(message, question("a.example", kind), kind)


def test_limits_are_not_reached_by_honest_answers() -> None:
    # Given eight aliases, and 15 KiB of text, each the most that is taken
    chain = [record(5, name("n0.x")), *LONG_CHAIN[:7], record(1, ADDRESS, owner=name("n7.x"))]
    text = reply(*[record(16, b"\xff" + b"x" * 255)] * 64, asked=question("a.example", Kind.TXT))
    # Then both are read
    assert read_reply(reply(*chain), ASKED, Kind.A).links == 8
    assert len(read_reply(text, question("a.example", Kind.TXT), Kind.TXT).records) == 64


@pytest.mark.threat("M02")
@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 9])
def test_a_server_that_does_not_know_says_nothing_about_the_name(rcode: int) -> None:
    with pytest.raises(ServerRefusal):
        read_reply(reply(rcode=rcode), ASKED, Kind.A)


def test_a_truncated_answer_is_not_read() -> None:
    with pytest.raises(Truncated):
        read_reply(reply(record(1, ADDRESS), flags=0x8380), ASKED, Kind.A)


def test_an_alias_the_server_did_not_follow_is_ours_to_follow() -> None:
    answer = read_reply(reply(record(5, name("c.example"))), ASKED, Kind.A)
    assert answer == Answer(Status.NODATA, (), 300, alias="c.example", links=1)


@pytest.mark.threat("M12")
@pytest.mark.parametrize(
    "asked",
    [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a b.example",
        "a\x00.example",
        "a\r\n.example",
        "x" * 64 + ".example",
        ".".join(["x" * 60] * 5),
        "bücher.example",
        "a\\.example",
        "a.example..",
    ],
)
def test_names_that_cannot_be_asked(asked: str) -> None:
    with pytest.raises(PeerFault):
        askable(asked)


def test_names_that_can_be_asked() -> None:
    assert askable("_DMARC.Example.COM.") == "_dmarc.example.com"
    assert askable(".".join(["x" * 63] * 3 + ["y" * 61])) == ".".join(["x" * 63] * 3 + ["y" * 61])
    assert askable("8/29.1.0.192.in-addr.arpa") == "8/29.1.0.192.in-addr.arpa"


def test_a_query_is_one_that_others_understand() -> None:
    # When our bytes are read by another implementation
    read = dns.message.from_wire(query(4711, question("mail.example.com", Kind.MX)))
    # Then
    assert (read.id, str(read.question[0])) == (4711, "mail.example.com. IN MX")
    assert (read.edns, read.payload) == (0, 1232)
    assert dns.message.from_wire(query(1, ASKED, edns=False)).edns == -1


@pytest.mark.threat("M13")
def test_an_answer_must_repeat_the_question_letter_for_letter() -> None:
    # Given a question whose letters have chance case
    asked = question("mail.example.com", Kind.A, chance=b"\xff\x00" * 50)
    assert asked != question("mail.example.com", Kind.A)
    # Then only the exact echo is an answer
    assert is_reply_to(reply(asked=asked), asked)
    assert not is_reply_to(reply(asked=asked.lower()), asked)
    assert differs_in_case(reply(asked=asked.lower()), asked)
    assert not is_reply_to(reply(asked=question("mail.example.com", Kind.TXT)), asked)
    assert not differs_in_case(reply(asked=question("mail.example.org", Kind.A)), asked)
    assert not is_reply_to(reply(asked=asked, flags=0x0100), asked), "a query is no reply"


@pytest.mark.threat("M06")
@given(st.binary(max_size=300), st.sampled_from([Kind.A, Kind.AAAA, Kind.MX, Kind.TXT, Kind.PTR]))
def test_every_byte_string_is_an_answer_or_refused(rest: bytes, kind: Kind) -> None:
    asked = question("a.example", kind)
    message = b"\x00\x07\x81\x80\x00\x01\x00\x02\x00\x01\x00\x00" + asked + rest
    with contextlib.suppress(Malformed, ServerRefusal, Truncated):
        read_reply(message, asked, kind)


@pytest.mark.threat("M06")
@given(st.data())
def test_damaged_answers_are_answers_or_refused(data: st.DataObject) -> None:
    message = bytearray(
        reply(record(5, name("c.example")), record(15, b"\x00\x0a\x02mx" + WHO), record(12, WHO), SOA)
    )
    for _ in range(data.draw(st.integers(1, 5))):
        message[data.draw(st.integers(12 + len(ASKED), len(message) - 1))] = data.draw(st.integers(0, 255))
    for kind in (Kind.A, Kind.MX, Kind.PTR):
        with contextlib.suppress(Malformed, ServerRefusal, Truncated):
            read_reply(bytes(message), ASKED, kind)


@pytest.mark.threat("M06")
def test_the_worst_message_takes_little_time() -> None:
    # Given 64 KiB of names, each a ladder of pointers down the one before
    asked = question("a.example", Kind.PTR)
    records, at = [], 12 + len(asked)
    for _ in range(1500):
        made = record(12, b"\x01x\x01x\x01x\x01x" + WHO, owner=b"\x01y" * 8 + WHO)
        records.append(made)
        at += len(made)
    # When
    began = time.process_time()
    with contextlib.suppress(Malformed):
        read_reply(reply(*records, asked=asked), asked, Kind.PTR)
    # Then
    assert time.process_time() - began < 10
