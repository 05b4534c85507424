"""Guessing: what stops it, what slows it down, and whom it cannot shut out (threats E06)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes import FakeClock
from tests.intake.house import Lines

from gatepost.adapters.shared_store import SharedStore
from gatepost.config.login_settings import Lockout
from gatepost.intake import failed_logins as module
from gatepost.intake.account_rates import AccountRates
from gatepost.intake.failed_logins import LOGIN_SPACES, Attempt, FailedLogins, Limit, Stopped
from gatepost.ports.memory_shared import MemoryShared

HERE, NEXT_DOOR, ELSEWHERE = "192.0.2.1", "192.0.2.77", "198.51.100.9"


class Guesser:
    """Guesses, and whoever knows the password."""

    def __init__(self, **settings: object) -> None:
        self.clock = FakeClock()
        table = {name.replace("_", "-"): value for name, value in settings.items()}
        self.shared = MemoryShared(self.clock.now, limits=LOGIN_SPACES)
        self.logins = FailedLogins(Lockout.model_validate(table), shared=self.shared, now=self.clock.now)

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


def test_an_attack_that_lasts_is_told_once_a_window() -> None:
    guesser = Guesser(all_failures=2)
    told = []
    for number in range(4):
        guesser.guess(f"user{number}", address(number << 8))
        told.append(guesser.logins.attack_began)
        guesser.clock.advance(300)
    assert told == [False, True, False, False]
    guesser.guess("user9", address(9 << 8))  # in the next window
    assert guesser.logins.attack_began


@pytest.mark.threat("E06")
def test_the_tables_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGIN_SPACES, "login-accounts", 5)
    monkeypatch.setitem(LOGIN_SPACES, "login-came-from", 5)
    guesser = Guesser()
    for number in range(40):
        guesser.guess(f"guessed{number}", address(number << 8))
        guesser.enter(f"user{number}", address(number << 8))
        guesser.enter("ann", address(number << 8))
        guesser.clock.advance(1)
    for space in ("login-accounts", "login-came-from"):
        assert len(guesser.shared.items(space)) <= 6
    assert len(guesser.logins._came_from(module._hashed("ann"))) == module.KNOWN_NETWORKS_AN_ACCOUNT


@pytest.mark.threat("E15")
def test_what_was_typed_for_a_name_is_not_kept() -> None:
    guesser = Guesser()
    guesser.guess("my secret password", HERE)
    guesser.enter("ann", HERE)
    kept = str([guesser.shared.items(space) for space in LOGIN_SPACES])
    assert "secret" not in kept
    assert "ann" not in kept


@pytest.mark.threat("E06", "E12")
def test_workers_count_together(tmp_path: Path) -> None:
    clock = FakeClock()
    states = [SharedStore(tmp_path / "state.db", now=clock.now, log=Lines()) for _ in range(2)]
    one, other = (FailedLogins(Lockout(), shared=state, now=clock.now) for state in states)

    def exchanged() -> None:
        for state in (*states, *states):
            assert not state.flush()

    def failed(logins: FailedLogins, ip: str) -> float:
        attempt = logins.begin("ann", ip)
        assert isinstance(attempt, Attempt)
        return logins.failed(attempt, 1.0)

    known = one.begin("ann", HERE)
    assert isinstance(known, Attempt)
    one.succeeded(known)
    for number in range(5):
        failed(one, address(number << 8))
    exchanged()
    # The delay goes on growing in the other worker, and the limit is that of both
    assert failed(other, address(99 << 8)) == 32
    for number in range(10, 14):
        failed(other, address(number << 8))
    exchanged()
    stopped = one.begin("ann", ELSEWHERE)
    assert stopped == Stopped(Limit.ACCOUNT, 10, 10)
    # The owner is known to the worker it had not met
    assert isinstance(other.begin("ann", HERE), Attempt)
    # What one account sends counts together, and is told once
    rates = [AccountRates(3, shared=state, now=clock.now) for state in states]
    assert [rates[0].count("ann"), rates[0].count("Ann")] == [1, 2]
    exchanged()
    assert [rates[1].count("ann"), rates[1].count("ann")] == [3, 4]
    exchanged()
    assert [rates[0].is_news("ann"), rates[0].is_news("ann")] == [True, False]
    exchanged()
    assert not rates[1].is_news("ann")
    clock.advance(3600)
    assert rates[1].count("ann") == 1
    for state in states:
        state.close()


def test_no_delay_is_no_delay() -> None:
    guesser = Guesser(all_failures=1)
    attempt = guesser.logins.begin("ann", HERE)
    assert isinstance(attempt, Attempt)
    assert guesser.logins.failed(attempt, 0.0) == 0.0
