"""The disk as it may be after a power cut: what was synced for certain, what was written since by chance.

A file has two faces. The *cache* is what every process sees. The *platter* is what a completed
sync has put in safety: the changes noted before the sync began, when it has returned without an
error. After a sync that failed, what it should have covered counts as clean and never reaches the
platter by a later one (what Linux does). A directory is the same with names in place of octets:
a name, its change and its removal are safe once the directory was synced, and not by the file's sync.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from powercut.tracing import Op, Record

SECTOR_BYTES: Final = 512
MAY_BE_MAPPED: Final = ("-shm", "in-flight", "plug-in")
"""Ends of names of files whose contents mean nothing after a power cut: they are filled with noise."""


class Model(Enum):
    """What became of what no sync has covered."""

    KEEP = "kept"
    """All of it is there: the process was killed, the machine was not."""
    DROP = "dropped"
    CHANCE = "by chance"
    """Each change is there, gone, or there in some of its sectors."""


class CannotJudge(Exception):
    """The gateway did something that this disk does not model."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a file. data None: cut off, or grown with zeros, to `offset`."""

    offset: int
    data: bytes | None
    grows: bool = False


@dataclass(slots=True)
class File:
    """Octets. lost: how many of the first pending changes no sync will cover any more."""

    cache: bytearray = field(default_factory=bytearray)
    platter: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)
    lost: int = 0

    def change(self, change: Change) -> None:
        """Seen by everybody, safe for nobody."""
        put(self.cache, change)
        self.pending.append(change)

    def synced(self, count: int) -> None:
        """A sync that began after the first `count` pending changes has returned."""
        for change in self.pending[self.lost : count]:
            put(self.platter, change)
        del self.pending[self.lost : count]


@dataclass(slots=True, eq=False)
class Entry:
    """A change of a name. node None: the name is gone. needs: the other half of a rename, which must have come."""

    name: str
    node: Node | None
    needs: Entry | None = None
    has_come: bool = False


@dataclass(slots=True)
class Directory:
    """Names."""

    cache: dict[str, Node] = field(default_factory=dict)
    platter: dict[str, Node] = field(default_factory=dict)
    pending: list[Entry] = field(default_factory=list)
    lost: int = 0

    def change(self, entry: Entry) -> None:
        """Seen by everybody, safe for nobody."""
        name_it(self.cache, entry)
        self.pending.append(entry)

    def synced(self, count: int) -> None:
        """As File.synced."""
        for entry in self.pending[self.lost : count]:
            entry.has_come = True
            name_it(self.platter, entry)
        del self.pending[self.lost : count]


Node = File | Directory


class Chance(Protocol):
    """Decides for a disk which of the changes that were not synced it has."""

    def has(self, entry: Entry) -> bool:
        """Whether this change of a name has come."""

    def pieces(self, change: Change) -> Iterator[Change]:
        """What has come of a change of a file."""


class Dice:
    """Chance by a generator; how much survives differs from disk to disk."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._share = chance.choice((0.1, 0.5, 0.9))
        self._chosen: dict[int, bool] = {}

    def has(self, entry: Entry) -> bool:
        """The halves of a rename: the old name goes only when the new one has come."""
        if entry.has_come:
            return True
        key = id(entry)
        if key not in self._chosen:
            needed = entry.needs is None or self.has(entry.needs)
            self._chosen[key] = needed and self._chance.random() < self._share
        return self._chosen[key]

    def pieces(self, change: Change) -> Iterator[Change]:
        """All, none, or some of its sectors."""
        luck = self._chance.random()
        if luck < self._share / 2:
            yield change
        elif luck < self._share and change.data is not None:
            at, end = change.offset, change.offset + len(change.data)
            while at < end:
                stop = min(end, (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
                if self._chance.random() < 0.5:
                    yield Change(at, change.data[at - change.offset : stop - change.offset])
                at = stop


class Disk:
    """The state directory, brought forward record by record."""

    def __init__(self) -> None:
        self.root = Directory()
        self._by_ino: dict[int, Node] = {}
        self._begun: dict[tuple[int, int], list[tuple[Node, int]]] = defaultdict(list)

    def apply(self, record: Record) -> None:
        """One more thing has happened. Raises CannotJudge."""
        match record.op:
            case Op.OPEN | Op.MKDIR:
                self._open(record)
            case Op.WRITE:
                self._file(record).change(Change(record.offset, record.data))
            case Op.TRUNCATE:
                self._file(record).change(Change(record.offset, None))
            case Op.ALLOCATE:
                self._file(record).change(Change(record.offset, None, grows=True))
            case Op.RENAME | Op.LINK | Op.UNLINK:
                self._rename(record)
            case Op.SYNC_BEGIN | Op.SYNC_END:
                self._sync(record)
            case Op.MAP:
                self._refuse_mapping(record)
            case Op.UNKNOWN:
                raise CannotJudge(f"the gateway called {record.path}, which nobody has modelled")
            case Op.SAY | Op.DELIVERED | Op.LEDGER:
                pass

    def _open(self, record: Record) -> None:
        directory, name = self._parent(record.path)
        node = directory.cache.get(name) if record.path else self.root
        if record.op is Op.MKDIR or record.is_new:
            node = Directory() if record.op is Op.MKDIR else File()
            directory.change(Entry(name, node))
        if node is None:
            raise CannotJudge(f"{record.path} was opened, and nobody has seen it made")
        self._by_ino[record.ino] = node

    def _rename(self, record: Record) -> None:
        directory, name = self._parent(record.path)
        if record.op is Op.UNLINK:
            directory.change(Entry(name, None))
            return
        target, new_name = self._parent(record.other)
        node = directory.cache.get(name)
        if node is None:
            raise CannotJudge(f"{record.path} got another name, and nobody has seen it made")
        came = Entry(new_name, node)
        target.change(came)
        if record.op is Op.RENAME:
            directory.change(Entry(name, None, needs=came))

    def _sync(self, record: Record) -> None:
        key = record.pid, record.ino
        if record.op is Op.SYNC_BEGIN:
            node = self._by_ino[record.ino]
            self._begun[key].append((node, len(node.pending)))
            return
        node, count = self._begun[key].pop(0)
        if record.error:
            node.lost = max(node.lost, count)
        else:
            gone = max(0, count - node.lost)
            node.synced(count)
            # Others that are under way on the same file count from its beginning, too.
            for waiting in self._begun.values():
                waiting[:] = [(n, max(n.lost, c - gone) if n is node else c) for n, c in waiting]

    def _refuse_mapping(self, record: Record) -> None:
        node = self._by_ino.get(record.ino)
        for path, file in walk(self.root):
            if file is node and not path.endswith(MAY_BE_MAPPED):
                raise CannotJudge(f"{path} is written through a mapping, which cannot be seen")

    def _file(self, record: Record) -> File:
        node = self._by_ino.get(record.ino)
        if not isinstance(node, File):
            raise CannotJudge(f"a file that nobody has seen opened was changed ({record.op.name})")
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        *places, name = path.split("/")
        node: Node | None = self.root
        for place in places:
            node = node.cache.get(place) if isinstance(node, Directory) else None
        if not isinstance(node, Directory):
            raise CannotJudge(f"{path}: nobody has seen its directory made")
        return node, name


def walk(directory: Directory, prefix: str = "") -> Iterator[tuple[str, File]]:
    """Every file as the processes see it."""
    for name, node in directory.cache.items():
        if isinstance(node, File):
            yield prefix + name, node
        else:
            yield from walk(node, f"{prefix}{name}/")


def image(disk: Disk, model: Model, chance: random.Random) -> Iterator[tuple[str, bytearray | None]]:
    """What is found when the power is back: paths below the state directory; None: a directory."""
    dice = Dice(chance) if model is Model.CHANCE else None
    yield from _image_of(disk.root, "", model, dice)


def _image_of(
    directory: Directory, prefix: str, model: Model, dice: Chance | None
) -> Iterator[tuple[str, bytearray | None]]:
    names = dict(directory.cache if model is Model.KEEP else directory.platter)
    if dice is not None:
        for entry in directory.pending[directory.lost :]:
            if dice.has(entry):
                name_it(names, entry)
    for name, node in names.items():
        if isinstance(node, Directory):
            yield prefix + name, None
            yield from _image_of(node, f"{prefix}{name}/", model, dice)
        else:
            yield prefix + name, _octets(node, model, dice)


def _octets(file: File, model: Model, dice: Chance | None) -> bytearray:
    if model is Model.KEEP:
        return file.cache
    if dice is None:
        return file.platter
    found = bytearray(file.platter)
    for change in file.pending[file.lost :]:
        for piece in dice.pieces(change):
            put(found, piece)
    return found


def put(octets: bytearray, change: Change) -> None:
    """Carry out one change; a gap is filled with zeros."""
    if len(octets) < change.offset:
        octets.extend(bytes(change.offset - len(octets)))
    if change.data is not None:
        octets[change.offset : change.offset + len(change.data)] = change.data
    elif not change.grows:
        del octets[change.offset :]


def name_it(names: dict[str, Node], entry: Entry) -> None:
    """Carry out one change of a name."""
    if entry.node is None:
        names.pop(entry.name, None)
    else:
        names[entry.name] = entry.node
