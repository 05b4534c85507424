"""Where a store may be, and to whom it belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.store_mails import in_memory, opened

from gatepost.adapters.disk import StoreLock, file_system_of, refuse_unsafe
from gatepost.model.fault import WorldFault


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
