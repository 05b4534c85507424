"""SPF beyond the published suite: what is said about the way, limits, hostile records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.standards.zones import Zones, texts

from gatepost.ports.resolver import LookedUp, Mx, RecordType
from gatepost.standards.spf import Answer, Limits, NoRecord, Query, Step, check_host
from gatepost.standards.spf_macros import RecordError
from gatepost.standards.spf_record import Identity, Result, parse_record, select_record

CLIENT = "192.0.2.7"


def check(
    zones: Any,
    domain: str = "a.test",
    *,
    limits: Limits | None = None,
    steps: list[Step] | None = None,
    **query: Any,
) -> Answer:
    given = {"ip": CLIENT, "local": "ann", "sender_domain": domain, "helo": "mx.a.test", **query}
    return asyncio.run(
        check_host(Query(domain=domain, **given), zones, lambda: 0.0, limits or Limits(), steps)
    )


@dataclass(frozen=True)
class Case:
    name: str
    zones: Zones
    result: Result
    problem: str = ""
    query: dict[str, Any] = field(default_factory=dict)


def chain(count: int, end: str) -> Zones:
    """count includes, each in the record before."""
    names = ["a.test", *(f"i{n}.test" for n in range(1, count + 1))]
    records = {name: f"v=spf1 include:{after} -all" for name, after in pairwise(names)}
    return texts({**records, names[-1]: end})


def exists(count: int, found: int = 0, tail: str = "-all") -> Zones:
    """count terms, of which `found` find something."""
    terms = " ".join(f"exists:e{n}.test" for n in range(count))
    there = {f"e{n}.test": {"A": [CLIENT]} for n in range(found)}
    return Zones({"a.test": {"TXT": [f"v=spf1 {terms} {tail}".encode()]}, **there})


def answering(record: str, **more: Any) -> Zones:
    return Zones({"a.test": {"TXT": [record.encode()]}, **more})


MANY_HOSTS = {"MX": [Mx(10, f"h{n}.test") for n in range(11)]}
CASES = [
    Case("ten includes", chain(10, "v=spf1 +all"), Result.PASS),
    Case("eleven includes", chain(11, "v=spf1 +all"), Result.PERMERROR, "more than 10 terms ask the DNS"),
    Case(
        "ten terms and then a redirect",
        texts({"a.test": "v=spf1 " + "exists:e.%{v}.test " * 10 + "redirect=b.test", "b.test": "v=spf1 +all"}),
        Result.PERMERROR,
        "more than 2 terms find nothing",
    ),
    Case("two terms that find nothing", exists(2), Result.FAIL),
    Case("three of them", exists(3), Result.PERMERROR, "more than 2 terms find nothing"),
    Case("three of them, and nothing behind", exists(3, tail=""), Result.PERMERROR, "find nothing"),
    Case(
        "three of them, one in an include",
        answering("v=spf1 a:x.test include:b.test -all", **{"b.test": {"TXT": [b"v=spf1 a:y.test a:z.test ?all"]}}),
        Result.PERMERROR,
        "find nothing",
    ),
    Case("an mx of many dead hosts is one term", answering("v=spf1 mx -all", **{
        "a.test": {"TXT": [b"v=spf1 mx -all"], "MX": [Mx(1, f"h{n}.test") for n in range(9)]}}), Result.FAIL),
    Case(
        "eleven mail exchangers",
        Zones({"a.test": {"TXT": [b"v=spf1 mx -all"], **MANY_HOSTS}}),
        Result.PERMERROR,
        "11 mail exchangers",
    ),
    Case("a circle of includes", texts({"a.test": "v=spf1 include:b.test", "b.test": "v=spf1 include:a.test"}),
         Result.PERMERROR, "more than 10 terms"),
    Case("a redirect to itself", texts({"a.test": "v=spf1 redirect=a.test"}), Result.PERMERROR, "more than 10"),
    Case("a record of 500 KB", texts({"a.test": "v=spf1 " + "a " * 250_000}), Result.PERMERROR, "the limit is"),
    Case("a huge number in a macro", texts({"a.test": "v=spf1 exists:%{l" + "9" * 5000 + "r}.test -all"}), Result.FAIL),
    Case("no part kept", texts({"a.test": "v=spf1 exists:%{l0}.test -all"}), Result.PERMERROR, "keeps no part"),
    Case("a percent sign at the end", texts({"a.test": "v=spf1 exists:a.test% -all"}), Result.PERMERROR, "macro"),
    Case("two records", texts({"a.test": ["v=spf1 -all", "V=SPF1 +all"]}), Result.PERMERROR, "2 records"),
    Case("v=spf10 is another protocol", texts({"a.test": "v=spf10 -all"}), Result.NONE),
    Case("NUL in a record", texts({"a.test": "v=spf1 a\0b -all"}), Result.PERMERROR, "no mechanism"),
    Case("the whole of IPv4", texts({"a.test": "v=spf1 ip4:1.2.3.4/0 -all"}), Result.PASS),
    Case("no IPv4 address", texts({"a.test": "v=spf1 ip4:999.1.1.1 -all"}), Result.PERMERROR, "no network"),
    Case("no IPv6 address", texts({"a.test": "v=spf1 ip6:fe80::1%eth0 -all"}), Result.PERMERROR, "no network"),
    Case("a mapped client is IPv4", texts({"a.test": "v=spf1 ip4:192.0.2.7 -all"}), Result.PASS,
         query={"ip": "::ffff:192.0.2.7"}),
    Case("a//0 for IPv6", answering("v=spf1 a//0 -all", **{"a.test": {
        "TXT": [b"v=spf1 a//0 -all"], "AAAA": ["2001:db8::1"]}}), Result.PASS, query={"ip": "2001:db8:1::9"}),
    Case("junk behind a network", texts({"a.test": "v=spf1 ip4:192.0.2.0/24x -all"}), Result.PERMERROR, "network"),
    Case("a mistake behind the match", texts({"a.test": "v=spf1 +all nonsense"}), Result.PERMERROR, "nonsense"),
    Case("a sender in UTF-8 matches no %{l}", texts({"a.test": "v=spf1 exists:%{l}.test include:%{S}.x.test -all"}),
         Result.FAIL, query={"local": "bärbel"}),
    Case("an include without a record", texts({"a.test": "v=spf1 include:b.test -all"}), Result.PERMERROR,
         "include:b.test leads to no record"),
    Case("an address literal", texts({}), Result.NONE, query={"domain_": "[192.0.2.7]"}),
    Case("nonsense as a name", texts({}), Result.NONE, query={"domain_": "\x00 <>..\udcff"}),
    Case("a silent name server", Zones({}, frozenset({"a.test"})), Result.TEMPERROR, "no name server answers"),
    Case("an alias", Zones({"a.test": {"CNAME": ["b.test"]}, "b.test": {"TXT": [b"v=spf1 +all"]}}), Result.PASS),
]  # fmt: skip


@pytest.mark.threat("J01", "J02", "J03", "J04", "J05", "J07", "J08", "J09")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_results(case: Case) -> None:
    query = dict(case.query)
    answer = check(case.zones, query.pop("domain_", "a.test"), **query)
    assert answer.result is case.result, answer
    assert case.problem in answer.problem
    assert bool(answer.problem) is (case.result in (Result.PERMERROR, Result.TEMPERROR))


@pytest.mark.threat("J01")
def test_the_eleventh_term_is_not_asked() -> None:
    zones = exists(11, found=0)
    assert check(zones, limits=Limits(void_terms=20)).result is Result.PERMERROR
    assert [name for name, kind in zones.asked if kind == "A"] == [f"e{n}.test" for n in range(10)]


@pytest.mark.threat("J03")
def test_the_eleventh_name_of_a_client_is_not_looked_at() -> None:
    names = [f"n{n}.test" for n in range(10)] + ["host.a.test"]
    zones = Zones({
        "a.test": {"TXT": [b"v=spf1 ptr -all"]},
        "7.2.0.192.in-addr.arpa": {"PTR": names},
        "host.a.test": {"A": [CLIENT]},
    })  # fmt: skip
    assert check(zones).result is Result.FAIL
    assert ("host.a.test", "A") not in zones.asked


@pytest.mark.threat("J04", "J05")
def test_a_macro_bomb_costs_a_bounded_number_of_questions() -> None:
    bomb = " ".join("include:" + "%{p}" * 60 + f".b{n}.test" for n in range(100))
    zones = Zones({
        "a.test": {"TXT": [f"v=spf1 {bomb} -all".encode()]},
        "7.2.0.192.in-addr.arpa": {"PTR": [f"n{n}.test" for n in range(20)]},
    })  # fmt: skip
    assert check(zones).result is Result.PERMERROR
    assert len(zones.asked) <= 13


def test_the_answer_names_term_record_and_way() -> None:
    zones = texts({
        "a.test": "v=spf1 include:b.test -all",
        "b.test": "v=spf1 ip4:203.0.113.0/24 include:c.test ~all",
        "c.test": "v=spf1 redirect=d.test",
        "d.test": "v=spf1 ip4:192.0.2.0/28 -all",
    })  # fmt: skip
    answer = check(zones)
    assert (answer.result, answer.term, answer.record_domain) == (Result.PASS, "ip4:192.0.2.0/28", "d.test")
    assert answer.path == ("a.test", "b.test", "c.test", "d.test")
    assert check(zones, ip="198.51.100.1").term == "-all"


def test_an_error_says_where() -> None:
    answer = check(texts({"a.test": "v=spf1 include:b.test -all", "b.test": "v=spf1 nonsense"}))
    assert answer.problem == "b.test: 'nonsense' is no mechanism"
    assert answer.path == ("a.test", "b.test")


def test_time_runs_out_between_two_questions() -> None:
    now = iter(range(0, 1000, 8))
    zones = exists(5, found=0)
    query = Query(ip=CLIENT, domain="a.test")
    answer = asyncio.run(check_host(query, zones, lambda: float(next(now)), Limits(void_terms=9)))
    assert (answer.result, answer.problem) == (Result.TEMPERROR, "the check took longer than 20 s")
    assert len(zones.asked) < 4


def test_everything_that_was_done_is_told() -> None:
    steps: list[Step] = []
    check(texts({"a.test": "v=spf1 include:b.test -all", "b.test": "v=spf1 a ?all"}), steps=steps)
    assert [(step.depth, step.text) for step in steps] == [
        (0, "? a.test TXT: v=spf1 include:b.test -all"),
        (0, "record v=spf1 include:b.test -all"),
        (1, "? b.test TXT: v=spf1 a ?all"),
        (1, "record v=spf1 a ?all"),
        (1, "? b.test A: nothing"),
        (1, "a: no match"),
        (1, "?all: matches, neutral"),
        (0, "include:b.test: no match"),
        (0, "-all: matches, fail"),
    ]


EXPLANATIONS = [
    ("a text", ["%{i} may not, see https://a.test/?s=%{S}"], f"{CLIENT} may not, see https://a.test/?s=ann%40a.test"),
    ("two texts", ["one", "two"], ""),
    ("not ASCII", ["bärbel"], ""),
    ("a mistake", ["%{x}"], ""),
    ("a bomb", ["%{l9999r}" * 600], ("ann" * 2000)[:600 * 3]),
    ("10 KB", ["x" * 10_000], "x" * 4096),
]  # fmt: skip


@pytest.mark.threat("J06")
@pytest.mark.parametrize(
    ("given", "said"), [case[1:] for case in EXPLANATIONS], ids=[c[0] for c in EXPLANATIONS]
)
def test_explanations(given: Sequence[str], said: str) -> None:
    answer = check(texts({"a.test": "v=spf1 -all exp=why.a.test", "why.a.test": given}))
    assert (answer.result, answer.explanation) == (Result.FAIL, said)


def test_a_silent_explanation_does_not_change_the_result() -> None:
    zones = Zones({"a.test": {"TXT": [b"v=spf1 -all exp=why.a.test"]}}, frozenset({"why.a.test"}))
    assert check(zones).result is Result.FAIL


NONES = [
    ("no such name", Zones({}), "a.test", NoRecord.NO_DOMAIN),
    ("no record", texts({"a.test": "hello"}), "a.test", NoRecord.NOT_PUBLISHED),
    ("one label", Zones({}), "localhost", NoRecord.MALFORMED),
]


@pytest.mark.parametrize(("zones", "domain", "why"), [case[1:] for case in NONES], ids=[c[0] for c in NONES])
def test_why_there_is_no_record(zones: Zones, domain: str, why: NoRecord) -> None:
    answer = check(zones, domain)
    assert (answer.result, answer.no_record, answer.path) == (Result.NONE, why, ())


# Which text is the record (RFC 4406 §3.1, §4.4)

V1, BOTH, PRA, MFROM = b"v=spf1 a", b"spf2.0/mfrom,pra b", b"spf2.0/pra c", b"spf2.0/mfrom d"
SELECTED = [
    ("SPF reads no spf2.0", Identity.SPF, [BOTH, V1], V1),
    ("spf2.0 of the scope leads", Identity.PRA, [V1, PRA, MFROM], PRA),
    ("v=spf1 when there is none of the scope", Identity.PRA, [V1, MFROM], V1),
    ("of both scopes", Identity.MFROM, [V1, BOTH], BOTH),
    ("scopes in any case and order", Identity.PRA, [b"SPF2.0/Mfrom,PRA"], b"SPF2.0/Mfrom,PRA"),
    ("an unknown scope is passed over", Identity.PRA, [b"spf2.0/other,pra x"], b"spf2.0/other,pra x"),
    ("a version without a scope is none", Identity.PRA, [b"spf2.0 -all", b"spf2.0/ -all", b"spf2.0/pra,-all"], None),
    ("another minor version", Identity.PRA, [b"spf2.1/pra -all"], b"spf2.1/pra -all"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("identity", "found", "chosen"), [case[1:] for case in SELECTED], ids=[c[0] for c in SELECTED]
)
def test_which_record(identity: Identity, found: list[bytes], chosen: bytes | None) -> None:
    assert select_record(found, identity) == chosen


def test_two_records_of_one_scope_are_a_mistake() -> None:
    with pytest.raises(RecordError):
        select_record([BOTH, PRA, V1], Identity.PRA)


# Any bytes

_WORDS = st.sampled_from(
    ["v=spf1", "a", "mx", "ptr", "include", "exists", "ip4", "ip6", "all", "redirect", "exp", ":", "=", "/", "//",
     "24", "0", "-", "+", "~", "?", "%", "%{", "}", "d", "l9r-", "x.test", ".", " ", "192.0.2.1", "::1", "é", "\0"]
)  # fmt: skip
RECORDS = st.one_of(
    st.binary(max_size=300), st.lists(_WORDS, max_size=40).map(lambda w: "".join(w).encode("latin-1"))
)


@pytest.mark.threat("J05", "J08")
@given(RECORDS)
def test_the_parser_takes_any_bytes(tail: bytes) -> None:
    with suppress(RecordError):
        parse_record(b"v=spf1 " + tail)


@pytest.mark.threat("J04", "J05")
@given(RECORDS, st.text(max_size=30), st.text(max_size=80))
def test_any_record_and_any_names_come_to_a_result(tail: bytes, local: str, domain: str) -> None:
    class Everywhere:
        asked = 0

        async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
            assert len(name) <= 253
            assert timeout_s > 0
            self.asked += 1
            found: dict[RecordType, tuple[Any, ...]] = {RecordType.TXT: (b"v=spf1 " + tail,)}
            return LookedUp(records=found.get(kind, ()))

    for name in (domain, "a.test"):
        zones = Everywhere()
        query = Query(ip=CLIENT, domain=name, local=local, sender_domain=domain, helo=local)
        answer = asyncio.run(check_host(query, zones, lambda: 0.0))
        assert answer.result in Result
        assert zones.asked < 130


def test_a_long_record_is_read_in_time_that_grows_with_its_length() -> None:
    for part in ("a/", "%{d", "ip4:1.2.3.4/", "a:" + "x-", "redirect=", "-"):
        text = ("v=spf1 " + part * 20_000)[: 16 << 10].encode()
        with pytest.raises(RecordError):
            parse_record(text)
