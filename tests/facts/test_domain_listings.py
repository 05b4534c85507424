"""Lists of domains: which names of a mail are asked about, where, and what is made of the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.facts.test_providers import World, Zones
from tests.fakes import FakeClock
from tests.policy.fakes import Lines, session, site, view

from gatepost.adapters.counters import MemoryCounters
from gatepost.config.list_settings import DnsLists, DomainProvider, DomainSource
from gatepost.config.schema import frozen
from gatepost.facts.author import Author
from gatepost.facts.domain_listings import envelope_names, find_author_listings, find_domain_listings
from gatepost.facts.provider_desk import ProviderDesk
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.model.verdict import Stage
from gatepost.protocol.list_formats import Listing
from gatepost.standards.dns_lists import is_domain_asked, with_parents

PARENTS = [
    ("two labels", "example.com", ("example.com",)),
    ("three", "www.example.com", ("www.example.com", "example.com")),
    ("many: the shortest four", "a.b.c.d.e.test", ("b.c.d.e.test", "c.d.e.test", "d.e.test", "e.test")),
    ("one label", "localhost", ("localhost",)),
]


@pytest.mark.parametrize(("name", "domain", "then"), PARENTS, ids=[row[0] for row in PARENTS])
def test_which_names_are_asked_for_a_domain(name: str, domain: str, then: tuple[str, ...]) -> None:
    assert with_parents(domain) == then


@pytest.mark.threat("M12")
def test_what_no_list_of_domains_knows_is_not_asked() -> None:
    asked = ("example.com", "localhost", "192.0.2.1", "[192.0.2.1]", "", "x" * 201 + ".test", "a.b1")
    assert [one for one in asked if is_domain_asked(one)] == ["example.com", "a.b1"]


class Names:
    """Feeds that list domains."""

    def __init__(self, listings: Mapping[str, Listing]) -> None:
        self._listings = listings

    def listing(self, name: str, version: int, number: int) -> Listing | None:
        raise AssertionError("it lists no addresses")

    def name_listing(self, name: str, domain: str) -> Listing | None:
        return self._listings.get(domain)


def desk(
    zones: Zones, feeds: Any = None, log: Lines | None = None, **domains: dict[str, Any]
) -> ProviderDesk:
    return ProviderDesk(
        block={},
        allow={},
        domains={name: DomainProvider.model_validate(frozen(one)) for name, one in domains.items()},
        settings=DnsLists(),
        lookup=zones,
        feeds=feeds if feeds is not None else World().feeds,
        monotonic=FakeClock().monotonic,
        log=log or Lines(),
        counters=MemoryCounters(),
    )


MAIL = view(
    Stage.RCPT,
    who=session(client_ip="192.0.2.7", helo="Mail.Bad.test."),
    sender="x@news.good.test",
    recipient="bob@gate.test",
)
DNS = ReverseDns(address="192.0.2.7", names=("a.pool.test", "liar.test"), confirmed=("a.pool.test",))


def test_the_names_of_an_envelope() -> None:
    assert envelope_names(MAIL, DNS, site()) == {
        "helo": ["mail.bad.test"],
        "reverse-dns": ["a.pool.test"],
        "sender": ["news.good.test"],
    }
    ours = view(Stage.RCPT, who=session(helo="[192.0.2.7]"), sender="x@gate.test", recipient="bob@gate.test")
    assert envelope_names(ours, None, site()) == {"helo": [], "reverse-dns": [], "sender": []}


def found(zones: Zones, **domains: Any) -> Any:
    return asyncio.run(find_domain_listings(MAIL, DNS, desk(zones, **domains), site()))


def test_each_provider_is_asked_about_what_it_wants_and_the_domains_above() -> None:
    zones = Zones({"bad.test.dbl.test": ("127.0.1.2", b"why"), "a.pool.test.uri.test": ("127.0.0.4",)})
    fact = found(
        zones,
        first={"zone": "dbl.test", "asked": ["helo", "sender"], "reply": "{name}: {text}", "weight": 0.5},
        second={"zone": "uri.test", "asked": ["reverse-dns"], "parents": False, "priority": 200},
        third={"zone": "off.test", "enabled": False},
    )
    assert sorted(zones.asked) == [
        "a.pool.test.uri.test",
        "bad.test.dbl.test",
        "bad.test.dbl.test",  # its words
        "good.test.dbl.test",
        "mail.bad.test.dbl.test",
        "news.good.test.dbl.test",
    ]
    assert [(one.provider, one.domain, one.codes, one.text, one.weight) for one in fact.listed] == [
        ("first", "bad.test", ("127.0.1.2",), "why", 0.5),
        ("second", "a.pool.test", ("127.0.0.4",), "", 1.0),
    ]
    assert fact.asked == ("mail.bad.test", "a.pool.test", "news.good.test")


@pytest.mark.threat("M07")
def test_a_refusal_and_a_silence_are_no_listing() -> None:
    zones = Zones({"mail.bad.test.dbl.test": ("127.255.255.254",)}, silent={"dead.test"})
    one: dict[str, Any] = {"asked": ["helo"], "parents": False}
    fact = found(zones, a={"zone": "dbl.test", **one}, b={"zone": "dead.test", **one})
    assert fact.listed == ()
    assert [text.partition(":")[0] for text in fact.unanswered] == ["a", "b"]


def test_the_domains_in_from_are_asked_when_they_are_known() -> None:
    zones = Zones({"bad.test.dbl.test": ("127.0.1.2",)})
    used = desk(zones, a={"zone": "dbl.test"}, b={"zone": "uri.test", "asked": ["helo"]})
    author = Author(domains=("www.bad.test", "gate.test"))
    fact = asyncio.run(find_author_listings(author, used, site()))
    assert [one.domain for one in fact.listed] == ["bad.test"]
    assert sorted(zones.asked) == ["bad.test.dbl.test", "www.bad.test.dbl.test"]
    assert asyncio.run(find_author_listings(None, used, site())).asked == ()


def test_a_list_in_memory_is_asked_as_a_zone_is() -> None:
    feeds = Names({"bad.test": Listing("127.0.1.4", "$ is bad")})
    used = desk(Zones(), feeds, a={"feeds": ["mine"], "answers": ["127.0.1.4"]})
    named: dict[DomainSource, Sequence[str]] = {"helo": ("mail.bad.test",)}
    answers = asyncio.run(used.ask_domains(named))
    assert [(one.subject, one.is_listed, one.text) for one in answers] == [
        ("mail.bad.test", False, ""),
        ("bad.test", True, "bad.test is bad"),
    ]


TEST_POINTS: list[Any] = [
    ("as it should be", {"test.dbl.test": ("127.0.1.2",)}, [], ""),
    (
        "everything is listed",
        {"test.dbl.test": ("127.0.1.2",), "invalid.dbl.test": ("127.0.1.2",)},
        ["wrong"],
        "yes",
    ),
    ("nothing is there", {}, ["wrong"], ""),
    ("a test name of its own", {"spam.example.dbl.test": ("127.0.1.2",)}, [], "", "spam.example"),
]


@pytest.mark.threat("M07")
@pytest.mark.parametrize("row", TEST_POINTS, ids=[row[0] for row in TEST_POINTS])
def test_the_test_points_of_a_list_of_domains(row: Any) -> None:
    _, records, complaints, distrusted, *more = row
    log = Lines()
    used = desk(Zones(dict(records)), None, log, a={"zone": "dbl.test", "test-name": more[0] if more else ""})
    assert asyncio.run(used.check())
    assert [event.rpartition("-")[2] for _, event, _ in log.lines] == complaints
    (answer,) = asyncio.run(used.ask_domains({"helo": ("a.test",)}))
    assert bool(answer.problem) is bool(distrusted)
