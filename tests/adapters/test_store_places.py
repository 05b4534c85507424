"""Where a store may be, and to whom it belongs."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.adapters.store_mails import accept, committed, in_memory, mail_id, opened

from gatepost.adapters import sqlite_schema
from gatepost.adapters.disk import StoreLock, file_system_of, refuse_unsafe
from gatepost.adapters.sqlite_reader import open_reader
from gatepost.model.fault import WorldFault
from gatepost.ports.store import MailFilter


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


@pytest.mark.threat("O11")
def test_a_second_owner_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        with pytest.raises(WorldFault, match="in use by another"):
            opened(tmp_path)
        store.close()
        opened(tmp_path).close()

    asyncio.run(story())


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
server:/x /srv/nfs nfs4 rw 0 0
tmpfs /srv/ram tmpfs rw 0 0
//server/y /srv/with\\040blank cifs rw 0 0
/dev/sdb1 /srv/ram/disk xfs rw 0 0
"""
PLACES = [
    ("/var/lib/gatepost", "ext4", None),
    ("/srv/nfs/mail", "nfs4", "local file system"),
    ("/srv/nfs", "nfs4", "local file system"),
    ("/srv/nfsmail", "ext4", None),
    ("/srv/ram/mail", "tmpfs", "lost with the power"),
    ("/srv/ram/disk/mail", "xfs", None),
    ("/srv/with blank/mail", "cifs", "local file system"),
]


@pytest.mark.threat("O08")
@pytest.mark.parametrize(("place", "kind", "complaint"), PLACES)
def test_where_mail_may_be_kept(place: str, kind: str, complaint: str | None) -> None:
    assert file_system_of(Path(place), MOUNTS) == kind
    if complaint is None:
        refuse_unsafe(Path(place), allow_volatile=False, mounts=MOUNTS)
    else:
        with pytest.raises(WorldFault, match=complaint):
            refuse_unsafe(Path(place), allow_volatile=False, mounts=MOUNTS)


@pytest.mark.threat("O08")
def test_a_directory_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    async def story() -> None:
        with pytest.raises(WorldFault, match="cannot be used"):
            opened(tmp_path / "file")

    asyncio.run(story())


def test_the_lock_file_tells_a_death_from_a_stop(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path / "lock")
    assert not lock.was_unclean
    lock.mark_open()
    lock.release(clean=False)
    lock = StoreLock(tmp_path / "lock")
    assert lock.was_unclean
    lock.mark_open()
    lock.release(clean=True)
    lock.release(clean=True)
    assert not StoreLock(tmp_path / "lock").was_unclean


def test_an_orderly_store_can_be_read_where_nothing_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that the kernel made read-only after an error: what waits is still to be seen."""

    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, accept(1))
        store.close()

    asyncio.run(story())
    real = sqlite_schema._reading

    def read_only(path: Path, name: str, flags: int) -> apsw.Connection:
        if not flags:  # as SQLite says when it cannot make store.db-shm
            raise apsw.CantOpenError("unable to open database file")
        return real(path, name, flags)

    monkeypatch.setattr(sqlite_schema, "_reading", read_only)
    with contextlib.closing(open_reader(tmp_path)) as reader:
        assert [mail.mail_id for mail in reader.find(MailFilter(), limit=9)] == [mail_id(1)]
        assert [(state, number) for state, number, _ in reader.depths()] == [("ready", 1)]
    # But not when a part of it is in its log
    (tmp_path / "store.db-wal").write_bytes(b"x")
    with pytest.raises(WorldFault, match="its directory cannot be written"):
        open_reader(tmp_path)


def test_a_store_of_an_older_gatepost_says_what_to_do(tmp_path: Path) -> None:
    async def story() -> None:
        opened(tmp_path).close()

    asyncio.run(story())
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as database:
        database.execute("PRAGMA user_version = 1")
    with pytest.raises(WorldFault, match=r"has version 1, this gatepost reads \d+: start the gateway"):
        open_reader(tmp_path)
