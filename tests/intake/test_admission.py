"""Who may come in: each limit of connections at its value and one past it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import FakeClock
from tests.intake.house import settings_with

from gatepost.adapters.neighbours import MappedCounts
from gatepost.config.limit_settings import Intake
from gatepost.intake.admission import Admission
from gatepost.intake.door import Door
from gatepost.intake.limit_hit import LimitHit
from gatepost.model.origin import Origin, origin_of

FREE = {
    "connections": 1000,
    "connections-per-source": 1000,
    "connections-per-network": 1000,
    "connections-per-site": 1000,
    "source-share": 100,
    "connection-rate": 0,
    "connection-rate-per-source": 0,
}
OFFICE = {"office": {"addresses": ["10.0.0.0/8"]}}


def door(**limits: Any) -> Door:
    settings = settings_with({"limits": {**FREE, **limits}, "ranges": OFFICE}).receive_connectors["test"]
    return Door("test", settings, hostname="mx.ours.example", tls=None)


def admitted(
    clients: list[str], limits: dict[str, int], *, intake: Intake | None = None, spared: bool = False
) -> tuple[int, LimitHit | None]:
    """How many of the clients come in before one is refused, and what that one hit."""
    admission, at = Admission(intake or Intake(), monotonic=FakeClock().monotonic), door(**limits)
    for number, client_ip in enumerate(clients):
        origin = origin_of(client_ip)
        hit = admission.refusal(at, origin, spared=spared)
        if hit is not None:
            return number, hit
        admission.came(at, origin)
    return len(clients), None


@dataclass(frozen=True, slots=True)
class Case:
    name: str
    clients: list[str]
    let_in: int
    told: tuple[str, float, float]
    """Limit, configured value, actual."""
    limits: dict[str, int]
    intake: dict[str, int] = field(default_factory=dict)


MANY = [f"192.0.{net}.{host}" for net in range(8) for host in range(1, 9)]
SAME_NET = [f"192.0.2.{host}" for host in range(1, 200)]
SAME_64 = [f"2001:db8:1:2::{host:x}" for host in range(1, 20)]
SAME_48 = [f"2001:db8:1:{net:x}00::1" for net in range(1, 20)]
SAME_56 = [f"2001:db8:1:{net:x}::1" for net in range(20)]

CASES = [
    Case("the worker is full", MANY, 4, ("intake.connections", 4, 5), {}, {"connections": 4}),
    Case("the connector is full", MANY, 5, ("connections", 5, 6), {"connections": 5, "reserved-share": 0}),
    Case(
        "what is left is reserved for others",
        MANY,
        8,
        ("reserved-share", 20, 9),
        {"connections": 10, "reserved-share": 20},
    ),
    Case(
        "one IPv4 address",
        ["192.0.2.1"] * 9,
        3,
        ("connections-per-source", 3, 4),
        {"connections-per-source": 3},
    ),
    Case("one IPv6 /64", SAME_64, 3, ("connections-per-source", 3, 4), {"connections-per-source": 3}),
    Case("one IPv4 /24", SAME_NET, 6, ("connections-per-network", 6, 7), {"connections-per-network": 6}),
    Case("one IPv6 /56", SAME_56, 6, ("connections-per-network", 6, 7), {"connections-per-network": 6}),
    Case("one IPv6 /48", SAME_48, 6, ("connections-per-site", 6, 7), {"connections-per-site": 6}),
    Case(
        "a tenth of what is free",
        ["192.0.2.1"] * 20,
        9,  # with 9 open, 91 are free, and a tenth of them is 9
        ("source-share", 10, 10),
        {"connections": 100, "source-share": 10, "reserved-share": 0},
    ),
    Case(
        "half of what is free, to the one",
        ["192.0.2.1"] * 5,
        2,  # with one open, four are free, and the half of them is two
        ("source-share", 50, 3),
        {"connections": 5, "source-share": 50, "reserved-share": 0},
    ),
    Case(
        "a share of nothing is one",
        ["192.0.2.1"] * 20,
        1,
        ("source-share", 1, 2),
        {"connections": 10, "source-share": 1, "reserved-share": 0},
    ),
    Case(
        "a source that comes too often",
        ["192.0.2.1"] * 20,
        7,
        ("connection-rate-per-source", 7, 8),
        {"connection-rate-per-source": 7},
    ),
    Case(
        "everybody comes too often: each once, as many again at most",
        MANY,
        14,
        ("connection-rate", 7, 15),
        {"connection-rate": 7},
    ),
    Case(
        "a flood of two sources: each has had its half",
        ["192.0.2.1", "192.0.2.1", "203.0.113.1", "203.0.113.1", "203.0.113.1"],
        4,
        ("connection-rate", 4, 5),
        {"connection-rate": 4},
    ),
    Case(
        "somebody who comes for the first time while two flood",
        ["192.0.2.1", "203.0.113.1", "192.0.2.1", "203.0.113.1", "198.51.100.1", "198.51.100.1", "192.0.2.1"],
        5,
        ("connection-rate", 4, 6),
        {"connection-rate": 4},
    ),
]


@pytest.mark.threat("G15")
@pytest.mark.parametrize(
    ("client_ip", "origin"),
    [
        ("192.0.2.255", Origin("192.0.2.255", "192.0.2.0/24")),
        (
            "2001:db8:ffff:ffff:ffff::1",
            Origin("2001:db8:ffff:ffff::/64", "2001:db8:ffff:ff00::/56", "2001:db8:ffff::/48"),
        ),
    ],
)
def test_where_a_client_is_counted(client_ip: str, origin: Origin) -> None:
    assert origin_of(client_ip) == origin


@pytest.mark.threat("G02", "G03", "G15", "G01")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_at_the_limit_and_one_past_it(case: Case) -> None:
    # The limit lets in as many as it says
    intake = Intake.model_validate(case.intake) if case.intake else None
    assert admitted(case.clients[: case.let_in], case.limits, intake=intake) == (case.let_in, None)
    # And not one more, which is told with its value and the actual
    let_in, hit = admitted(case.clients, case.limits, intake=intake)
    assert let_in == case.let_in
    assert hit is not None
    assert (hit.limit, hit.value, hit.actual) == case.told
    assert hit.reply.code == 421


@pytest.mark.threat("G01")
def test_known_clients_have_a_reserve_and_no_limits_of_strangers() -> None:
    strict = {"connections": 20, "reserved-share": 20, "connections-per-source": 1, "connection-rate": 1}
    let_in, hit = admitted(["10.0.0.1"] * 30, strict, spared=True)
    assert let_in == 20
    assert hit is not None
    assert hit.limit == "connections"


def test_nothing_is_reserved_where_nobody_is_spared() -> None:
    plain = settings_with({"limits": {"connections": 100}}).receive_connectors["test"]
    named = {"office": {"addresses": ["10.0.0.0/8"], "spared": False}}
    guarded = settings_with({"limits": {"connections": 100}, "ranges": named}).receive_connectors["test"]
    for settings in (plain, guarded):
        assert Door("test", settings, hostname="mx.ours.example", tls=None).reserved == 0


def test_who_leaves_makes_room_and_is_forgotten() -> None:
    admission = Admission(Intake(), monotonic=FakeClock().monotonic)
    at, origin = door(**{"connections-per-source": 1}), origin_of("192.0.2.1")
    admission.came(at, origin)
    assert admission.refusal(at, origin, spared=False) is not None
    admission.gone(at, origin)
    assert admission.refusal(at, origin, spared=False) is None
    assert admission.sessions(at) == 0


def test_a_minute_later_a_source_may_come_again() -> None:
    clock = FakeClock()
    admission = Admission(Intake(), monotonic=clock.monotonic)
    at, origin = door(**{"connection-rate-per-source": 1}), origin_of("192.0.2.1")
    assert admission.refusal(at, origin, spared=False) is None
    assert admission.refusal(at, origin, spared=False) is not None
    clock.advance(60)
    assert admission.refusal(at, origin, spared=False) is None


@pytest.mark.threat("G08")
@pytest.mark.parametrize(
    ("sessions", "stressed"),
    [([84], False), ([85], True), ([85, 71], True), ([85, 70], False), ([85, 70, 84], False)],
    ids=str,
)
def test_the_stress_profile_begins_and_ends_with_hysteresis(sessions: list[int], stressed: bool) -> None:
    at = door(connections=100)
    for count in sessions:
        at.weigh_load(count)
    assert at.is_stressed is stressed


@pytest.mark.threat("G08")
def test_where_the_worker_has_less_room_than_the_connector_shares_are_of_that() -> None:
    at = door(connections=5000)
    at.fit(100)
    assert not at.weigh_load(84)
    assert at.weigh_load(85)
    assert at.reserved == 5


def test_under_stress_the_stricter_of_two_values_holds() -> None:
    at = door(**{"connections": 100, "command-timeout": "5s", "errors-hard": 20})
    at.weigh_load(90)
    assert at.limits.command_timeout_s == 5.0  # the profile has 10s
    assert at.limits.errors_hard == 1
    assert at.limits.recipients == 1000  # not of the profile


@pytest.mark.threat("G02", "G03")
@pytest.mark.parametrize(
    ("limit", "clients"),
    [
        ("connections-per-source", ["192.0.2.1"] * 9),
        ("connections-per-network", SAME_NET[:9]),
        ("connections-per-site", SAME_48[:9]),
        ("connection-rate-per-source", ["192.0.2.1"] * 9),
        ("connection-rate", [*MANY[:2] * 4, MANY[0]]),
    ],
)
def test_a_limit_holds_over_all_workers(limit: str, clients: list[str]) -> None:
    # Given three workers, and clients that fall on them one after the other
    counts, clock = MappedCounts(3), FakeClock()
    workers = [
        Admission(Intake(), monotonic=clock.monotonic, neighbours=counts.of_worker(n)) for n in range(3)
    ]
    at = door(**{limit: 4})
    told: list[tuple[str, float, int]] = []
    for number, client_ip in enumerate(clients):
        worker, origin = workers[number % 3], origin_of(client_ip)
        hit = worker.refusal(at, origin, spared=False)
        if hit is None:
            worker.came(at, origin)
        else:
            told.append((hit.limit, hit.value, number))
    # Then the fifth is one too many, whichever worker it meets
    assert [number for _, _, number in told] == [4, 5, 6, 7, 8]
    assert {(name, int(value)) for name, value, _ in told} == {(limit, 4)}
    # And when all are gone there is room again
    for number, client_ip in enumerate(clients[:4]):
        workers[number % 3].gone(at, origin_of(client_ip))
    clock.advance(60)
    assert workers[2].refusal(at, origin_of(clients[0]), spared=False) is None


CLIENTS = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.3.1",
    "2001:db8:1:1::1",
    "2001:db8:1:1::2",
    "2001:db8:1:2::1",
    "10.0.0.1",
]


@pytest.mark.threat("G02", "I2")
@given(st.lists(st.tuples(st.sampled_from(CLIENTS), st.booleans()), max_size=60))
def test_whoever_comes_and_goes_no_limit_is_passed_and_nothing_is_left(steps: list[tuple[str, bool]]) -> None:
    limits = {
        "connections": 8,
        "reserved-share": 25,
        "connections-per-source": 2,
        "connections-per-network": 3,
    }
    admission = Admission(Intake(), monotonic=FakeClock().monotonic)
    at = door(**limits)
    inside: list[str] = []
    for client_ip, comes in steps:
        origin, spared = origin_of(client_ip), client_ip.startswith("10.")
        if not comes:
            if client_ip in inside:
                inside.remove(client_ip)
                admission.gone(at, origin)
            continue
        hit = admission.refusal(at, origin, spared=spared)
        if hit is None:
            admission.came(at, origin)
            inside.append(client_ip)
        strangers = [origin_of(ip) for ip in inside if not ip.startswith("10.")]
        assert len(inside) <= 8
        assert admission.sessions(at) == len(inside)
        for one in strangers:
            assert sum(other.source == one.source for other in strangers) <= 2
            assert sum(other.network == one.network for other in strangers) <= 3
    for client_ip in inside:
        admission.gone(at, origin_of(client_ip))
    assert admission.sessions(at) == 0
    assert all(admission.refusal(at, origin_of(ip), spared=False) is None for ip in CLIENTS)
