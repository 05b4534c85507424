"""When every mail of strangers comes from one place, the administrator hears of server.internal-relays."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.policy.fakes import Lines, session

from gatepost.adapters.counters import MemoryCounters
from gatepost.intake.behind_relays import SOURCES_LOOKED_AT, SourceWatch
from gatepost.model.session import Rights


def noted(addresses: Sequence[str], rights: Rights = Rights.SUBMIT) -> tuple[int, float]:
    """How often it warned, and the gauge."""
    log, counters = Lines(), MemoryCounters()
    watch = SourceWatch(log, counters)
    for address in addresses:
        watch.note(session(client_ip=address, rights=rights))
    gauges = {name: value for name, _, value in counters.samples()}
    assert all("server.internal-relays" in str(fields["text"]) for _, _, fields in log.lines)
    return len(log.lines), gauges.get("single_source", 0)


N = SOURCES_LOOKED_AT


@pytest.mark.threat("Q09")
@pytest.mark.parametrize(
    ("name", "addresses", "then"),
    [
        ("one address", ["8.8.4.4"] * N, (1, 1)),
        ("one address, told once", ["8.8.4.4"] * 3 * N, (1, 1)),
        ("several private ones", ["10.0.0.1", "10.0.0.2", "192.168.1.1", "fd00::1"] * (N // 4), (1, 1)),
        ("one short of it", ["8.8.4.4"] * (N - 1), (0, 0)),
        ("somebody else between", ["8.8.4.4"] * (N - 1) + ["9.9.9.9"] + ["8.8.4.4"] * (N - 1), (0, 0)),
        ("somebody else later", ["8.8.4.4"] * N + ["9.9.9.9"], (1, 0)),
    ],
)
def test_one_source_of_everything(name: str, addresses: list[str], then: tuple[int, float]) -> None:
    assert noted(addresses) == then, name


def test_our_own_hosts_are_not_strangers() -> None:
    assert noted(["10.0.0.1"] * N, Rights.SUBMIT | Rights.INTERNAL) == (0, 0)
