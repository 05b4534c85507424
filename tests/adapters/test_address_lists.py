"""IP lists: what is found for an address, who may change what, and that all see it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import FakeClock
from tests.policy.fakes import Lines

from gatepost.adapters.address_lists import SPACES, SharedAddressLists
from gatepost.adapters.shared_store import SharedStore
from gatepost.model.ip_ranges import IpRange, number_of, range_text
from gatepost.model.prefix_index import PrefixIndex
from gatepost.ports.memory_shared import MemoryShared

NEVER = math.inf


def lists(clock: FakeClock) -> SharedAddressLists:
    return SharedAddressLists(MemoryShared(clock.now), clock.now)


def put(book: SharedAddressLists, network: str, **more: object) -> None:
    given = {"expires_at": NEVER, "author": "ann", "comment": "", "by_person": True, **more}
    book.add("block", network, **given)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    name: str
    entries: tuple[str, ...]
    address: str
    found: str | None


CASES = (
    Case("nothing is listed", (), "192.0.2.1", None),
    Case("an address", ("192.0.2.1",), "192.0.2.1", "192.0.2.1"),
    Case("the address beside it", ("192.0.2.1",), "192.0.2.2", None),
    Case("a network", ("192.0.2.0/24",), "192.0.2.255", "192.0.2.0/24"),
    Case("a range", ("192.0.2.5-192.0.2.9",), "192.0.2.9", "192.0.2.5-192.0.2.9"),
    Case("behind a range", ("192.0.2.5-192.0.2.9",), "192.0.2.10", None),
    Case("a range that is a network", ("192.0.2.0-192.0.2.255",), "192.0.2.1", "192.0.2.0/24"),
    Case("the most specific", ("192.0.2.0/24", "192.0.2.1", "192.0.0.0/16"), "192.0.2.1", "192.0.2.1"),
    Case("IPv6", ("2001:db8::/64",), "2001:db8::25", "2001:db8::/64"),
    Case("IPv6 as somebody else writes it", ("2001:DB8:0:0::1",), "2001:db8::1", "2001:db8::1"),
    Case("IPv4 in IPv6, listed", ("::ffff:192.0.2.1",), "192.0.2.1", "192.0.2.1"),
    Case("IPv4 in IPv6, asked", ("192.0.2.0/24",), "::ffff:192.0.2.1", "192.0.2.0/24"),
    Case("the low end of everything", ("0.0.0.0/8",), "0.0.0.0", "0.0.0.0/8"),
    Case("the high end of everything", ("255.255.255.255",), "255.255.255.255", "255.255.255.255"),
    Case("half of IPv6", ("8000::/1",), "ffff::", "8000::/1"),
)


def test_what_is_found_for_an_address() -> None:
    for case in CASES:
        book = lists(FakeClock())
        for network in case.entries:
            put(book, network)
        found = book.find("block", case.address)
        assert (found.network if found else None) == case.found, case.name
        assert book.find("allow", case.address) is None, case.name


@pytest.mark.parametrize(
    "text", ["", "x", "192.0.2.1/24", "192.0.2.9-192.0.2.1", "0.0.0.0/0", "::/0", "192.0.2.1-::1", "a" * 9999]
)
def test_what_is_no_entry_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        lists(FakeClock()).add("block", text, expires_at=NEVER, author="ann", comment="")


def test_an_entry_counts_until_it_expires_or_is_removed() -> None:
    clock = FakeClock()
    book = lists(clock)
    put(book, "192.0.2.0/24", expires_at=clock.now() + 60, comment="a\r\nb\x1b[2J")
    put(book, "192.0.0.0/16")
    assert [e.network for e in book.matches("block", "192.0.2.1")] == ["192.0.2.0/24", "192.0.0.0/16"]
    assert book.entries("block")[1].comment.isprintable()
    clock.advance(60)
    assert [e.network for e in book.matches("block", "192.0.2.1")] == ["192.0.0.0/16"]
    assert book.remove("block", "192.0.0.0-192.0.255.255")
    assert not book.remove("block", "192.0.0.0/16")
    assert book.find("block", "192.0.2.1") is None
    assert book.entries("block") == []


def test_a_machine_does_not_replace_what_a_person_entered() -> None:
    clock = FakeClock()
    book = lists(clock)
    put(book, "192.0.2.1", comment="by hand")
    kept = book.add(
        "block", "192.0.2.1", expires_at=clock.now() + 60, author="sender-reputation", comment="bad"
    )
    assert (kept.comment, kept.by_person, kept.expires_at) == ("by hand", True, NEVER)
    made = book.add(
        "block", "192.0.2.2", expires_at=clock.now() + 60, author="sender-reputation", comment="bad"
    )
    assert (made.author, made.by_person) == ("sender-reputation", False)
    put(book, "192.0.2.2", comment="for good")
    assert [(e.comment, e.by_person) for e in book.entries("block")] == [
        ("by hand", True),
        ("for good", True),
    ]


def test_hits_are_counted_and_shown() -> None:
    clock = FakeClock()
    book = lists(clock)
    put(book, "192.0.2.0/24")
    for _ in range(3):
        found = book.find("block", "192.0.2.1")
        assert found is not None
        book.count_hit(found)
    assert book.entries("block")[0].hits == 3


def test_what_is_no_entry_in_the_file_is_passed_over() -> None:
    clock = FakeClock()
    shared = MemoryShared(clock.now)
    shared.put(SPACES["block"], "192.0.2.1", b"\xff", expires_at=NEVER)
    shared.put(SPACES["block"], "0.0.0.0/0", b"\x94\xa0\xc3\xa0\x00", expires_at=NEVER)
    book = SharedAddressLists(shared, clock.now)
    assert book.find("block", "192.0.2.1") is None
    assert book.entries("block") == []


def test_other_workers_see_a_change_without_a_reload(tmp_path: Path) -> None:
    clock = FakeClock()
    stores = [SharedStore(tmp_path / "state.db", now=clock.now, log=Lines()) for _ in range(2)]
    one, other = (SharedAddressLists(store, clock.now) for store in stores)
    try:
        put(one, "192.0.2.0/24")
        assert [store.flush(30.0) for store in stores] == ["", ""]
        found = other.find("block", "192.0.2.1")
        assert found is not None
        assert found.author == "ann"
        assert one.remove("block", "192.0.2.0/24")
        assert [store.flush(30.0) for store in stores] == ["", ""]
        assert other.find("block", "192.0.2.1") is None
    finally:
        for store in stores:
            store.close()


RANGES = st.tuples(st.integers(0, 70), st.integers(0, 70)).map(lambda ends: (min(ends), max(ends)))


@settings(max_examples=60)
@given(st.lists(RANGES, max_size=6), st.lists(st.integers(0, 5), max_size=4))
def test_the_index_agrees_with_looking_at_every_range(
    ranges: list[tuple[int, int]], removed: list[int]
) -> None:
    index, alive = PrefixIndex(), {}
    for number, (low, high) in enumerate(ranges):
        alive[f"{number}"] = IpRange(4, low, high)
        index.add(alive[f"{number}"], f"{number}")
    for number in removed:
        if (gone := alive.pop(f"{number}", None)) is not None:
            index.remove(gone, f"{number}")
    for address in range(72):
        expected = {key for key, found in alive.items() if found.low <= address <= found.high}
        assert set(index.find(4, address)) == expected


@given(st.ip_addresses(), st.integers(0, 2**40))
def test_a_range_is_written_as_it_is_read(address: object, more: int) -> None:
    version, low = number_of(str(address))
    high = min(low + more, 2 ** (32 if version == 4 else 128) - 1)
    found = IpRange(version, low, high)
    assert IpRange.parse(range_text(found)) == found
    assert ip_address(str(address)).version >= version
