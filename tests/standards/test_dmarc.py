"""DMARC as RFC 9989 has it: records, the tree walk, organisations, alignment."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.standards.dmarc_zone import Zone

from gatepost.standards.dmarc import Evaluation, Proven, Unchecked, decisive, evaluate
from gatepost.standards.dmarc_record import Policy, ReportAddress, is_dmarc, parse_record
from gatepost.standards.dmarc_walk import TreeWalker, Walk, names_to_ask

RECORDS: list[tuple[str, str, dict[str, Any]]] = [
    ("p alone", "v=DMARC1; p=reject", {"p": Policy.REJECT, "sp": Policy.REJECT, "np": Policy.REJECT}),
    ("sp", "v=DMARC1;p=none;sp=reject;", {"p": Policy.NONE, "sp": Policy.REJECT, "np": Policy.REJECT}),
    ("np", "v=DMARC1;np=reject;p=none", {"sp": Policy.NONE, "np": Policy.REJECT, "has_np": True}),
    ("upper case words", "v=DMARC1; P=Reject; ADKIM=S", {"p": Policy.REJECT, "strict_dkim": True}),
    (
        "blanks everywhere",
        " v=DMARC1 ; p = quarantine ;\taspf\t=\ts ",
        {"p": Policy.QUARANTINE, "strict_spf": True},
    ),
    ("testing", "v=DMARC1; p=reject; t=y", {"testing": True}),
    ("a public suffix", "v=DMARC1; p=none; psd=y", {"psd": "y"}),
    ("an odd psd", "v=DMARC1; p=none; psd=x", {"psd": "u"}),
    ("no p, with reports", "v=DMARC1; rua=mailto:a@b.test", {"p": Policy.NONE, "problem": ""}),
    ("a broken p, with reports", "v=DMARC1; p=rejct; rua=mailto:a@b.test", {"p": Policy.NONE, "problem": ""}),
    ("no p", "v=DMARC1", {"problem": "no usable p"}),
    ("a broken p", "v=DMARC1; p=rejct", {"problem": "no usable p"}),
    ("a broken sp", "v=DMARC1; p=reject; sp=x", {"p": Policy.NONE, "problem": "no usable sp"}),
    ("an empty np", "v=DMARC1; p=reject; np=", {"p": Policy.NONE, "problem": "no usable np"}),
    (
        "a broken sp, with reports",
        "v=DMARC1; p=reject; sp=x; np=reject; rua=mailto:a@b.test",
        {"p": Policy.NONE, "sp": Policy.NONE, "np": Policy.NONE, "problem": ""},
    ),
    (
        "a broken np, with reports by another way",
        "v=DMARC1; p=reject; np=x; rua=https://b.test/",
        {"p": Policy.NONE, "problem": "", "rua": ()},
    ),
    ("a broken p, with what is no URI", "v=DMARC1; p=x; rua=a@b.test", {"problem": "no usable p"}),
    (
        "a tag twice",
        "v=DMARC1; p=reject; p=none",
        {"problem": "a tag stands twice, or the record is too long"},
    ),
    ("unknown tags", "v=DMARC1; p=reject; x=1; ; junk; y==", {"p": Policy.REJECT, "problem": ""}),
    (
        "tags of RFC 7489",
        "v=DMARC1; p=reject; pct=0; rf=afrf; ri=3600",
        {
            "p": Policy.REJECT,
            "testing": False,
            "notes": tuple(f"{tag} has no meaning since RFC 9989" for tag in ("pct", "rf", "ri")),
        },
    ),
    (
        "addresses with limits",
        "v=DMARC1; p=none; rua=mailto:a@b.test!10m , MAILTO:c@d.test!5,https://x.test/,mailto:@x.test",
        {"rua": (ReportAddress("a@b.test", 10 << 20), ReportAddress("c@d.test", 5))},
    ),
    (
        "addresses with fields behind them",
        "v=DMARC1; p=none; rua=mailto:a@b.test?subject=x@y!1k,mailto:?to=a@b.test,mailto:a@?b@c.test",
        {"rua": (ReportAddress("a@b.test", 1 << 10),)},
    ),
    ("ten kilobytes", "v=DMARC1; p=reject; x=" + "y" * 11_000, {"p": Policy.NONE}),
]


@pytest.mark.threat("J30")
@pytest.mark.parametrize(("name", "text", "wanted"), RECORDS, ids=[r[0] for r in RECORDS])
def test_records(name: str, text: str, wanted: dict[str, Any]) -> None:
    assert is_dmarc(text.strip().encode())
    record = parse_record(text.strip().encode())
    assert {key: getattr(record, key) for key in wanted} == wanted


@pytest.mark.threat("J30")
@pytest.mark.parametrize(
    "text", ["p=reject; v=DMARC1", "v=DMARC1x; p=none", "v=dmarc1; p=none", "v=DMARC2", ""]
)
def test_what_is_no_dmarc_record(text: str) -> None:
    assert not is_dmarc(text.encode())


@given(st.binary(max_size=200) | st.text("v=DMARC1;p rejctusn:!@,0kmailo", max_size=200).map(str.encode))
def test_any_bytes_make_a_record(text: bytes) -> None:
    record = parse_record(b"v=DMARC1;" + text)
    assert not (record.problem and record.p)


@pytest.mark.threat("J29")
def test_eight_questions_at_most() -> None:
    assert names_to_ask("a.b.test") == ("a.b.test", "b.test", "test")
    eight = "a.b.c.d.e.f.g.test"
    assert len(names_to_ask(eight)) == 8
    long = names_to_ask("x." * 40 + eight)
    assert len(long) == 8
    assert long[1] == "b.c.d.e.f.g.test"
    assert names_to_ask("[192.0.2.1]") == ()
    assert names_to_ask("a." * 124 + "test") == tuple("a." * n + "test" for n in range(6, -1, -1))


ORGANIZATIONS: list[tuple[str, dict[str, str], str, str]] = [
    ("no record at all", {}, "a.b.test", "a.b.test"),
    ("its own record", {"b.test": "p=none"}, "b.test", "b.test"),
    ("the one with the fewest labels", {"a.b.test": "p=none", "b.test": "p=none"}, "a.b.test", "b.test"),
    ("psd=n ends the walk", {"a.b.test": "p=none; psd=n", "b.test": "p=none"}, "x.a.b.test", "a.b.test"),
    ("below a public suffix", {"test": "p=none; psd=y"}, "a.b.test", "b.test"),
    (
        "below a suffix of two labels",
        {"co.test": "p=none; psd=y", "test": "p=none"},
        "a.b.co.test",
        "b.co.test",
    ),
    ("a public suffix itself", {"co.test": "p=none; psd=y"}, "co.test", "co.test"),
    ("a record of another", {"b.test": "p=none"}, "ab.test", "ab.test"),
]


@pytest.mark.threat("J29")
@pytest.mark.parametrize(
    ("name", "records", "start", "wanted"), ORGANIZATIONS, ids=[o[0] for o in ORGANIZATIONS]
)
def test_organizations(name: str, records: dict[str, str], start: str, wanted: str) -> None:
    zone = Zone({domain: f"v=DMARC1; {text}" for domain, text in records.items()})
    walk = asyncio.run(TreeWalker(zone, timeout_s=1).walk(start))
    assert walk.organization == wanted
    assert len(zone.asked) <= 8


@dataclass(frozen=True)
class Case:
    name: str
    records: dict[str, str]
    given: Proven
    then: tuple[str, str, Policy]
    """Result, where the policy stands, the policy."""
    author: str = "a.test"
    absent: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    questions: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


NOTHING = Proven()
REJECT = {"a.test": "p=reject"}
CASES = [
    Case("no record, no opinion", {}, Proven(spf_domain="a.test"), ("none", "", Policy.NONE)),
    Case("nothing proved", REJECT, NOTHING, ("fail", "a.test", Policy.REJECT)),
    Case(
        "SPF of the domain",
        REJECT,
        Proven(spf_domain="a.test"),
        ("pass", "a.test", Policy.REJECT),
        questions=2,
    ),
    Case(
        "DKIM of the domain",
        REJECT,
        Proven(dkim_domains=("e.test", "a.test")),
        ("pass", "a.test", Policy.REJECT),
    ),
    Case(
        "SPF of a stranger",
        REJECT,
        Proven(spf_domain="e.test"),
        ("fail", "a.test", Policy.REJECT),
        questions=2,
    ),
    Case("a subdomain, relaxed", REJECT, Proven(spf_domain="m.a.test"), ("pass", "a.test", Policy.REJECT)),
    Case(
        "the parent, relaxed",
        REJECT,
        Proven(dkim_domains=("a.test",)),
        ("pass", "a.test", Policy.REJECT),
        "n.a.test",
    ),
    Case(
        "siblings, relaxed",
        REJECT,
        Proven(spf_domain="m.a.test"),
        ("pass", "a.test", Policy.REJECT),
        "n.a.test",
    ),
    Case(
        "a subdomain, strict SPF",
        {"a.test": "p=reject; aspf=s"},
        Proven(spf_domain="m.a.test"),
        ("fail", "a.test", Policy.REJECT),
    ),
    Case(
        "strict SPF binds DKIM not",
        {"a.test": "p=reject; aspf=s"},
        Proven(dkim_domains=("m.a.test",)),
        ("pass", "a.test", Policy.REJECT),
    ),
    Case(
        "a subdomain, strict DKIM",
        {"a.test": "p=reject; adkim=s"},
        Proven(dkim_domains=("m.a.test",)),
        ("fail", "a.test", Policy.REJECT),
    ),
    Case(
        "a subdomain that is its own organisation",
        {"a.test": "p=reject", "m.a.test": "p=none; psd=n"},
        Proven(spf_domain="m.a.test"),
        ("fail", "a.test", Policy.REJECT),
    ),
    Case(
        "a name that only ends alike", REJECT, Proven(spf_domain="xa.test"), ("fail", "a.test", Policy.REJECT)
    ),
    Case("our name in front", REJECT, Proven(spf_domain="a.test.e.test"), ("fail", "a.test", Policy.REJECT)),
    Case(
        "sp for what stands below",
        {"a.test": "p=reject; sp=none"},
        NOTHING,
        ("fail", "a.test", Policy.NONE),
        "n.a.test",
    ),
    Case(
        "np for what does not exist",
        {"a.test": "p=none; np=reject"},
        NOTHING,
        ("fail", "a.test", Policy.REJECT),
        "n.a.test",
        absent=frozenset({"n.a.test"}),
    ),
    Case(
        "sp for what exists",
        {"a.test": "p=none; np=reject"},
        NOTHING,
        ("fail", "a.test", Policy.NONE),
        "n.a.test",
    ),
    Case(
        "the public suffix speaks for who has no record",
        {"test": "p=quarantine; psd=y; np=reject"},
        NOTHING,
        ("fail", "test", Policy.QUARANTINE),
    ),
    Case(
        "under one public suffix nobody stands for the neighbour",
        {"test": "p=reject; psd=y"},
        Proven(spf_domain="e.test"),
        ("fail", "test", Policy.REJECT),
    ),
    Case(
        "a record that asks for nothing", {"a.test": "sp=none"}, NOTHING, ("permerror", "a.test", Policy.NONE)
    ),
    Case(
        "no answer about the policy",
        REJECT,
        NOTHING,
        ("temperror", "", Policy.NONE),
        silent=frozenset({"a.test"}),
    ),
    Case(
        "no answer, though SPF passed",
        REJECT,
        Proven(spf_domain="a.test"),
        ("temperror", "", Policy.NONE),
        silent=frozenset({"a.test"}),
    ),
    Case(
        "no answer about an identifier",
        REJECT,
        Proven(spf_domain="m.a.test"),
        ("temperror", "a.test", Policy.REJECT),
        silent=frozenset({"m.a.test"}),
    ),
    *(
        Case(
            f"{method} of {domain} left open", records, Proven(unchecked=(Unchecked(method, domain),)), wanted
        )
        for method in ("SPF", "DKIM")
        for domain, records, wanted in (
            ("a.test", REJECT, ("temperror", "a.test", Policy.REJECT)),
            ("m.a.test", REJECT, ("temperror", "a.test", Policy.REJECT)),
            ("m.a.test", {"a.test": "p=reject; adkim=s; aspf=s"}, ("fail", "a.test", Policy.REJECT)),
            ("e.test", REJECT, ("fail", "a.test", Policy.REJECT)),
            ("a.test.e.test", REJECT, ("fail", "a.test", Policy.REJECT)),
        )
    ),
    Case(
        "a domain too long to have a record of its own",
        {"a.test": "p=reject; sp=reject"},
        Proven(spf_domain="e.test"),
        ("fail", "a.test", Policy.REJECT),
        author=f"{'x' * 60}.{'x' * 60}.{'x' * 60}.{'x' * 58}.a.test",
    ),
    Case(
        "SPF left open, DKIM proved",
        REJECT,
        Proven(unchecked=(Unchecked("SPF", "m.a.test"),), dkim_domains=("a.test",)),
        ("pass", "a.test", Policy.REJECT),
    ),
]


@pytest.mark.threat("J11")
@pytest.mark.threat("J29")
@pytest.mark.threat("J31")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_evaluation(case: Case) -> None:
    zone = Zone({d: f"v=DMARC1; {text}" for d, text in case.records.items()}, case.silent, case.absent)
    found = asyncio.run(evaluate([case.author], case.given, zone, timeout_s=1))[0]
    assert (found.result, found.policy_domain, found.policy) == case.then
    if case.questions is not None:
        assert len(zone.asked) == case.questions


@pytest.mark.threat("J30")
def test_two_records_at_one_name_are_none() -> None:
    zone = Zone({"a.test": ("v=DMARC1; p=reject", "v=DMARC1; p=none", "v=spf1 -all")})
    assert asyncio.run(evaluate(["a.test"], NOTHING, zone, timeout_s=1))[0].result == "none"


@pytest.mark.threat("J25")
@pytest.mark.parametrize(
    ("proved", "result", "author"),
    [
        (("a.test", "b.test"), "pass", None),
        (("a.test",), "fail", "b.test"),
        (("b.test",), "fail", "a.test"),
        ((), "fail", "b.test"),
    ],
)
def test_of_several_authors_every_one_must_pass(
    proved: tuple[str, ...], result: str, author: str | None
) -> None:
    zone = Zone({"a.test": "v=DMARC1; p=none", "b.test": "v=DMARC1; p=reject"})
    found = decisive(
        asyncio.run(evaluate(["a.test", "b.test"], Proven(dkim_domains=proved), zone, timeout_s=1))
    )
    assert found.result == result
    assert author in (None, found.from_domain)


@pytest.mark.threat("J25")
@pytest.mark.parametrize(
    ("fifth", "failing", "result", "author"),
    [
        ("victim.test", (), "permerror", "victim.test"),
        ("d4.test", ("victim.test",), "fail", "victim.test"),
        ("victim.test", ("lax.test",), "permerror", "victim.test"),
        ("victim.test", ("silent.test",), "permerror", "victim.test"),
    ],
    ids=["a crowd hides nobody", "a strict failure is heard", "a lax one is not", "nor a silent one"],
)
def test_beyond_four_author_domains_nothing_passes(
    fifth: str, failing: tuple[str, ...], result: str, author: str
) -> None:
    good = [f"d{n}.test" for n in range(4 - len(failing))]
    records = dict.fromkeys((*good, "d4.test", "lax.test"), "v=DMARC1; p=none")
    zone = Zone({**records, "victim.test": "v=DMARC1; p=reject"}, silent=frozenset({"silent.test"}))
    domains = [*good, *failing, fifth]
    found = decisive(asyncio.run(evaluate(domains, Proven(dkim_domains=tuple(good)), zone, timeout_s=1)))
    assert (found.result, found.from_domain) == (result, author)


@pytest.mark.threat("J13")
def test_a_thousand_identifiers_cost_few_questions() -> None:
    zone = Zone({"a.test": "v=DMARC1; p=reject; psd=n"})
    many = Proven(dkim_domains=tuple(f"x.y.z.n{n}.a.test" for n in range(1000)))
    asyncio.run(evaluate(["a.test"], many, zone, timeout_s=1))
    assert len(zone.asked) <= 1 + 6 * 5


def test_ranks() -> None:
    ordered = [
        Evaluation(from_domain="a", result="pass", policy=Policy.REJECT),
        Evaluation(from_domain="a", result="none"),
        Evaluation(from_domain="a", result="permerror"),
        Evaluation(from_domain="a", result="temperror"),
        Evaluation(from_domain="a", result="fail", policy=Policy.NONE),
        Evaluation(from_domain="a", result="fail", policy=Policy.REJECT),
    ]
    for number, one in enumerate(ordered):
        assert decisive(ordered[: number + 1]) is one
    assert Walk("a.test").governing is None
