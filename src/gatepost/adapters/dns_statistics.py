"""How the DNS serves us: questions by zone and outcome. Zones are those we were told to watch (threats S05)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from gatepost.adapters.counters import Sample
from gatepost.adapters.dns_udp import NameServer
from gatepost.adapters.dns_wire import Answer, Status
from gatepost.config.dns_settings import ZONES_LIMIT

REVERSE_ZONES: Final = ("in-addr.arpa", "ip6.arpa")
OTHERS: Final = "other"


@dataclass(slots=True)
class _Count:
    found: int = 0
    none: int = 0
    unknown: int = 0
    wait_s: float = 0.0


class Statistics:
    """Counts questions that were sent; what the cache answers is counted by the resolver."""

    def __init__(self, zones: Iterable[str] = ()) -> None:
        self._others = _Count()
        self._zones: dict[str, _Count] = {}
        self._suffixes: tuple[tuple[str, _Count], ...] = ()
        self.watch((*REVERSE_ZONES, *zones))

    def watch(self, zones: Iterable[str]) -> None:
        """Count these by themselves, too; of nested ones the longest counts. Beyond the limit: among the others."""
        for zone in zones:
            if zone not in self._zones and len(self._zones) < ZONES_LIMIT + len(REVERSE_ZONES):
                self._zones[zone] = _Count()
        longest_first = sorted(self._zones.items(), key=lambda item: -len(item[0]))
        self._suffixes = tuple((f".{zone}", count) for zone, count in longest_first)

    def count(self, name: str, answer: Answer | None, wait_s: float) -> None:
        """One question came to its end. answer: None when nobody knew."""
        count = self._others
        for suffix, counted in self._suffixes:
            if name.endswith(suffix):
                count = counted
                break
        count.wait_s += wait_s
        if answer is None:
            count.unknown += 1
        elif answer.status is Status.FOUND:
            count.found += 1
        else:
            count.none += 1

    def samples(self) -> Iterator[Sample]:
        """For the metrics; zones that were never asked are left out."""
        for zone, count in (*self._zones.items(), (OTHERS, self._others)):
            outcomes = (("found", count.found), ("none", count.none), ("unknown", count.unknown))
            for outcome, number in outcomes:
                if number:
                    yield "dns_questions", (("zone", zone), ("outcome", outcome)), number
            if count.wait_s:
                yield "dns_wait_seconds", (("zone", zone),), count.wait_s


def server_samples(servers: Iterable[NameServer]) -> Iterator[Sample]:
    """How each server answered."""
    for server in servers:
        label = (("server", str(server.address)),)
        yield "dns_server_answers", label, server.answers
        yield "dns_server_refusals", label, server.refusals
        yield "dns_server_silences", label, server.silences
        yield "dns_server_wait_seconds", label, server.wait_s
        yield "dns_server_usual_seconds", label, server.usual_s
