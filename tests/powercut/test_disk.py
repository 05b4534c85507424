"""What the disk of the explorer has after a power cut."""

from __future__ import annotations

import random

import pytest
from powercut.disk import CannotJudge, Disk, Model, image
from powercut.explore import cuts_of
from powercut.tracing import Op, Record


def step(op: Op, ino: int = 0, path: str = "", data: bytes = b"", **more: object) -> Record:
    fields = {"offset": 0, "other": "", "is_new": False, "error": 0, "pid": 1, **more}
    return Record(op=op, ino=ino, path=path, data=data, **fields)  # type: ignore[arg-type]


TOP = step(Op.OPEN, 1)
NEW = step(Op.OPEN, 2, "a", is_new=True)
WRITE = step(Op.WRITE, 2, data=b"one")
MORE = step(Op.WRITE, 2, data=b"two", offset=3)


def sync(ino: int, error: int = 0) -> tuple[Record, Record]:
    return step(Op.SYNC_BEGIN, ino), step(Op.SYNC_END, ino, error=error)


def left(records: tuple[Record, ...], model: Model, seed: int = 0) -> dict[str, bytes]:
    disk = Disk()
    for record in records:
        disk.apply(record)
    return {path: bytes(octets or b"") for path, octets in image(disk, model, random.Random(seed))}


TWO_SYNCS = (step(Op.SYNC_BEGIN, 2, pid=2), sync(2)[1], step(Op.SYNC_END, 2, pid=2))
CASES = {
    "nothing synced": ((TOP, NEW, WRITE), {}),
    "the file synced, its name not": ((TOP, NEW, WRITE, *sync(2)), {}),
    "the name synced, the file not": ((TOP, NEW, WRITE, *sync(1)), {"a": b""}),
    "both synced": ((TOP, NEW, WRITE, *sync(2), *sync(1)), {"a": b"one"}),
    "a write after the sync": ((TOP, NEW, WRITE, *sync(2), *sync(1), MORE), {"a": b"one"}),
    "a write while the sync runs": (
        (TOP, NEW, *sync(1), WRITE, sync(2)[0], MORE, sync(2)[1]),
        {"a": b"one"},
    ),
    "a sync that has not returned": ((TOP, NEW, *sync(1), WRITE, sync(2)[0]), {"a": b""}),
    "a sync that failed, and one after it": (
        (TOP, NEW, *sync(1), WRITE, *sync(2, error=5), MORE, *sync(2)),
        {"a": b"\0\0\0two"},
    ),
    "two syncs at once": (
        (TOP, NEW, *sync(1), WRITE, sync(2)[0], MORE, *TWO_SYNCS),
        {"a": b"onetwo"},
    ),
    "cut off, not synced": ((TOP, NEW, WRITE, *sync(2), *sync(1), step(Op.TRUNCATE, 2)), {"a": b"one"}),
    "another name, not synced": (
        (TOP, NEW, WRITE, *sync(2), *sync(1), step(Op.RENAME, path="a", other="b")),
        {"a": b"one"},
    ),
    "another name": (
        (TOP, NEW, WRITE, *sync(2), *sync(1), step(Op.RENAME, path="a", other="b"), *sync(1)),
        {"b": b"one"},
    ),
    "removed, not synced": ((TOP, NEW, WRITE, *sync(2), *sync(1), step(Op.UNLINK, path="a")), {"a": b"one"}),
    "a directory nobody synced": (
        (TOP, step(Op.MKDIR, 3, "d"), step(Op.OPEN, 2, "d/a", is_new=True), WRITE, *sync(2), *sync(3)),
        {},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_certain(name: str) -> None:
    records, expected = CASES[name]
    assert left(records, Model.DROP) == expected


def test_a_kill_loses_nothing() -> None:
    records = (TOP, NEW, WRITE, MORE, step(Op.RENAME, path="a", other="b"))
    assert left(records, Model.KEEP) == {"b": b"onetwo"}


def test_chance_tears_at_sectors_and_spares_what_was_synced() -> None:
    old, new = b"o" * 2048, b"n" * 2048
    records = (TOP, NEW, step(Op.WRITE, 2, data=old), *sync(2), *sync(1), step(Op.WRITE, 2, data=new))
    seen = {left(records, Model.CHANCE, seed)["a"] for seed in range(100)}
    sectors = {octets[at : at + 512] for octets in seen for at in range(0, 2048, 512)}
    assert sectors == {b"o" * 512, b"n" * 512}
    assert {old, new} < seen


def test_a_rename_by_chance_never_loses_both_names() -> None:
    records = (TOP, NEW, WRITE, *sync(2), *sync(1), step(Op.RENAME, path="a", other="b"))
    seen = {frozenset(left(records, Model.CHANCE, seed)) for seed in range(100)}
    assert seen == {frozenset("a"), frozenset("b"), frozenset("ab")}


@pytest.mark.parametrize(
    "record",
    [
        step(Op.UNKNOWN, path="sendfile"),
        step(Op.MAP, 2),
        step(Op.WRITE, 9),
        step(Op.OPEN, 9, "x"),
        step(Op.RENAME, path="x", other="y"),
        step(Op.MKDIR, 9, "x/y"),
    ],
    ids=lambda r: r.op.name,
)
def test_what_it_cannot_know_it_does_not_judge(record: Record) -> None:
    with pytest.raises(CannotJudge):
        left((TOP, NEW, record), Model.KEEP)


def test_every_cut_of_so_many_operations() -> None:
    records = (TOP, NEW, WRITE, step(Op.SAY), *sync(2), MORE)
    assert [cuts_of(records, operations) for operations in (1, 2, 3)] == [3, 6, 7]
    with pytest.raises(CannotJudge, match="record more mails"):
        cuts_of(records, 4)
