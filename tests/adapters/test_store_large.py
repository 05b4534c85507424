"""What a start and the hourly duties cost beside a long queue, and that they find the same as beside a short one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from tests.adapters.store_mails import accept, committed, content, in_memory, mail, mail_id, opened, recipient

from gatepost.adapters.sqlite_recovery import isolate_incomplete
from gatepost.adapters.sqlite_rows import apply
from gatepost.adapters.sqlite_schema import MIGRATIONS, migrate, open_writer
from gatepost.model.queued import Accept, MailState
from gatepost.ports.store import MailFilter
from gatepost.queue.states import settled

LONG = 5_000
HELD = (MailState.UNREACHABLE, MailState.POISON, MailState.QUARANTINED, MailState.DEAD)


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


def long_queue(directory: Path, version: int = len(MIGRATIONS)) -> None:
    """Mail that waits, and one mail of each state that is asked for, in the middle."""
    database = open_writer(directory / "store.db")
    migrate(database, MIGRATIONS[:version])
    database.execute("BEGIN")
    cursor = database.cursor()
    states = {LONG // 2 + n: state for n, state in enumerate(HELD)}
    for number in range(LONG):
        state = states.get(number, MailState.DEFERRED)
        apply(cursor, accept(number, recipient(0, state=state)), settled)
    database.execute("COMMIT")
    database.close()


def steps(database: apsw.Connection, work: Callable[[], object]) -> int:
    """How many hundreds of SQLite's steps the work takes."""
    counted = 0

    def count() -> bool:
        nonlocal counted
        counted += 1
        return False

    database.set_progress_handler(count, 100)
    work()
    database.set_progress_handler(None)
    return counted


@pytest.mark.parametrize("state", HELD, ids=lambda state: state.value)
def test_what_starts_and_hours_ask_for_does_not_read_the_queue(tmp_path: Path, state: MailState) -> None:
    """given a long queue, when mail without a way out or dead letters are sought, then the others are not looked at"""

    async def story() -> None:
        long_queue(tmp_path)
        store = opened(tmp_path)
        wanted = MailFilter(state=state)
        (found,) = store.find(wanted, limit=500)
        assert found.mail_id == mail_id(LONG // 2 + HELD.index(state))
        assert steps(store._database, lambda: store.find(wanted, limit=500)) < 20
        assert not store.find(wanted, limit=500, after=found.mail_id)
        assert store.find(MailFilter(state=state, mail_id=found.mail_id), limit=5) == [found]
        assert not store.find(MailFilter(state=state, recipient="nobody@*"), limit=5)
        store.close()

    asyncio.run(story())


def test_a_store_of_the_version_before_gets_the_index(tmp_path: Path) -> None:
    """given a queue that an older gatepost wrote, when it is opened, then what it holds is found"""

    async def story() -> None:
        long_queue(tmp_path, version=2)
        store = opened(tmp_path)
        assert [len(store.find(MailFilter(state=state), limit=5)) for state in HELD] == [1, 1, 1, 1]
        store.close()

    asyncio.run(story())


def test_a_mail_with_two_held_recipients_is_found_once(tmp_path: Path) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        both = [recipient(n, state=MailState.UNREACHABLE) for n in (0, 1)]
        await committed(store, accept(1, *both), accept(2))
        assert [one.mail_id for one in store.find(MailFilter(state=MailState.UNREACHABLE), limit=5)] == [
            mail_id(1)
        ]
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O10")
def test_a_whole_queue_is_checked_in_one_reading_of_its_contents(tmp_path: Path) -> None:
    """Contents are most of a store: looking for halves of mails reads them once, not once a question."""
    long_queue(tmp_path)
    database = open_writer(tmp_path / "store.db")
    asked: list[str] = []

    def note(_cursor: object, sql: str, _values: object) -> bool:
        asked.append(sql)
        return True

    database.exec_trace = note
    assert isolate_incomplete(database) == ()
    assert sum("FROM content" in sql for sql in asked) == 1
    database.close()


@pytest.mark.threat("O10")
def test_every_mail_of_a_lost_body_is_held(tmp_path: Path) -> None:
    """given mails that were split from one message, when their body file is gone, then none is left to be tried"""

    async def story() -> None:
        store = opened(tmp_path)
        spool = store.spool()
        spool.write(b"large " * 20_000)
        body = spool.keep()
        shared = [Accept(mail=mail(number), content=content(number, body)) for number in (1, 2)]
        await committed(store, *shared, accept(3))
        os.unlink(store.body_path(body))
        store.close()
        store = opened(tmp_path)
        assert store.recovered.isolated == (mail_id(1), mail_id(2))
        store.close()

    asyncio.run(story())


@pytest.mark.parametrize("path", ["../store.db", "../lock", "tmp/x", "/etc/passwd", "nothing", ""])
def test_a_path_that_leads_elsewhere_is_a_lost_body_and_nothing_is_removed(tmp_path: Path, path: str) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, accept(1), accept(2))
        store.close()
        database = apsw.Connection(str(tmp_path / "store.db"))
        database.execute(
            "UPDATE content SET path = ?, body_size_bytes = 1 WHERE mail_id = ?", (path, mail_id(1))
        )
        database.close()
        store = opened(tmp_path)
        assert store.recovered.isolated == (mail_id(1),)
        assert store.recovered.orphan_bodies == 0
        assert len(store.find(MailFilter(), limit=5)) == 2
        store.close()

    asyncio.run(story())
