"""Accounts: who gets in, what it costs, and what the file looks like."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from gatepost.adapters import accounts as module
from gatepost.adapters.accounts import AccountsFile, FileAccounts
from gatepost.adapters.granted_addresses import GrantedAddresses
from gatepost.adapters.token_keys import FILE_LIMIT_BYTES, TokenKeysFile
from gatepost.model.account import folded_user, prepared
from gatepost.model.fault import WorldFault
from gatepost.protocol.scram import derive_keys

PASSWORD = "correct horse"


class Steps:
    """A monotonic clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file with ann (enabled) and bob (disabled), hashed once for all tests."""
    path = tmp_path_factory.mktemp("accounts") / "users"
    book = AccountsFile(str(path))
    book.put("Ann", PASSWORD)
    book.put("bob", PASSWORD)
    assert book.disable("BOB")
    return path.read_bytes()


@pytest.fixture
def path(tmp_path: Path, made: bytes) -> Path:
    file = tmp_path / "users"
    file.write_bytes(made)
    file.chmod(0o600)
    return file


ATTEMPTS = [
    ("the right one", "ann", PASSWORD, True),
    ("the name in capitals", "ANN", PASSWORD, True),
    ("a wrong one", "ann", "wrong", False),
    ("of a disabled account", "bob", PASSWORD, False),
    ("of nobody", "carl", PASSWORD, False),
    ("an empty one", "ann", "", False),
    ("an endless one", "ann", "x" * 1_000_000, False),
    ("an empty name", "", PASSWORD, False),
    ("a name with a colon", "ann:x", PASSWORD, False),
    ("a lone surrogate", "ann", "\ud800", False),
    ("LDAP wildcards", "*)(uid=*", PASSWORD, False),
]


@pytest.mark.threat("E09")
@pytest.mark.parametrize(("name", "user", "password", "good"), ATTEMPTS, ids=[row[0] for row in ATTEMPTS])
def test_a_password(path: Path, name: str, user: str, password: str, good: bool) -> None:
    accounts = FileAccounts(str(path), monotonic=Steps())
    assert asyncio.run(accounts.check(user, password)) is good


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that passwords are compared with from now on."""
    verified: list[str] = []
    real = module._verify

    def counting(wanted: str, said: str) -> bool:
        verified.append(wanted)
        return real(wanted, said)

    monkeypatch.setattr(module, "_verify", counting)
    return verified


@pytest.mark.threat("E07")
@pytest.mark.parametrize("user", ["ann", "bob", "carl", "", "a:b"])
def test_every_wrong_answer_costs_one_hash(path: Path, monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    verified = counted(monkeypatch)
    accounts = FileAccounts(str(path), monotonic=Steps())
    assert not asyncio.run(accounts.check(user, "wrong"))
    assert len(verified) == 1


def test_a_right_password_is_remembered_for_a_while(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Steps()
    accounts = FileAccounts(str(path), monotonic=clock)
    verified = counted(monkeypatch)
    for _ in range(3):
        assert asyncio.run(accounts.check("ann", PASSWORD))
    assert len(verified) == 1
    # When its time is over
    clock.now += module.CACHE_TIME_S + 1
    assert asyncio.run(accounts.check("ann", PASSWORD))
    assert len(verified) == 2


def test_the_memory_of_right_passwords_ends_with_the_account(path: Path) -> None:
    accounts = FileAccounts(str(path), monotonic=Steps())
    assert asyncio.run(accounts.check("ann", PASSWORD))
    AccountsFile(str(path)).disable("ann")
    assert not asyncio.run(accounts.check("ann", PASSWORD))


def test_the_memory_is_bounded_and_holds_no_password(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_ENTRIES", 3)
    accounts = FileAccounts(str(path), monotonic=Steps())
    for number in range(10):
        accounts._remember(accounts._mark(f"user{number}", "secret", "hash"))
    assert len(accounts._good) == 3
    assert all(len(mark) == 32 for mark in accounts._good)


def test_the_loop_goes_on_while_a_password_is_checked(path: Path) -> None:
    accounts = FileAccounts(str(path), monotonic=Steps())

    async def ticks_meanwhile() -> int:
        check = asyncio.ensure_future(accounts.check("ann", "wrong"))
        ticks = 0
        while not check.done():
            await asyncio.sleep(0.001)
            ticks += 1
        return ticks

    assert asyncio.run(ticks_meanwhile()) > 3


def test_a_flood_of_attempts_is_answered_temporarily(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECKS_WAITING", 3)
    accounts = FileAccounts(str(path), monotonic=Steps())

    async def flood() -> list[object]:
        return await asyncio.gather(*(accounts.check("ann", "no") for _ in range(5)), return_exceptions=True)

    answers = asyncio.run(flood())
    assert [isinstance(a, WorldFault) for a in answers].count(True) == 2
    assert all(a.reply.code == 454 for a in answers if isinstance(a, WorldFault))


@pytest.mark.threat("E08")
@pytest.mark.parametrize("breakage", ["missing", "open to others", "garbled", "not UTF-8"])
def test_a_file_out_of_reach_is_never_a_yes_or_no(path: Path, breakage: str) -> None:
    match breakage:
        case "missing":
            path.unlink()
        case "open to others":
            path.chmod(0o644)
        case "garbled":
            path.write_bytes(b"no colon here\n")
        case _:
            path.write_bytes(b"\xff:\n")
    with pytest.raises(WorldFault) as caught:
        asyncio.run(FileAccounts(str(path), monotonic=Steps()).check("ann", PASSWORD))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (454, "4.7.0")


@pytest.mark.threat("E13")
def test_one_password_typed_in_two_ways_is_the_same(tmp_path: Path) -> None:
    book = AccountsFile(str(tmp_path / "users"))
    book.put("ann", "grüße\u00a0dich")
    accounts = FileAccounts(str(tmp_path / "users"), monotonic=Steps())
    assert asyncio.run(accounts.check("ann", "gru\u0308ße dich"))


def test_the_file_is_for_us_alone_from_its_first_octet(tmp_path: Path) -> None:
    path = tmp_path / "users"
    before = os.umask(0)
    try:
        AccountsFile(str(path)).put("ann", PASSWORD)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PASSWORD not in path.read_text()
    salts, ann = path.read_text().splitlines()
    assert salts.startswith("#salts:")
    assert ann.startswith("ann:$argon2id$v=19$m=19456,t=2,p=1$")
    assert ":SCRAM-SHA-256$65536$" in ann
    assert os.listdir(tmp_path) == ["users"]


def test_accounts_are_listed_changed_and_removed(path: Path) -> None:
    book = AccountsFile(str(path))
    assert {a.user: a.disabled for a in book.read().values()} == {"ann": False, "bob": True}
    assert book.knows("ANN")
    assert not book.knows("carl")
    assert book.remove("Ann")
    assert not book.remove("ann")
    assert not book.disable("ann")
    book.put("bob", "a new one")
    assert not book.read()["bob"].disabled


@pytest.mark.parametrize("user", ["", "a:b", " a", "a\nb", "x" * 256, "#a"])
def test_names_that_cannot_be_are_refused(path: Path, user: str) -> None:
    with pytest.raises(ValueError, match="a user name"):
        AccountsFile(str(path)).put(user, PASSWORD)


@pytest.mark.parametrize("password", ["", "x" * 1025, "a\0b", "\ud800"])
def test_passwords_that_cannot_be_are_refused(path: Path, password: str) -> None:
    with pytest.raises(ValueError, match="a password"):
        AccountsFile(str(path)).put("ann", password)


def test_names_and_passwords_have_one_form() -> None:
    assert folded_user("ANN") == "ann"
    assert folded_user("Jo\u0308rg") == "Jörg"
    assert prepared("a\u00a0b") == "a b"


def test_a_hash_costs_what_it_should(path: Path) -> None:
    started = time.perf_counter()
    asyncio.run(FileAccounts(str(path), monotonic=Steps()).check("ann", "wrong"))
    assert time.perf_counter() - started > 0.005


@pytest.mark.threat("E07")
def test_scram_keys_of_nobody_look_like_somebodys_and_stay_the_same(path: Path) -> None:
    one, other = (FileAccounts(str(path), monotonic=Steps()) for _ in range(2))
    real = one.scram_keys("ANN")
    for user in ("carl", "bob", ""):
        fake, again = one.scram_keys(user), other.scram_keys(user)
        assert fake.salt == again.salt, "another worker, and the next start, say the same"
        assert fake.salt != real.salt
        assert (len(fake.salt), fake.iterations) == (len(real.salt), real.iterations)
        assert fake.stored_key != again.stored_key
    assert one.scram_keys("carl").salt != one.scram_keys("dora").salt


def test_scram_keys_are_the_passwords(path: Path) -> None:
    keys = FileAccounts(str(path), monotonic=Steps()).scram_keys("ann")
    assert derive_keys(PASSWORD, salt=keys.salt, iterations=keys.iterations) == keys


def test_an_account_from_before_scram_comes_in_by_password(tmp_path: Path) -> None:
    path = tmp_path / "users"
    book = AccountsFile(str(path))
    book.put("ann", PASSWORD)
    path.write_text(path.read_text().partition(":SCRAM")[0].split("\n")[1] + "\n")
    assert book.read()["ann"].scram is None
    accounts = FileAccounts(str(path), monotonic=Steps())
    assert asyncio.run(accounts.check("ann", PASSWORD))
    assert accounts.scram_keys("ann").iterations == module.SCRAM_ITERATIONS


def test_a_disabled_account_is_known_as_such(path: Path) -> None:
    accounts = FileAccounts(str(path), monotonic=Steps())
    assert accounts.is_disabled("BOB")
    assert not accounts.is_disabled("ann")
    assert not accounts.is_disabled("carl")
    assert AccountsFile(str(path)).enable("bob")
    assert not accounts.is_disabled("bob")
    path.unlink()
    assert not accounts.is_disabled("bob")


@pytest.mark.parametrize(
    "line", ["ann:hash:keys", "ann:h:SCRAM-SHA-256$1$?$?$?", "ann:h:SCRAM-SHA-256$x$$$", "#salts:xyz"]
)
def test_garbled_keys_are_never_a_yes_or_no(path: Path, line: str) -> None:
    path.write_text(line + "\n")
    with pytest.raises(WorldFault):
        FileAccounts(str(path), monotonic=Steps()).scram_keys("ann")


@pytest.mark.threat("E08")
def test_keys_of_an_issuer_are_read_again_when_they_change(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(b"one")
    keys = TokenKeysFile(str(path))
    assert keys.read() is keys.read()
    path.write_bytes(b"another")
    assert keys.read() == b"another"
    path.write_bytes(b"x" * (FILE_LIMIT_BYTES + 1))
    with pytest.raises(WorldFault):
        keys.read()
    path.unlink()
    with pytest.raises(WorldFault) as caught:
        keys.read()
    assert caught.value.reply.code == 454


@pytest.mark.threat("E11")
def test_what_accounts_were_given_to_send_as(path: Path) -> None:
    clock = Steps()
    book = AccountsFile(str(path))
    granted = GrantedAddresses(str(path), None, monotonic=clock)
    assert granted.addresses_of("ann") == frozenset()
    book.grant("Ann", frozenset({"sales@ours.example", "*@lists.example"}))
    book.grant("ann", frozenset({"boss@ours.example"}))
    book.grant("someone@tokens.example", frozenset({"x@ours.example"}))  # whom others vouch for
    assert granted.addresses_of("ann") == frozenset()  # the file is looked at once a second
    clock.now += 1
    assert granted.addresses_of("ANN") == frozenset(
        {"sales@ours.example", "*@lists.example", "boss@ours.example"}
    )
    # It is beside passwords, and outlives their change
    book.put("carl", "a word of carl")
    assert asyncio.run(FileAccounts(str(path), monotonic=clock).check("ann", PASSWORD))
    assert book.revoke("ann", frozenset({"boss@ours.example", "no@ours.example"})) == {"no@ours.example"}
    assert book.granted()["ann"] == {"sales@ours.example", "*@lists.example"}
    # It goes with the account: the next of the name inherits nothing
    assert book.remove("ann")
    assert set(book.granted()) == {"someone@tokens.example"}
    clock.now += 1
    assert granted.addresses_of("ann") == frozenset()
    # A file that is open to others gives nothing
    path.chmod(0o666)
    book_time = path.stat().st_mtime_ns
    os.utime(path, ns=(book_time + 1, book_time + 1))
    clock.now += 1
    with pytest.raises(WorldFault, match="open to others"):
        granted.addresses_of("ann")
    path.unlink()
    assert granted.addresses_of("ann") == frozenset()


def test_a_directory_adds_what_it_knows(path: Path) -> None:
    class Directory:
        def addresses_of(self, user: str) -> frozenset[str] | Coroutine[Any, Any, frozenset[str]]:
            return self.asked(user) if user == "ann" else frozenset({"b@ours.example"})

        async def asked(self, user: str) -> frozenset[str]:
            return frozenset({f"{user}.smith@ours.example"})

    AccountsFile(str(path)).grant("ann", frozenset({"sales@ours.example"}))
    granted = GrantedAddresses(str(path), Directory(), monotonic=Steps())
    later = granted.addresses_of("ann")
    assert not isinstance(later, frozenset)
    assert asyncio.run(later) == {"sales@ours.example", "ann.smith@ours.example"}
    assert granted.addresses_of("bob") == frozenset({"b@ours.example"})


@pytest.mark.parametrize("key", ["a b@ours.example", "a\n@ours.example"])
def test_what_cannot_be_given(path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="without blanks"):
        AccountsFile(str(path)).grant("ann", frozenset({key}))
    with pytest.raises(ValueError, match="at most"):
        AccountsFile(str(path)).grant("ann", frozenset(f"a{n}@ours.example" for n in range(1001)))
    with pytest.raises(ValueError, match="colon"):
        AccountsFile(str(path)).grant("an:n", frozenset({"a@ours.example"}))
