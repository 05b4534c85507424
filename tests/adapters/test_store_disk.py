"""A small disk that gets full: new mail is refused in time, mail that is there can leave, all by itself."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.adapters.store_mails import NotedLog, accept, committed, content, mail, mail_id, opened, settle

from gatepost.adapters.disk import LOW_INODES, DiskRoom
from gatepost.config.schema import size
from gatepost.config.settings import Queue
from gatepost.model.fault import WorldFault
from gatepost.model.queued import Accept, MailState
from gatepost.ports.store import MailFilter, Store

MIB = 1 << 20
LOW_AT_4_MIB = Queue.model_validate(
    {"disk-low": size(4, "MiB"), "reserve": size(1, "MiB"), "resume-margin": size(2, "MiB")}
)
NEVER_LOW = Queue.model_validate({"disk-low": size(0), "reserve": size(1, "MiB"), "resume-margin": size(0)})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB; skipped where we may not mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m,nr_inodes=4000", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("a file system of our own cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path, leave_bytes: int) -> None:
    """Take all room of the file system but this."""
    free = os.statvfs(path.parent)
    amount = free.f_bavail * free.f_frsize - leave_bytes
    with path.open("wb") as file:
        if amount > 0:
            os.posix_fallocate(file.fileno(), 0, amount)


@pytest.mark.threat("O05", "O06")
def test_low_and_high_water(small_disk: Path) -> None:
    """Refused below 4 MiB, taken again only above 6 MiB."""
    room = DiskRoom(small_disk, LOW_AT_4_MIB)
    room.sample()
    assert room.why_low == ""
    seen = []
    for leave_bytes in (5 * MIB, 3 * MIB, 5 * MIB, 7 * MIB):
        (small_disk / "other").unlink(missing_ok=True)
        fill(small_disk / "other", leave_bytes)
        room.sample()
        seen.append(bool(room.why_low))
    assert seen == [False, True, True, False]


@pytest.mark.threat("O06")
def test_the_reserve_is_given_up_and_made_again(small_disk: Path) -> None:
    room = DiskRoom(small_disk, LOW_AT_4_MIB)
    room.sample()
    reserve = small_disk / "reserve"
    assert reserve.stat().st_blocks * 512 == MIB
    fill(small_disk / "other", 0)
    room.sample()
    assert not reserve.exists()
    assert room.why_low
    (small_disk / "other").unlink()
    room.sample()
    assert reserve.stat().st_size == MIB
    assert room.why_low == ""


@pytest.mark.threat("O07")
def test_inodes_count_too(small_disk: Path) -> None:
    room = DiskRoom(small_disk, LOW_AT_4_MIB)
    files = [small_disk / f"file-{n}" for n in range(4000 - LOW_INODES)]
    for file in files:
        file.touch()
    room.sample()
    assert "inodes" in room.why_low
    for file in files[:500]:
        file.unlink()
    room.sample()
    assert room.why_low  # 1500 are free: not yet
    for file in files[500:]:
        file.unlink()
    room.sample()
    assert room.why_low == ""


@pytest.mark.threat("O07")
def test_no_inode_for_a_body(small_disk: Path) -> None:
    async def story() -> None:
        store = opened(small_disk / "worker-0", queue=NEVER_LOW)
        while True:
            try:
                (small_disk / f"file-{os.urandom(8).hex()}").touch()
            except OSError:
                break
        await committed(store, accept(1))  # needs no inode
        with pytest.raises(WorldFault) as caught:
            store.spool()
        assert caught.value.reply.code == 452
        await asyncio.sleep(0.05)
        assert "inodes" in store.why_not_accepting()
        store.close()

    asyncio.run(story())


async def take_mail(store: Store, kept: list[int]) -> None:
    """Accept until it fails; `kept`: the numbers that were acknowledged."""
    for number in range(1000):
        await committed(store, Accept(mail=mail(number), content=content(number, os.urandom(32_000))))
        kept.append(number)


@pytest.mark.threat("O05", "O06")
def test_a_full_disk_can_be_drained(small_disk: Path) -> None:
    """Accept until nothing goes in any more; every mail acknowledged can still be marked delivered."""

    async def story() -> None:
        log = NotedLog()
        store = opened(small_disk / "worker-0", queue=NEVER_LOW, log=log)
        kept: list[int] = []
        with pytest.raises(WorldFault) as caught:
            await take_mail(store, kept)
        assert caught.value.reply.code == 452
        assert 100 < len(kept) < 1000
        assert store.why_not_accepting()
        while "store-reopened" not in log.events():
            await asyncio.sleep(0.01)
        assert ("error", "disk-full") in {line[:2] for line in log.lines}
        assert {m.mail_id for m in store.find(MailFilter(), limit=1000)} == {mail_id(n) for n in kept}
        for number in kept:
            await committed(store, settle(number, MailState.DELIVERED))
        assert store.find(MailFilter(), limit=1) == []
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O05")
def test_a_body_that_does_not_fit(small_disk: Path) -> None:
    async def story() -> None:
        store = opened(small_disk / "worker-0", queue=NEVER_LOW)
        spool = store.spool()
        with pytest.raises(WorldFault) as caught:
            spool.write(bytes(20 * MIB))
        assert caught.value.reply.code == 452
        spool.discard()
        await asyncio.sleep(0.05)
        await committed(store, accept(1))
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O05")
def test_a_low_disk_takes_no_large_body(small_disk: Path) -> None:
    async def story() -> None:
        fill(small_disk / "other", 3 * MIB)
        store = opened(small_disk / "worker-0", queue=LOW_AT_4_MIB)
        assert "disk low" in store.why_not_accepting()
        with pytest.raises(WorldFault) as caught:
            store.spool()
        assert caught.value.reply.code == 452
        await committed(store, accept(1))  # whoever is in the middle of it may finish
        (small_disk / "other").unlink()
        async with asyncio.timeout(30):  # it looks once a second
            while store.why_not_accepting():
                await asyncio.sleep(0.05)
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O08")
def test_a_vanished_directory_is_told(tmp_path: Path) -> None:
    room = DiskRoom(tmp_path / "gone", NEVER_LOW)
    room.sample()
    assert "cannot be looked at" in room.why_low
