"""What a store does besides: old records go, the log stays small, many mails cost no time, a slow disk no loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import apsw
import pytest
from tests.adapters.store_mails import (
    NOW,
    NotedLog,
    accept,
    committed,
    content,
    every,
    in_memory,
    mail,
    mail_id,
    opened,
    recipient,
    settle,
)

from gatepost.adapters import sqlite_groups, sqlite_rows, sqlite_store
from gatepost.adapters.sqlite_reader import open_reader
from gatepost.adapters.sqlite_schema import migrate, open_writer
from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.config.log_settings import Records
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, KeepDossier, KeepRecords, MailState, StoredRecord
from gatepost.ports.store import MailFilter, RecordFilter
from gatepost.queue.states import settled

DAY_S = 86400.0


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


def test_records_and_dossiers_go_by_age(tmp_path: Path) -> None:
    """More than one small transaction's worth; what is young stays, mail stays however old it is."""
    old = tuple(StoredRecord(kind="track", at=NOW - 31 * DAY_S, event=str(n)) for n in range(1200))
    young = (
        StoredRecord(kind="track", at=NOW - 29 * DAY_S, event="young"),
        StoredRecord(kind="agent", at=NOW - 29 * DAY_S, event="young"),
    )

    def id_at(days: float) -> int:
        return int((NOW - days * DAY_S) * 1000) << 20

    async def story() -> None:
        store = opened(tmp_path)
        await committed(
            store,
            accept(1, received_at=NOW - 100 * DAY_S),
            KeepRecords(records=old + young),
            KeepDossier(mail_id=id_at(31), at=NOW, data=b"old"),
            KeepDossier(mail_id=id_at(29), at=NOW, data=b"young"),
        )
        store.purge(NOW, Records())
        store.purge(NOW, Records())  # one is under way
        async with asyncio.timeout(10):
            while len(store.records(RecordFilter(), limit=9999)) > 1:
                await asyncio.sleep(0.02)
        assert [r.event for r in store.records(RecordFilter(kind="agent"), limit=9)] == ["young"]
        assert store.dossier(id_at(31)) is None
        assert store.dossier(id_at(29)) == b"young"
        assert store.mail(mail_id(1)) is not None
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O05", "S04")
def test_records_go_before_their_age_when_there_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four hours of a megabyte each, room for two: the oldest go, after a restart, too; mail stays."""
    monkeypatch.setattr(sqlite_store, "PURGE_PAUSE_S", 0.0)
    keep = Records.model_validate({"size": "2MiB"})

    async def purged(store: SqliteStore, now: float) -> None:
        store.purge(now, keep)
        async with asyncio.timeout(10):
            while store._purging:
                await asyncio.sleep(0.01)

    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, accept(1, received_at=NOW))
        await purged(store, NOW)
        for hour in range(4):
            at = NOW + hour * 3600 + 10
            await committed(
                store,
                KeepRecords(
                    records=(StoredRecord(kind="agent", at=at, event=str(hour), data=bytes(500_000)),)
                ),
                KeepDossier(mail_id=int(at * 1000) << 20, at=at, data=bytes(500_000)),
            )
            await purged(store, at + 600)
            if hour == 2:
                store.close()
                store = opened(tmp_path)
        left = [r.event for r in store.records(RecordFilter(kind="agent"), limit=9)]
        assert left == ["3", "2"]
        assert store.dossier(int((NOW + 1 * 3600 + 10) * 1000) << 20) is None
        assert store.dossier(int((NOW + 2 * 3600 + 10) * 1000) << 20) is not None
        assert store.mail(mail_id(1)) is not None
        store.close()

    asyncio.run(story())


def test_the_log_is_used_again_and_never_grows_beyond_its_limit(tmp_path: Path) -> None:
    body = os.urandom(30_000)

    async def story() -> None:
        store = opened(tmp_path)  # a reserve of 64 KiB: checkpoints from 32 KiB on
        for number in range(100):
            await committed(store, Accept(mail=mail(number), content=content(number, body)))
        size_bytes = (tmp_path / "store.db-wal").stat().st_size
        assert size_bytes < 1 << 20
        store.close()
        assert not (tmp_path / "store.db-wal").exists()

    asyncio.run(story())


def test_a_log_that_a_reader_held_back_is_cut_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_groups, "TRUNCATE_BYTES", 200_000)
    body = os.urandom(30_000)

    async def story() -> None:
        store = opened(tmp_path)
        reader = apsw.Connection(str(tmp_path / "store.db"))
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM mail").fetchall()
        for number in range(30):
            await committed(store, Accept(mail=mail(number), content=content(number, body)))
        log = tmp_path / "store.db-wal"
        assert log.stat().st_size > 900_000
        reader.execute("COMMIT")
        reader.close()
        for number in range(30, 60):
            await committed(store, Accept(mail=mail(number), content=content(number, body)))
        assert log.stat().st_size < 400_000
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O15")
def test_a_slow_disk_makes_larger_groups_not_a_slow_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that ends only when the loop has turned: 60 mails that come together cost a few such syncs."""
    syncs: list[int] = []
    turned = threading.Event()
    commit = sqlite_groups.CommitGroups._commit

    def slow(groups: sqlite_groups.CommitGroups) -> None:
        syncs.append(1)
        time.sleep(0.05)
        turned.clear()
        assert turned.wait(20), "the loop stood still during a commit"
        commit(groups)

    monkeypatch.setattr(sqlite_groups.CommitGroups, "_commit", slow)

    async def story() -> None:
        store = opened(tmp_path)

        async def tick() -> None:
            while True:
                turned.set()
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        assert set(await every(store, [[accept(n)] for n in range(60)])) == {None}
        await asyncio.to_thread(store.close)
        ticking.cancel()

    asyncio.run(story())
    assert len(syncs) <= 12


def copy_rows(database: apsw.Connection, table: str) -> None:
    """Make 99,999 more of the one row, with ids and due times that grow."""
    columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    values = ", ".join(f"{c} + n" if c in ("mail_id", "due_at") else c for c in columns)
    database.execute(
        f"WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < 99999) "
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM {table}, count WHERE mail_id = ?",
        (mail_id(0),),
    )


@pytest.mark.threat("O16", "G11")
def test_a_hundred_thousand_waiting_mails_cost_no_start(tmp_path: Path) -> None:
    """Deferred for one dead next hop: the store opens and gives the first due at once (slow machines: a second)."""
    database = open_writer(tmp_path / "store.db")
    migrate(database)
    waiting = recipient(0, due_at=NOW, state=MailState.DEFERRED, next_hop="dead")
    sqlite_rows.apply(database, accept(0, waiting), settled)
    for table in ("mail", "content", "recipient"):
        copy_rows(database, table)
    database.close()

    async def story() -> tuple[float, float]:
        before = time.monotonic()
        store = opened(tmp_path)
        first = store.due(now=NOW + 1e6, limit=100)
        at_once_s = time.monotonic() - before
        assert [m.mail_id for m in first] == [mail_id(n) for n in range(100)]
        before = time.monotonic()
        in_memory = frozenset(mail_id(n) for n in range(5000))
        assert len(store.due(now=NOW + 1e6, limit=100, excluding=in_memory)) == 100
        assert store.next_due_at() == NOW
        store.close()
        return at_once_s, time.monotonic() - before

    at_once_s, again_s = asyncio.run(story())
    # Reading every row of them takes seconds even where the machine is quick.
    assert at_once_s < 5
    assert again_s < 5


def test_another_process_reads_while_the_worker_writes(tmp_path: Path) -> None:
    script = (
        "import sys; from gatepost.adapters.sqlite_reader import open_reader\n"
        "from gatepost.ports.store import MailFilter\n"
        "r = open_reader(sys.argv[1]); print(len(r.find(MailFilter(), limit=99)), len(r.summary())); r.close()"
    )
    source = Path(__file__).parents[2] / "src"

    async def story() -> str:
        store = opened(tmp_path)
        await committed(store, accept(1), accept(2))
        store.commit([accept(3)])  # not yet committed: not seen, not in the way
        seen = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(source)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        store.close()
        return seen

    assert asyncio.run(story()).split() == ["2", "1"]


def test_a_reader_of_a_stopped_store(tmp_path: Path) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, accept(1))
        store.close()

    asyncio.run(story())
    reader = open_reader(tmp_path)
    assert len(reader.find(MailFilter(), limit=9)) == 1
    reader.close()
    with pytest.raises(WorldFault):
        open_reader(tmp_path / "nowhere")


def test_closing_commits_what_was_asked_for(tmp_path: Path) -> None:
    heard: list[BaseException | None] = []

    async def story() -> None:
        store = opened(tmp_path)
        for number in range(2000):
            store.commit([accept(number)], heard.append)
        store.commit([KeepRecords(records=(StoredRecord(kind="track", at=NOW, event="last"),))])
        store.close()
        store.close()
        assert heard == [None] * 2000
        store.commit([accept(9999)], heard.append)
        await asyncio.sleep(0)
        assert isinstance(heard[-1], WorldFault)
        store = opened(tmp_path)
        assert not store.recovered.was_unclean
        assert len(store.find(MailFilter(), limit=9999)) == 2000
        assert len(store.records(RecordFilter(), limit=9)) == 1
        store.close()

    asyncio.run(story())


BUGS: dict[str, Sequence[object]] = {
    "text that is no text": (accept(7, recipient(0, last_reply="\ud800")),),
    "a body that is no body": (Accept(mail=mail(7), content=content(7, None)),),  # type: ignore[arg-type]  # a bug
    "a number that does not fit": (accept(7, size_bytes=1 << 70),),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_in_one_change_harms_no_other(tmp_path: Path, name: str) -> None:
    async def story() -> None:
        log = NotedLog()
        store = opened(tmp_path, log=log)
        bad: Sequence[object] = BUGS[name]
        answers = await every(store, [[accept(1)], bad, [accept(2)]])  # type: ignore[list-item]  # a bug
        assert answers[0] is None
        assert answers[1] is not None
        assert not isinstance(answers[1], WorldFault)
        assert answers[2] is None
        store.commit(bad)  # type: ignore[arg-type]  # nobody waits: it must be seen in the log
        await committed(store, accept(3))
        assert "store-refused-change" in log.events()
        assert store.why_not_accepting() == ""
        assert len(store.find(MailFilter(), limit=9)) == 3
        store.close()

    asyncio.run(story())


def test_a_waiter_with_a_bug_keeps_the_word_from_nobody(tmp_path: Path) -> None:
    seen: list[object] = []

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: seen.append(context["exception"])
        )
        store = opened(tmp_path)

        def bug(_error: BaseException | None) -> None:
            raise RuntimeError("a bug")

        store.commit([accept(1)], bug)
        await committed(store, accept(2))
        await committed(store, settle(2, MailState.DELIVERED))
        store.close()

    asyncio.run(story())
    assert [str(error) for error in seen] == ["a bug"]


def test_how_much_waits_for_a_person(tmp_path: Path) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        dead, waiting = recipient(0, state=MailState.DEAD), recipient(1)
        await committed(
            store,
            accept(1, dead, recipient(1, state=MailState.DEAD), size_bytes=1000),
            accept(2, dead, waiting, size_bytes=200),
            accept(3, waiting, size_bytes=5000),
            accept(4, recipient(0, state=MailState.QUARANTINED), size_bytes=70),
        )
        assert store.held_bytes(MailState.DEAD) == 1200
        assert store.held_bytes(MailState.QUARANTINED) == 70
        with pytest.raises(ValueError, match="held"):
            store.held_bytes(MailState.READY)
        store.close()

    asyncio.run(story())
