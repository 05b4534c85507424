"""Guessing: what stops it, what slows it down, and whom it cannot shut out (threats E06)."""

from __future__ import annotations

import pytest
from tests.fakes import FakeClock

from gatepost.config.login_settings import Lockout
from gatepost.intake import failed_logins as module
from gatepost.intake.failed_logins import Attempt, FailedLogins, FailureTable, Limit, Stopped

HERE, NEXT_DOOR, ELSEWHERE = "192.0.2.1", "192.0.2.77", "198.51.100.9"


class Guesser:
    """Guesses, and whoever knows the password."""

    def __init__(self, **settings: object) -> None:
        self.clock = FakeClock()
        table = {name.replace("_", "-"): value for name, value in settings.items()}
        self.logins = FailedLogins(Lockout.model_validate(table), monotonic=self.clock.monotonic)

    def guess(self, user: str, ip: str) -> float:
        attempt = self.logins.begin(user, ip)
        assert isinstance(attempt, Attempt), attempt
        return self.logins.failed(attempt, 1.0)

    def stopped(self, user: str, ip: str) -> Limit | None:
        begun = self.logins.begin(user, ip)
        if isinstance(begun, Stopped):
            return begun.limit
        self.logins.unknown(begun)
        return None

    def enter(self, user: str, ip: str) -> None:
        attempt = self.logins.begin(user, ip)
        assert isinstance(attempt, Attempt), attempt
        self.logins.succeeded(attempt)


def address(number: int) -> str:
    return f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"


@pytest.mark.threat("E06")
def test_one_account_from_one_address() -> None:
    guesser = Guesser()
    delays = [guesser.guess("ann", HERE) for _ in range(10)]
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert guesser.stopped("ANN", HERE) is Limit.ACCOUNT
    assert guesser.stopped("bob", HERE) is None
    guesser.clock.advance(900)
    assert guesser.stopped("ann", HERE) is None


@pytest.mark.threat("E06")
def test_one_account_from_ten_thousand_addresses() -> None:
    guesser = Guesser()
    for number in range(10):
        guesser.guess("ann", address(number << 8))
    assert all(guesser.stopped("ann", address(n << 8)) is Limit.ACCOUNT for n in range(10, 10_000))


@pytest.mark.threat("E06")
def test_one_password_over_ten_thousand_accounts() -> None:
    guesser = Guesser()
    for number in range(20):
        guesser.guess(f"user{number}", HERE)
    assert all(guesser.stopped(f"user{n}", HERE) is Limit.CLIENT for n in range(20, 10_000))
    assert guesser.stopped("user1", NEXT_DOOR) is None


@pytest.mark.threat("E06")
@pytest.mark.parametrize(
    ("one", "other", "limit"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", Limit.CLIENT),
        ("2001:db8::1", "2001:db8:0:1::1", None),
    ],
    ids=["a /64 is one client", "the next /64 is another"],
)
def test_clients_of_ipv6(one: str, other: str, limit: Limit | None) -> None:
    guesser = Guesser()
    for number in range(20):
        guesser.guess(f"user{number}", one)
    assert guesser.stopped("ann", other) is limit


@pytest.mark.threat("E06")
@pytest.mark.parametrize("shape", ["192.0.2.{}", "2001:db8:0:{}::1"])
def test_a_network_of_guessers(shape: str) -> None:
    guesser = Guesser(network_failures=30)
    for number in range(30):
        guesser.guess(f"user{number}", shape.format(number))
    assert guesser.stopped("ann", shape.format(99)) is Limit.NETWORK
    assert guesser.stopped("ann", ELSEWHERE) is None


@pytest.mark.threat("E06")
def test_a_lockout_does_not_shut_the_owner_out() -> None:
    guesser = Guesser()
    guesser.enter("ann", HERE)
    for number in range(10):
        guesser.guess("ann", address(number << 8))
    assert guesser.stopped("ann", ELSEWHERE) is Limit.ACCOUNT
    # The owner comes from where it came before, or next door to it
    assert guesser.stopped("ann", HERE) is None
    assert guesser.stopped("ann", NEXT_DOOR) is None
    # But guesses from there are stopped as any client's
    for _ in range(20):
        guesser.guess("ann", HERE)
    assert guesser.stopped("ann", HERE) is Limit.CLIENT


@pytest.mark.threat("E06")
def test_a_known_network_is_slowed_down_and_never_stopped() -> None:
    guesser = Guesser(known_networks=("192.0.2.0/24",))
    delays = [guesser.guess("ann", HERE) for _ in range(200)]
    assert delays[-1] == 60
    assert guesser.stopped("ann", HERE) is None


@pytest.mark.threat("E06")
def test_many_at_once_get_no_further() -> None:
    guesser = Guesser()
    begun = [guesser.logins.begin("ann", HERE) for _ in range(50)]
    assert [isinstance(one, Attempt) for one in begun].count(True) == 10


def test_what_was_no_failure_does_not_count() -> None:
    guesser = Guesser()
    for _ in range(100):
        guesser.enter("ann", HERE)
    assert guesser.guess("ann", HERE) == 1


@pytest.mark.threat("E06")
def test_an_attack_on_everybody_slows_strangers_down_and_is_told_once() -> None:
    guesser = Guesser(all_failures=5)
    guesser.enter("ann", HERE)
    told = []
    for number in range(8):
        guesser.guess(f"user{number}", address(number << 8))
        told.append(guesser.logins.attack_began)
    assert told == [False] * 4 + [True] + [False] * 3
    assert guesser.guess("bob", ELSEWHERE) == 60
    assert guesser.guess("ann", HERE) == 1


@pytest.mark.threat("E06")
def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TABLE_ENTRIES", 5)
    monkeypatch.setattr(module, "KNOWN_ACCOUNTS", 5)
    clock = FakeClock()
    table = FailureTable(900, clock.monotonic)
    for number in range(20):
        table.add(str(number))
    assert len(table) == 5
    guesser = Guesser()
    for number in range(20):
        guesser.enter(f"user{number}", address(number << 8))
        guesser.enter("ann", address(number << 8))
    assert len(guesser.logins._came_from) == 5
    assert len(guesser.logins._came_from["ann"]) == module.KNOWN_NETWORKS_AN_ACCOUNT


def test_no_delay_is_no_delay() -> None:
    guesser = Guesser(all_failures=1)
    attempt = guesser.logins.begin("ann", HERE)
    assert isinstance(attempt, Attempt)
    assert guesser.logins.failed(attempt, 0.0) == 0.0
