"""List providers: what is asked, what answers mean, and what becomes of those that fail, refuse or list everybody."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import FakeClock
from tests.policy.fakes import Lines, session, view
from tests.shared_data import ABSENT, SHARED

from gatepost.adapters.counters import MemoryCounters
from gatepost.config.list_settings import DnsLists, Provider
from gatepost.config.schema import frozen
from gatepost.facts.dns_listings import DnsListings, find_dns_listings
from gatepost.facts.provider_desk import ProviderAnswer, ProviderDesk
from gatepost.model.fault import WorldFault
from gatepost.model.list_answer import Match, judge, reply_text
from gatepost.model.verdict import Stage
from gatepost.ports.resolver import LookedUp, RecordType
from gatepost.protocol.list_formats import Listing
from gatepost.standards.dns_lists import question_for, question_for_name

DATA = SHARED / "dnsbl/rfc5782.json"


@dataclass
class Zones:
    """Keeps the promise of ports.resolver.Lookup. held: names that are never answered. silent: zones that fail."""

    records: dict[str, tuple[str | bytes, ...]] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        self.asked.append(name)
        if any(name.endswith(zone) for zone in self.held):
            await asyncio.Event().wait()
        if any(name.endswith(zone) for zone in self.silent):
            raise WorldFault("no name server answers")
        found = self.records.get(name, ())
        wanted = bytes if kind is RecordType.TXT else str
        return LookedUp(records=tuple(r for r in found if isinstance(r, wanted)), exists=bool(found))


class Feeds:
    def __init__(self, listings: Mapping[tuple[str, int], Listing] | None = None) -> None:
        self.listings = dict(listings or {})

    def listing(self, name: str, version: int, number: int) -> Listing | None:
        if name == "unread":
            raise WorldFault("the feed unread was not read yet")
        return self.listings.get((name, number))

    def name_listing(self, name: str, domain: str) -> Listing | None:
        raise AssertionError(f"{name} lists no domains such as {domain}")


@dataclass
class World:
    zones: Zones = field(default_factory=Zones)
    feeds: Feeds = field(default_factory=Feeds)
    clock: FakeClock = field(default_factory=FakeClock)
    log: Lines = field(default_factory=Lines)
    counters: MemoryCounters = field(default_factory=MemoryCounters)

    def desk(self, settings: dict[str, Any] | None = None, **block: dict[str, Any]) -> ProviderDesk:
        providers = {name: Provider.model_validate(frozen(one)) for name, one in block.items()}
        allow = {name: providers.pop(name) for name in list(providers) if name.startswith("allow")}
        return ProviderDesk(
            block=providers,
            allow=allow,
            settings=DnsLists.model_validate(frozen(settings or {})),
            lookup=self.zones,
            feeds=self.feeds,
            monotonic=self.clock.monotonic,
            log=self.log,
            counters=self.counters,
        )

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.log.lines]


IP = "192.0.2.7"
ASKED = "7.2.0.192.bl.test"


def ask(desk: ProviderDesk, address: str = IP) -> tuple[ProviderAnswer, ...]:
    return asyncio.run(desk.ask(address))


def test_how_a_list_is_asked() -> None:
    assert question_for("192.0.2.7", "bl.test") == ASKED
    nibbles = "5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.a.b.0.8.b.d.0.1.0.0.2.bl6.test"
    assert question_for("2001:db8:bad::25", "bl6.test") == nibbles
    assert question_for("::ffff:127.0.0.2", "z").startswith("2.0.0.0.0.0.f.7.f.f.f.f.0.")
    assert question_for_name("Www.Spam.example.", "dbl.test") == "www.spam.example.dbl.test"


@dataclass(frozen=True)
class Case:
    name: str
    answers: tuple[str, ...]
    codes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    bitmask: str = ""
    refused: str = ""


CASES = (
    Case("no answer", ()),
    Case("any answer", ("127.0.0.2",), ("127.0.0.2",)),
    Case("several answers", ("127.0.0.4", "127.0.0.2"), ("127.0.0.2", "127.0.0.4")),
    Case("an exact answer", ("127.0.0.2", "127.0.0.5"), ("127.0.0.5",), ("127.0.0.4", "127.0.0.5")),
    Case("not one of the exact answers", ("127.0.0.2",), (), ("127.0.0.4",)),
    Case("a network of answers", ("127.0.1.6",), ("127.0.1.6",), ("127.0.1.0/24",)),
    Case("a bit of the mask", ("127.0.0.5",), ("127.0.0.5",), (), "127.0.0.6"),
    Case("no bit of the mask", ("127.0.0.8",), (), (), "127.0.0.6"),
    Case("a bit in another octet", ("127.0.2.2",), (), (), "127.0.0.6"),
    Case("mask or exact answer", ("127.0.0.10",), ("127.0.0.10",), ("127.0.0.10",), "127.0.0.4"),
    Case("outside of 127/8", ("10.1.2.3", "192.0.2.1", "::1", "x"), ()),
    Case("refused", ("127.255.255.254",), (), (), "", "127.255.255.254"),
    Case("refused and listed", ("127.0.0.2", "127.255.255.252"), (), (), "", "127.255.255.252"),
    Case("a thousand answers", tuple(f"127.0.{n >> 8}.{n & 255}" for n in range(1000)), ("127.0.0.2",), ("127.0.0.2",)),
)  # fmt: skip


@pytest.mark.threat("M07")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_what_an_answer_means(case: Case) -> None:
    judged = judge(case.answers, Match.of(case.given, case.bitmask))
    assert (judged.codes, judged.refused) == (case.codes, case.refused)


@pytest.mark.parametrize(
    "answers", ["10.0.0.1", "127.255.255.2", "127.255.255.0/24", "126.0.0.0/7", "::1", "x", ""]
)
def test_answers_that_never_count(answers: str) -> None:
    with pytest.raises(ValueError):
        Match.of([answers], "")


@pytest.mark.parametrize("mask", ["127.0.0.0", "127.0.1.2", "10.0.0.2", "2", "x"])
def test_masks_that_are_none(mask: str) -> None:
    with pytest.raises(ValueError):
        Match.of([], mask)


def test_the_words_of_a_refusal_cannot_bite() -> None:
    said = reply_text(
        "{ip} is on {zone} ({code}): {text}",
        ip=IP,
        zone="bl.test",
        code="127.0.0.2",
        text="a\r\n250 ok\x1b{ip}",
    )
    assert said == f"{IP} is on bl.test (127.0.0.2): a??250 ok?{{ip}}"
    assert len(reply_text("{text}" * 100, text="x" * 10_000)) <= 480
    with pytest.raises(ValueError, match="placeholder"):
        reply_text("{name}")


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=300))
def test_whatever_a_provider_answers_raises_nothing(answers: list[str], text: str) -> None:
    judge(answers, Match())
    assert reply_text("{text}", text=text).isprintable()


def test_all_are_asked_and_answer_by_priority() -> None:
    world = World()
    world.zones.records = {
        ASKED: ("127.0.0.2", b"see https://bl.test/7"),
        "7.2.0.192.b2.test": ("127.0.0.4",),
    }
    desk = world.desk(
        second={"zone": "b2.test", "priority": 20},
        first={"zone": "bl.test", "priority": 10, "reply": "{text}", "weight": 2.5},
        clear={"zone": "b3.test"},
        off={"zone": "b4.test", "enabled": False},
        allow_it={"zone": "al.test"},
    )
    answers = ask(desk)
    assert [(a.provider, a.is_listed) for a in answers] == [
        ("first", True),
        ("second", True),
        ("allow_it", False),
        ("clear", False),
    ]
    assert (answers[0].text, answers[1].text) == ("see https://bl.test/7", "")
    assert "7.2.0.192.b4.test" not in world.zones.asked
    mail = view(Stage.CONNECT, who=session(client_ip="198.51.100.1", origin_ip=IP))
    fact = asyncio.run(find_dns_listings(mail, desk, None))
    assert [(one.provider, one.weight) for one in fact.listed] == [("first", 2.5), ("second", 1.0)]
    assert (fact.address, fact.allowed, fact.unanswered) == (IP, (), ())
    assert asyncio.run(find_dns_listings(mail, None, None)) == DnsListings(address=IP)


def test_who_does_not_answer_in_time_has_no_say() -> None:
    world = World()
    world.zones.records = {ASKED: ("127.0.0.2",)}
    world.zones.held = {"slow.test"}
    answers = ask(world.desk({"deadline": "100ms"}, quick={"zone": "bl.test"}, slow={"zone": "slow.test"}))
    assert [(a.provider, a.is_listed, a.problem) for a in answers] == [
        ("quick", True, ""),
        ("slow", False, "no answer within 0.1 s"),
    ]


def test_a_provider_that_fails_rests_longer_each_time() -> None:
    world = World()
    world.zones.silent = {"bl.test"}
    desk = world.desk({"failures": 3, "rest": "30s", "longest-rest": "60s"}, a={"zone": "bl.test"})
    for _ in range(3):
        assert ask(desk)[0].problem == "no name server answers"
    assert "rests" in ask(desk)[0].problem
    assert len(world.zones.asked) == 3
    for rest_s in (30, 60, 60):  # each time one more failure
        world.clock.advance(rest_s - 1)
        assert "rests" in ask(desk)[0].problem
        world.clock.advance(2)
        assert ask(desk)[0].problem == "no name server answers"
    world.zones.silent.clear()
    world.clock.advance(61)
    assert ask(desk)[0].problem == ""
    assert world.events == ["list-provider-rests", "list-provider-answers-again"]


@pytest.mark.threat("M07")
def test_a_provider_that_refuses_us_lists_nobody_and_rests_for_long() -> None:
    world = World()
    world.zones.records = {ASKED: ("127.255.255.254",)}
    desk = world.desk(a={"zone": "bl.test"})
    assert "does not want questions" in ask(desk)[0].problem
    world.clock.advance(3599)
    assert "rests" in ask(desk)[0].problem
    assert world.events == ["list-provider-rests"]
    outcomes = {
        dict(labels)["outcome"] for name, labels, _ in world.counters.samples() if name == "list_questions"
    }
    assert outcomes == {"refused", "not-asked"}


POINT4, CLEAR4 = "2.0.0.127.bl.test", "1.0.0.127.bl.test"


@pytest.mark.threat("M07")
def test_a_list_that_lists_everybody_is_not_asked() -> None:
    world = World()
    every = dict.fromkeys((POINT4, CLEAR4, ASKED), ("127.0.0.2",))
    world.zones.records = dict(every)
    desk = world.desk(a={"zone": "bl.test", "ip-versions": [4]})
    assert asyncio.run(desk.check())
    assert "lists everybody" in ask(desk)[0].problem
    assert world.events == ["list-provider-wrong"]
    del world.zones.records[CLEAR4]
    assert asyncio.run(desk.check())
    assert ask(desk)[0].is_listed
    assert world.events == ["list-provider-wrong", "list-provider-trusted-again"]


def test_a_list_without_its_test_point_is_told_once_and_asked() -> None:
    world = World()
    world.zones.records = {ASKED: ("127.0.0.2",)}
    desk = world.desk(a={"zone": "bl.test"})
    for _ in range(2):
        assert asyncio.run(desk.check())
    assert world.events == ["list-provider-wrong"]
    assert ask(desk)[0].is_listed
    world.zones.silent = {"bl.test"}
    assert not asyncio.run(desk.check())


def test_a_provider_is_asked_about_its_versions_only() -> None:
    world = World()
    desk = world.desk(a={"zone": "bl.test", "ip-versions": [4]})
    assert ask(desk, "2001:db8::1") == ()
    assert len(ask(desk, "::ffff:192.0.2.7")) == 1
    assert world.zones.asked == [ASKED]
    assert asyncio.run(desk.ask_each("2001:db8::1")) == []


def test_a_provider_in_memory_counts_like_one_in_the_dns() -> None:
    world = World(feeds=Feeds({("drop", 0xC0000207): Listing("127.0.0.4", "proxy $")}))
    desk = world.desk(
        here={"feeds": ["other", "drop"]},
        elsewhere={"feeds": ["drop"], "answers": ["127.0.0.2"]},
        unread={"feeds": ["unread"]},
    )
    here, elsewhere, unread = sorted(
        ask(desk), key=lambda a: ["here", "elsewhere", "unread"].index(a.provider)
    )
    assert (here.judged.codes, here.zone, here.text) == (("127.0.0.4",), "drop", f"proxy {IP}")
    assert (elsewhere.is_listed, elsewhere.problem) == (False, "")
    assert unread.problem == "the feed unread was not read yet"
    assert world.zones.asked == []


@pytest.mark.skipif(not DATA.exists(), reason=ABSENT)
def test_the_questions_of_the_shared_data_can_be_asked() -> None:
    for case in json.loads(DATA.read_text()):
        by_name = case["zone"].startswith("dbl")
        asked = (question_for_name if by_name else question_for)(case["query"], case["zone"])
        assert asked.endswith(case["zone"])
