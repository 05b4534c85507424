"""What workers share: seen by all, there after a restart, bounded, and never in the way of a mail."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest
from tests.fakes import FakeClock

from gatepost.adapters.shared_store import SharedStore
from gatepost.model.fading import Drains
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.shared import KEY_LIMIT_CHARACTERS, VALUE_LIMIT_BYTES, SharedState

PATIENCE_S = 30.0
LATER = 3600.0


class Lines:
    """A log that is read afterwards."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.events.append(event)


@contextmanager
def store(path: Path, clock: FakeClock, log: Lines | None = None, **limits: int) -> Iterator[SharedStore]:
    shared = SharedStore(path, now=clock.now, log=log or Lines(), limits=limits)
    try:
        yield shared
    finally:
        shared.close()


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.adapters.shared_store.EXCHANGE_S", 0.02)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["memory", "file"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[SharedState]:
    if request.param == "memory":
        yield MemoryShared(clock.now, limits={"small": 10})
        return
    with store(tmp_path / "shared" / "state.db", clock, small=10) as found:
        yield found


def count(shared: SharedState, clock: FakeClock, *amounts: float, key: str = "k") -> None:
    shared.add("s", key, amounts, fading=60, now=clock.now(), expires_at=clock.now() + LATER)


def counted(shared: SharedState, clock: FakeClock, key: str = "k") -> tuple[float, ...] | None:
    return shared.counts("s", key, fading=60, now=clock.now())


def test_what_was_put_is_there_until_it_expires_or_is_removed(shared: SharedState, clock: FakeClock) -> None:
    assert shared.get("s", "k") is None
    shared.put("s", "k", b"one", expires_at=clock.now() + 10)
    shared.put("s", "other", b"two", expires_at=clock.now() + 100)
    assert shared.get("s", "k") == b"one"
    assert shared.get("t", "k") is None
    assert {item.key: item.value for item in shared.items("s")} == {"k": b"one", "other": b"two"}
    clock.advance(10)
    assert shared.get("s", "k") is None
    assert [item.key for item in shared.items("s")] == ["other"]
    shared.remove("s", "other")
    shared.remove("s", "nobody")
    assert not shared.items("s")


def test_counts_are_summed_and_halve(shared: SharedState, clock: FakeClock) -> None:
    assert counted(shared, clock) is None
    count(shared, clock, 4.0, 0.0)
    clock.advance(60)
    count(shared, clock, 1.0, 1.0)
    assert counted(shared, clock) == pytest.approx((3.0, 1.0))
    clock.advance(120)
    assert counted(shared, clock) == pytest.approx((0.75, 0.25))
    assert shared.get("s", "k") is None
    count(shared, clock, 7.0)  # another length: a newer gatepost counts other things
    assert counted(shared, clock) == (7.0,)
    clock.advance(LATER)
    assert counted(shared, clock) is None
    count(shared, clock, 1.0)
    assert counted(shared, clock) == (1.0,)
    shared.add("s", "for ever", (1.0,), fading=math.inf, now=clock.now(), expires_at=math.inf)
    clock.advance(1e9)
    assert shared.counts("s", "for ever", fading=math.inf, now=clock.now()) == (1.0,)


TENTH = Drains(0.1)


def test_a_bucket_drains_evenly_and_not_below_nothing(shared: SharedState, clock: FakeClock) -> None:
    def pour(amount: float) -> None:
        shared.add("s", "b", (amount,), fading=TENTH, now=clock.now(), expires_at=clock.now() + LATER)

    def level() -> float:
        return (shared.counts("s", "b", fading=TENTH, now=clock.now()) or (0.0,))[0]

    pour(6.0)
    clock.advance(10)
    assert level() == pytest.approx(5.0)
    pour(1.0)
    assert level() == pytest.approx(6.0)
    clock.advance(100)
    assert level() == 0.0
    pour(1.0)
    assert level() == pytest.approx(1.0)


def test_a_bucket_that_two_workers_fill_has_what_both_poured(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / "shared" / "state.db"
    with store(file, clock) as one, store(file, clock) as two:
        for _ in range(3):
            for worker in (one, two):
                worker.add("s", "b", (1.0,), fading=TENTH, now=clock.now(), expires_at=clock.now() + LATER)

        def level(worker: SharedState) -> float:
            return (worker.counts("s", "b", fading=TENTH, now=clock.now()) or (0.0,))[0]

        eventually(lambda: level(one) == level(two) == 6.0)
        clock.advance(30)
        one.add("s", "b", (1.0,), fading=TENTH, now=clock.now(), expires_at=clock.now() + LATER)
        eventually(lambda: level(two) == pytest.approx(4.0))


def test_what_callers_get_wrong_is_refused(shared: SharedState, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="octets"):
        shared.put("s", "k", bytes(VALUE_LIMIT_BYTES + 1), expires_at=0)
    for amounts, half_life_s in (((), 1.0), ((1.0,) * 33, 1.0), ((1.0,), 0.0), ((1.0,), math.nan)):
        with pytest.raises(ValueError, match=r"count|half-life"):
            shared.add("s", "k", amounts, fading=half_life_s, now=0, expires_at=1)


def test_keys_of_any_length_and_content_are_kept(shared: SharedState, clock: FakeClock) -> None:
    for key in ("", "\0", "ä" * KEY_LIMIT_CHARACTERS, "x" * 5000, "x" * 5000 + "y"):
        shared.put("s", key, key[-1:].encode(), expires_at=clock.now() + 1)
    assert shared.get("s", "x" * 5000 + "y") == b"y"
    assert shared.get("s", "x" * 5000) == b"x"
    assert shared.get("s", "") == b""


def test_a_space_is_bounded_and_what_expires_first_goes(shared: SharedState, clock: FakeClock) -> None:
    for number in range(200):
        shared.put("small", f"{number}", b"", expires_at=clock.now() + 1000 - number)
    if isinstance(shared, SharedStore):
        eventually(lambda: len(shared.items("small")) <= 11)
    assert len(shared.items("small")) <= 11
    assert shared.get("small", "0") == b""


def test_others_see_it_and_a_restart_keeps_it(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "state.db"
    with store(path, clock) as one, store(path, clock) as other:
        one.put("s", "a", b"1", expires_at=clock.now() + LATER)
        eventually(lambda: other.get("s", "a") == b"1")
        other.put("s", "a", b"2", expires_at=clock.now() + LATER)
        eventually(lambda: one.get("s", "a") == b"2")
        one.remove("s", "a")
        eventually(lambda: other.get("s", "a") is None)
        one.put("s", "b", b"3", expires_at=clock.now() + LATER)
    with store(path, clock) as later:
        assert later.get("s", "b") == b"3"
        assert later.get("s", "a") is None


def test_what_several_count_is_the_sum(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "state.db"
    with store(path, clock) as one, store(path, clock) as other:

        def count_often(shared: SharedStore) -> None:
            for _ in range(300):
                count(shared, clock, 1.0, 2.0)

        threads = [threading.Thread(target=count_often, args=(shared,)) for shared in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for shared in (one, other, one):  # who came first has not seen the second
            assert shared.flush(PATIENCE_S) == ""
        assert counted(one, clock) == pytest.approx((600.0, 1200.0))
        eventually(lambda: counted(other, clock) == pytest.approx((600.0, 1200.0)))
    with store(path, clock) as later:
        assert counted(later, clock) == pytest.approx((600.0, 1200.0))


def test_a_killed_process_loses_nothing_that_was_flushed(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from gatepost.adapters.shared_store import SharedStore\n"
        "class L:\n def write(self, *a, **f): print(a, f)\n"
        "s = SharedStore(Path(sys.argv[1]), now=time.time, log=L())\n"
        "s.put('s', 'k', b'v', expires_at=time.time() + 3600)\n"
        "assert s.flush(30) == ''\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)  # ourselves
    assert done.returncode == -9
    with store(path, FakeClock(time.time())) as later:
        assert later.get("s", "k") == b"v"


def test_expired_entries_leave_the_file(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "state.db"
    with store(path, clock) as shared:
        shared.put("s", "k", b"v", expires_at=clock.now() + 1)
        assert shared.flush(PATIENCE_S) == ""
        for _ in range(3):
            clock.advance(100)
            assert shared.flush(PATIENCE_S) == ""
    assert apsw.Connection(str(path)).execute("SELECT count(*) FROM entry").fetchone() == (0,)


def test_who_was_away_while_removals_were_forgotten_reads_everything(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    with store(path, clock) as away, store(path, clock) as here:
        here.put("s", "k", b"v", expires_at=clock.now() + 10 * LATER)
        eventually(lambda: away.get("s", "k") == b"v")
        exchange = away.exchange
        monkeypatch.setattr(away, "exchange", lambda: None)
        away.flush(PATIENCE_S)
        here.remove("s", "k")
        for _ in range(3):
            clock.advance(100)
            assert here.flush(PATIENCE_S) == ""
        assert away.get("s", "k") == b"v"
        monkeypatch.setattr(away, "exchange", exchange)
        eventually(lambda: away.get("s", "k") is None)


@pytest.mark.parametrize("content", [b"this is no database, and long enough to be one" * 100, b"\0" * 8192])
def test_a_damaged_file_is_set_aside_once_and_mail_goes_on(
    tmp_path: Path, clock: FakeClock, content: bytes
) -> None:
    path, log = tmp_path / "state.db", Lines()
    path.write_bytes(content)
    with store(path, clock, log) as shared:
        shared.put("s", "k", b"v", expires_at=clock.now() + LATER)
        eventually(lambda: shared.flush(PATIENCE_S) == "")
    assert log.events.count("shared-state-damaged") == 1
    assert [p.read_bytes() for p in tmp_path.glob("state.db.damaged-*")] == [content]
    with store(path, clock) as later:
        assert later.get("s", "k") == b"v"


def test_what_is_known_goes_into_a_new_file_once(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "state.db"
    with store(path, clock) as one, store(path, clock) as other:
        count(one, clock, 5.0)
        eventually(lambda: counted(other, clock) == (5.0,))
        for file in tmp_path.glob("state.db*"):
            file.unlink()
        eventually(path.exists)
        for shared in (one, other):
            assert shared.flush(PATIENCE_S) == ""
        count(one, clock, 1.0)
        eventually(lambda: counted(other, clock) == (6.0,))


def test_a_file_that_cannot_be_used_is_said_once_and_used_when_it_can(
    tmp_path: Path, clock: FakeClock
) -> None:
    path, log = tmp_path / "shared", Lines()
    path.mkdir()  # a directory where the file should be
    with store(path, clock, log) as shared:
        assert "cannot be used" in shared.problem
        for number in range(5):
            shared.put("s", f"{number}", b"v", expires_at=clock.now() + LATER)
            assert "cannot be used" in shared.flush(PATIENCE_S)
        assert shared.get("s", "0") == b"v"
        assert log.events == ["shared-state-unavailable"]
        path.rmdir()
        clock.advance(60)
        eventually(lambda: not shared.problem)
        assert log.events == ["shared-state-unavailable", "shared-state-available"]
    with store(path, clock) as later:
        assert len(later.items("s")) == 5


def test_a_locked_file_stops_nobody(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.adapters.shared_file.BUSY_MS", 20)
    path, log = tmp_path / "state.db", Lines()
    with store(path, clock, log) as shared:
        assert shared.flush(PATIENCE_S) == ""
        locker = apsw.Connection(str(path))
        locker.execute("BEGIN IMMEDIATE")
        count(shared, clock, 1.0)
        eventually(lambda: shared.problem)
        count(shared, clock, 1.0)
        assert counted(shared, clock) == (2.0,)
        locker.execute("ROLLBACK")
        locker.close()
        eventually(lambda: not shared.problem)
        assert counted(shared, clock) == (2.0,)
    with store(path, clock) as later:
        assert counted(later, clock) == (2.0,)


def test_a_file_of_a_newer_gatepost_is_left_alone(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "state.db"
    with store(path, clock):
        pass
    newer = apsw.Connection(str(path))
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with store(path, clock) as shared:
        assert "upgrade" in shared.problem
    assert not list(tmp_path.glob("*.damaged-*"))
