"""Bodies in files: when a body is kept, its own name and that of its directory are durable."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.adapters.store_mails import in_memory

from gatepost.adapters import bodies
from gatepost.adapters.bodies import BodyDirectory, BodyFile, make_directory
from gatepost.adapters.maildir import LocalMaildirs
from gatepost.model.fault import WorldFault


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


class Syncs:
    """Which directories were synced, by name; the next sync of a name in `failing` fails once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.failing: set[str] = set()
        monkeypatch.setattr(bodies, "sync_directory", self)
        monkeypatch.setattr("gatepost.adapters.maildir.sync_directory", self)

    def __call__(self, path: Path) -> None:
        if path.name in self.failing:
            self.failing.remove(path.name)
            raise OSError(5, "Input/output error")
        self.done.append(path.name)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Syncs:
    return Syncs(monkeypatch)


@pytest.fixture
def directory(tmp_path: Path, syncs: Syncs, monkeypatch: pytest.MonkeyPatch) -> BodyDirectory:
    """Every body's name begins alike."""
    names = (f"abcdef{n:018x}" for n in range(100))
    monkeypatch.setattr("secrets.token_hex", lambda _octets: next(names))
    made = BodyDirectory(tmp_path / "bodies")
    made.prepare()
    syncs.done.clear()
    return made


def new(directory: BodyDirectory) -> BodyFile:
    return directory.new(told=lambda _fault: None)


@pytest.mark.threat("O02")
def test_a_place_that_another_body_has_just_made_is_synced_by_this_one_too(
    directory: BodyDirectory, syncs: Syncs
) -> None:
    (directory.directory / "ab").mkdir()  # a thread has come that far
    new(directory).keep()
    assert syncs.done == ["bodies", "ab"]
    new(directory).keep()
    assert syncs.done == ["bodies", "ab", "ab"]


@pytest.mark.threat("O04")
def test_a_place_whose_sync_failed_is_not_trusted(directory: BodyDirectory, syncs: Syncs) -> None:
    syncs.failing.add("bodies")
    first = new(directory)
    with pytest.raises(WorldFault, match="cannot be made durable"):
        first.keep()
    first.discard()
    new(directory).keep()
    assert syncs.done == ["bodies", "ab"]


@pytest.mark.threat("O02")
def test_directories_are_synced_from_the_top(tmp_path: Path, syncs: Syncs) -> None:
    (tmp_path / "there").mkdir()
    make_directory(tmp_path / "there" / "one" / "two")
    assert syncs.done == [tmp_path.name, "there", "one"]
    make_directory(tmp_path / "there" / "one" / "two")
    assert syncs.done[3:] == ["one"]
    assert os.stat(tmp_path / "there" / "one" / "two").st_mode & 0o777 == 0o700


@pytest.mark.threat("O02")
def test_the_first_mail_of_a_maildir_is_delivered_when_the_box_is_durable(
    tmp_path: Path, syncs: Syncs
) -> None:
    async def text() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n\r\n"

    async def story() -> None:
        boxes = LocalMaildirs()
        await boxes.deliver(str(tmp_path / "box"), "one", text())
        await boxes.deliver(str(tmp_path / "box"), "two", text())

    asyncio.run(story())
    assert syncs.done.index(tmp_path.name) < syncs.done.index("box")
    assert syncs.done.count("new") == 2
    assert syncs.done.index("box") < syncs.done.index("new")


def test_a_mail_whose_name_cannot_be_made_durable_is_not_in_new(tmp_path: Path, syncs: Syncs) -> None:
    async def text() -> AsyncIterator[bytes]:
        yield b"Subject: x\r\n\r\n"

    async def story() -> None:
        boxes = LocalMaildirs()
        await boxes.deliver(str(tmp_path / "box"), "one", text())
        syncs.failing.add("new")
        with pytest.raises(WorldFault, match="Input/output error"):
            await boxes.deliver(str(tmp_path / "box"), "two", text())

    asyncio.run(story())
    assert [file.name for file in (tmp_path / "box" / "new").iterdir()] == ["one"]
    assert list((tmp_path / "box" / "tmp").iterdir()) == []
