"""What a store finds after a death: nothing acknowledged is missing, what is damaged stands alone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
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
    settle,
)

from gatepost.adapters.inflight import NO_SLOT, SLOTS, MappedInFlight
from gatepost.adapters.sqlite_groups import CommitGroups
from gatepost.adapters.sqlite_reader import open_reader
from gatepost.adapters.sqlite_schema import MIGRATIONS, SCHEMA_VERSION, migrate, open_writer
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, KeepDossier, KeepRecords, MailState, StoredRecord
from gatepost.ports.store import MailFilter, RecordFilter


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


COMMITTER = """
import asyncio, os, sys
from pathlib import Path
from tests.adapters.store_mails import accept, opened, settle, mail_id
from gatepost.model.queued import MailState

async def main():
    store, number = opened(Path(sys.argv[1])), int(sys.argv[2])
    while True:
        waits = []
        for _ in range(5):
            number += 1
            heard = asyncio.get_running_loop().create_future()
            store.commit([accept(number)], heard.set_result)
            waits.append(heard)
        if any(await asyncio.gather(*waits)):
            os._exit(3)
        os.write(1, b"".join(b"%d\\n" % n for n in range(number - 4, number + 1)))

asyncio.run(main())
"""


@pytest.mark.threat("O01")
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(1)
    acknowledged: set[int] = set()
    root = Path(__file__).parents[2]
    for turn in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(tmp_path / "worker-0"), str(10_000 * turn)],
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"},
        )
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        child.send_signal(signal.SIGKILL)
        lines = (first + child.stdout.read()).split(b"\n")
        child.wait()
        child.stdout.close()
        acknowledged |= {mail_id(int(line)) for line in lines[:-1]}

    async def look() -> set[int]:
        log = NotedLog()
        store = opened(tmp_path / "worker-0", log=log)
        assert "store-recovered" in log.events()
        found = {m.mail_id for m in store.find(MailFilter(), limit=1_000_000)}
        for each in found:
            store.content(each)
        store.close()
        return found

    assert len(acknowledged) >= 30
    assert acknowledged <= asyncio.run(look())


async def filled(directory: Path, mails: int = 40) -> None:
    """A store with some mails, one with a large body, closed."""
    store = opened(directory)
    await committed(store, *(accept(n) for n in range(mails)))
    spool = store.spool()
    spool.write(b"large body " * 10_000)
    await committed(store, Accept(mail=mail(900), content=content(900, spool.keep())))
    store.close()


def flip(path: Path, wanted: bytes, *, by: int = 1) -> None:
    """One bit of the first place where `wanted` is."""
    data = bytearray(path.read_bytes())
    data[data.index(wanted)] ^= by
    path.write_bytes(data)


def crashed(directory: Path) -> None:
    """As after a kill: the lock says that nobody closed the store."""
    (directory / "lock").write_bytes(b"open\n")


async def held(directory: Path) -> tuple[list[int], list[int]]:
    """(poisoned, ready) after a start."""
    store = opened(directory)
    await asyncio.sleep(0.15)
    states: dict[MailState, list[int]] = {}
    for found in store.find(MailFilter(), limit=1000):
        states.setdefault(found.recipients[0].state, []).append(found.mail_id)
    store.close()
    return states.get(MailState.POISON, []), states.get(MailState.READY, [])


@pytest.mark.threat("O09")
@pytest.mark.parametrize("wanted", [b"Subject: number 7\r\n", b"Hello\r\n"], ids=["head", "body"])
def test_a_flipped_bit_is_found_when_the_mail_is_read(tmp_path: Path, wanted: bytes) -> None:
    async def story() -> None:
        await filled(tmp_path)
        flip(tmp_path / "store.db", wanted)
        log = NotedLog()
        store = opened(tmp_path, log=log)
        damaged = []
        for found in store.find(MailFilter(), limit=1000):
            try:
                store.content(found.mail_id)
            except WorldFault:
                damaged.append(found.mail_id)
        assert len(damaged) == 1
        assert "mail-damaged" in log.events()
        store.close()
        poisoned, ready = await held(tmp_path)
        assert poisoned == damaged
        assert len(ready) == 40

    asyncio.run(story())


@pytest.mark.threat("O09")
def test_a_damaged_large_body_is_never_read_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        await filled(tmp_path)
        (path,) = (tmp_path / "bodies").glob("[0-9a-f][0-9a-f]/*")
        flip(path, b"large")
        store = opened(tmp_path)
        pieces = store.chunks(str(path))
        with pytest.raises(WorldFault, match="damaged"):  # it has one piece, which is never given
            await anext(pieces)
        store.close()
        assert (await held(tmp_path))[0] == [mail_id(900)]

    asyncio.run(story())


def test_a_whole_large_body_is_read_in_pieces(tmp_path: Path) -> None:
    async def story() -> None:
        await filled(tmp_path)
        store = opened(tmp_path)
        body = store.content(mail_id(900)).body
        assert not isinstance(body, bytes)
        for path in (body.path, store.body_path(body)):
            assert b"".join([piece async for piece in store.chunks(path)]) == b"large body " * 10_000
        store.close()

    asyncio.run(story())


def lose(sql: str) -> Callable[[Path], None]:
    """Damage: rows that vanish behind the store's back."""

    def damage(directory: Path) -> None:
        database = apsw.Connection(str(directory / "store.db"))
        database.execute(sql, (mail_id(5),))
        database.close()

    return damage


def lose_body(directory: Path) -> None:
    (path,) = (directory / "bodies").glob("[0-9a-f][0-9a-f]/*")
    path.unlink()


def cut_body(directory: Path) -> None:
    (path,) = (directory / "bodies").glob("[0-9a-f][0-9a-f]/*")
    path.write_bytes(path.read_bytes()[:-1])


DAMAGES: dict[str, tuple[Callable[[Path], None], int]] = {
    "no content": (lose("DELETE FROM content WHERE mail_id = ?"), 5),
    "no envelope": (lose("DELETE FROM mail WHERE mail_id = ?"), 5),
    "no recipients": (lose("DELETE FROM recipient WHERE mail_id = ?"), 5),
    "envelope is nonsense": (lose("UPDATE mail SET rest = x'93' WHERE mail_id = ?"), 5),
    "recipient is nonsense": (lose("UPDATE recipient SET options = x'c1' WHERE mail_id = ?"), 5),
    "no body file": (lose_body, 900),
    "half a body file": (cut_body, 900),
}


@pytest.mark.threat("O09", "O10")
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_mail_stands_alone(tmp_path: Path, name: str) -> None:
    """It is held where a person sees it; every other mail goes on."""
    damage, number = DAMAGES[name]

    async def story() -> None:
        await filled(tmp_path)
        damage(tmp_path)
        crashed(tmp_path)
        await held(tmp_path)  # what is found while reading is put aside now
        poisoned, ready = await held(tmp_path)
        assert poisoned == [mail_id(number)]
        assert len(ready) == 40

    asyncio.run(story())


@pytest.mark.threat("O10")
def test_bodies_nobody_names_are_removed(tmp_path: Path) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        unnamed, named = store.spool(), store.spool()
        unnamed.write(b"x")
        kept = named.keep()
        store.close()
        store = opened(tmp_path)
        assert store.recovered.orphan_bodies == 2
        assert not Path(store.body_path(kept)).exists()
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O09")
def test_a_lost_log_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        await filled(tmp_path)
        crashed(tmp_path)
        log = NotedLog()
        opened(tmp_path, log=log).close()
        assert "store-log-missing" in log.events()

    asyncio.run(story())


def test_a_store_closed_in_trouble_misses_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the simulation: after a stop during a disk failure the next start told of lost transactions."""

    async def story() -> None:
        await filled(tmp_path)
        finish = CommitGroups.finish
        monkeypatch.setattr(CommitGroups, "finish", lambda groups: not finish(groups))
        opened(tmp_path).close()
        monkeypatch.undo()
        assert not (tmp_path / "store.db-wal").exists()
        log = NotedLog()
        store = opened(tmp_path, log=log)
        assert store.recovered.was_unclean
        assert not store.recovered.log_missing
        assert "store-log-missing" not in log.events()
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O09")
@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"This is not a database. " * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
    ],
    ids=["another file", "cut short"],
)
def test_a_file_that_is_no_store_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    async def story() -> None:
        await filled(tmp_path)
        damage(tmp_path / "store.db")
        crashed(tmp_path)
        with pytest.raises(WorldFault):
            opened(tmp_path)
        with pytest.raises(WorldFault):  # the lock was given back: the reason is the same
            opened(tmp_path)

    asyncio.run(story())


def test_another_applications_database_is_refused(tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "store.db"))
    other.execute("CREATE TABLE theirs (x); PRAGMA user_version = 1")
    other.close()
    with pytest.raises(WorldFault, match="not a store of gatepost"):
        open_writer(tmp_path / "store.db")
    with pytest.raises(WorldFault, match="not a store of gatepost"):
        open_reader(tmp_path)


@pytest.mark.threat("O14")
def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        await filled(tmp_path)
        database = apsw.Connection(str(tmp_path / "store.db"))
        database.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        database.close()
        with pytest.raises(WorldFault, match="upgrade"):
            opened(tmp_path)
        with pytest.raises(WorldFault, match="version"):
            open_reader(tmp_path)

    asyncio.run(story())


STEPS = (
    *MIGRATIONS,
    ("CREATE TABLE later (x)", "INSERT INTO later VALUES (1)", "ALTER TABLE mail ADD COLUMN y"),
    ("INSERT INTO later VALUES (2)", "CREATE INDEX later_x ON later (x)"),
)


@pytest.mark.threat("O14")
@pytest.mark.parametrize("killed_at", range(1, sum(len(step) + 3 for step in STEPS) + 1))
def test_a_migration_killed_at_any_statement_goes_on(tmp_path: Path, killed_at: int) -> None:
    """The child dies before the n-th statement; the next start ends with the whole newest schema."""
    path = tmp_path / "store.db"
    child = os.fork()
    if child == 0:
        database = open_writer(path)
        statements = iter(range(1, 1000))

        def trace(_cursor: object, _sql: object, _values: object) -> bool:
            if next(statements) == killed_at:
                os._exit(9)
            return True

        database.exec_trace = trace
        migrate(database, STEPS)
        os._exit(0)
    os.waitpid(child, 0)
    database = open_writer(path)
    assert migrate(database, STEPS) in range(len(STEPS) + 1)
    assert database.pragma("user_version") == len(STEPS)
    assert database.execute("SELECT x FROM later").fetchall() == [(1,), (2,)]
    assert [row[0] for row in database.execute("SELECT count(*) FROM mail WHERE y IS NULL")] == [0]
    database.close()


@pytest.mark.threat("P01")
def test_a_mail_in_work_at_every_crash_is_held(tmp_path: Path) -> None:
    """crash-limit is 3: the third death holds it, the others go on."""

    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, accept(1), accept(2))
        store.close()
        for death in (1, 2, 3):
            flight = MappedInFlight(tmp_path / "in-flight")
            flight.leave(flight.enter(mail_id(2)))
            flight.enter(mail_id(1))  # and the worker dies here
            log = NotedLog()
            store = opened(tmp_path, log=log)
            assert store.recovered.poisoned == ((mail_id(1),) if death == 3 else ())
            assert ("mail-poisoned" in log.events()) is (death == 3)
            store.close()
        assert await held(tmp_path) == ([mail_id(1)], [mail_id(2)])

    asyncio.run(story())


def test_a_clean_stop_blames_nobody(tmp_path: Path) -> None:
    flight = MappedInFlight(tmp_path / "in-flight")
    flight.enter(7)
    flight.close()
    assert MappedInFlight(tmp_path / "in-flight").left_over() == []


def test_more_work_than_slots(tmp_path: Path) -> None:
    flight = MappedInFlight(tmp_path / "in-flight")
    slots = [flight.enter(n + 1) for n in range(SLOTS)]
    assert flight.enter(9999) == NO_SLOT
    flight.leave(NO_SLOT)
    flight.leave(slots[0])
    flight.leave(slots[0])  # twice is no error, and frees one slot only
    assert flight.enter(1) == slots[0]
    assert flight.enter(2) == NO_SLOT
    assert len(MappedInFlight(tmp_path / "in-flight").left_over()) == SLOTS


@pytest.mark.threat("O13")
def test_a_release_is_wholly_done_or_not(tmp_path: Path) -> None:
    """Settlement, record and notice of one commit are one transaction: with a bug in one, none is there."""

    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, accept(1), accept(2))
        record = KeepRecords(records=(StoredRecord(kind="track", at=NOW, event="FAIL"),))
        answers = await every(store, [[settle(1, MailState.FAILED), record, accept(2)]])
        assert isinstance(answers[0], apsw.ConstraintError)
        store.close()
        store = opened(tmp_path)
        assert store.mail(mail_id(1)) is not None
        assert store.records(RecordFilter(), limit=1) == []
        store.close()

    asyncio.run(story())


def test_the_greatest_id_survives_what_it_named(tmp_path: Path) -> None:
    """Ids never repeat, even when the mail, its records and its dossier are gone and the clock went back."""

    async def story() -> None:
        store = opened(tmp_path)
        assert store.last_seen_at is None
        await committed(store, accept(5), KeepDossier(mail_id=mail_id(4), at=NOW, data=b""))
        await committed(store, settle(5, MailState.REMOVED))
        store.close()
        store = opened(tmp_path)
        assert store.last_mail_id == mail_id(5)
        assert store.last_seen_at == NOW
        store.close()

    asyncio.run(story())
