"""Reputation out of what workers counted: address, network, decay, whose the address is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.policy.fakes import Mailboxes, Names, session, site, view

from gatepost.config.guard_settings import SenderReputation
from gatepost.config.schema import frozen
from gatepost.facts.gathering import Sources
from gatepost.facts.sender_reputation import Reputation, ReputationBook, gatherer
from gatepost.model.conduct import Evidence
from gatepost.model.known import Known
from gatepost.model.verdict import Stage
from gatepost.ports.memory_shared import MemoryShared

NOW = 1_800_000_000.0
IP = "198.51.100.7"
SPAM = Evidence(sessions=1, spam=1, recipients=1)
GOOD = Evidence(sessions=1, good=1, recipients=1)


def table(**given: Any) -> SenderReputation:
    return SenderReputation.model_validate(frozen(given))


def book(**given: Any) -> ReputationBook:
    return ReputationBook(MemoryShared(lambda: NOW), table(**given))


def seen(kept: ReputationBook, evidence: Evidence, times: int, ip: str = IP, helo: str = "h.test") -> None:
    for _ in range(times):
        kept.add(ip, evidence, helo, NOW)


def test_nothing_is_said_below_twenty_mails() -> None:
    kept = book()
    seen(kept, SPAM, 19)
    assert kept.of(IP, NOW).level == -1
    seen(kept, SPAM, 1)
    assert (kept.of(IP, NOW).level, kept.of(IP, NOW).judged_by) == (7, IP)


def test_what_was_seen_fades() -> None:
    kept = book(**{"half-life": "1d"})
    seen(kept, SPAM, 39)
    assert kept.of(IP, NOW + 80_000).level == 7
    assert kept.of(IP, NOW + 90_000).level == -1


def test_an_unknown_address_is_judged_by_its_network_two_levels_milder() -> None:
    kept = book()
    for last in range(30):
        seen(kept, SPAM, 1, f"198.51.100.{last}")
    found = kept.of("198.51.100.200", NOW)
    assert (found.level, found.judged_by) == (5, "198.51.100.0/24")


def test_a_good_address_in_a_bad_network_is_judged_by_itself() -> None:
    kept = book()
    seen(kept, SPAM, 500, "198.51.100.1")
    seen(kept, GOOD, 30)
    assert (kept.of(IP, NOW).level, kept.of(IP, NOW).judged_by) == (0, IP)


@pytest.mark.threat("G15")
def test_a_client_that_rotates_through_its_64_is_one() -> None:
    kept = book()
    for last in range(20):
        seen(kept, SPAM, 1, f"2001:db8::{last:x}")
    assert kept.of("2001:db8::ffff", NOW).judged_by == "2001:db8::/64"


def test_many_names_in_greetings_count() -> None:
    kept = book()
    for number in range(40):
        kept.add(IP, GOOD, f"host{number}.test", NOW)
    assert "different names" in " ".join(kept.of(IP, NOW).reasons)


def test_what_is_forgotten_begins_anew() -> None:
    kept = book()
    seen(kept, SPAM, 25)
    kept.forget(IP)
    assert not any(kept.standing(IP, NOW).evidence)
    assert any(kept.standing("198.51.100.0/24", NOW).evidence)


def found_by(names: Names, spam: int, **given: Any) -> Reputation:
    shared = MemoryShared(lambda: NOW)
    settings = table(**given)
    seen(ReputationBook(shared, settings), SPAM, spam)
    sources = Sources(
        site=site(),
        resolver=names,
        directory=Mailboxes(),
        shared=shared,
        tables={"sender-reputation": settings},
    )
    who = session(client_ip="127.0.0.1", origin_ip=IP)  # behind a relay of ours
    found = gatherer(sources).begin(view(Stage.MAIL, who=who), Known())
    if isinstance(found, Coroutine):
        found = asyncio.run(found)
    assert isinstance(found, Reputation)
    return found


GOOGLE = Names(pointers={IP: ["m.google.com"]}, hosts={"m.google.com": [IP]})


def test_the_dns_is_asked_only_about_clients_that_would_be_blocked() -> None:
    assert found_by(GOOGLE, 10).names == ()
    assert GOOGLE.asked == []
    assert found_by(GOOGLE, 30).names == ("m.google.com",)
    assert found_by(GOOGLE, 30, **{"exempt-domains": []}).names == ()
    assert found_by(Names(silent=frozenset({IP})), 30).names_unknown


def test_the_discount_for_a_stranger_earns_nothing() -> None:
    """Greylisting looks at what was earned: its neighbours' level as it is."""
    shared, settings = MemoryShared(lambda: NOW), table()
    book = ReputationBook(shared, settings)
    book.add("192.0.2.1", Evidence(sessions=50, unknown=76, recipients=24), "", NOW)
    stranger, known = book.of("192.0.2.99", NOW), book.of("192.0.2.1", NOW)
    assert (stranger.level, stranger.earned) == (2, 4)
    assert (known.level, known.earned) == (4, 4)
