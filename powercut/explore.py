"""The explorer: cuts the power at chosen records, lets the gateway recover, and compares with the promises."""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from gatepost.model.mail_id import mail_id_number
from gatepost.model.queued import MailState
from powercut.disk import CannotJudge, Disk, Model, image
from powercut.ledger import Ledger, ledger_of
from powercut.recovery import Found, Kept, recover
from powercut.tracing import Op, Record

_GONE: Final = (MailState.DELIVERED, MailState.FAILED, MailState.REMOVED)
_OPERATIONS: Final = frozenset(
    {Op.WRITE, Op.TRUNCATE, Op.ALLOCATE, Op.RENAME, Op.LINK, Op.UNLINK, Op.MKDIR, Op.SYNC_END}
)
_AFTER_A_REPLY: Final = 0.4
"""The share of cuts that come right behind a 250: where a promise without a sync is seen best."""


class Fault(Enum):
    """What must not be found."""

    LOST = "lost"
    DAMAGED = "damaged, or the store does not open"
    ALTERED = "altered"
    INVENTED = "invented"


@dataclass(frozen=True, slots=True)
class Failure:
    """One broken promise. cut: how many records of the trace had happened."""

    fault: Fault
    cut: int
    model: Model
    text: str


@dataclass(frozen=True, slots=True)
class State:
    """One disk to look at. seed: of what chance decides on it."""

    cut: int
    model: Model
    seed: str


def states_of(records: Sequence[Record], seed: int, count: int) -> list[State]:
    """Chosen by the seed, in the order of the cuts."""
    chance = random.Random(f"{seed}:cuts")
    replies = [number + 1 for number, record in enumerate(records) if record.op is Op.SAY]
    cuts = []
    for _ in range(count):
        near_reply = replies and chance.random() < _AFTER_A_REPLY
        cuts.append(chance.choice(replies) if near_reply else chance.randint(1, len(records)))
    models = (Model.CHANCE, Model.DROP, Model.CHANCE, Model.KEEP)
    return [State(cut, models[n % 4], f"{seed}:{n}") for n, cut in enumerate(sorted(cuts))]


def cuts_of(records: Sequence[Record], operations: int) -> int:
    """How many records hold so many changes and syncs. Raises CannotJudge for a trace that has fewer."""
    done = 0
    for number, record in enumerate(records, start=1):
        done += record.op in _OPERATIONS
        if done == operations:
            return number
    raise CannotJudge(f"the trace has {done} operations, {operations} were asked for: record more mails")


def every_state(records: Sequence[Record], seed: int) -> list[State]:
    """Every cut of the trace under every model."""
    return [State(cut, model, f"{seed}:{cut}") for cut in range(1, len(records) + 1) for model in Model]


def explore(
    records: Sequence[Record],
    states: Sequence[State],
    place: Path,
    workers: int,
    *,
    seen: Callable[[State, Found], None] = lambda _state, _found: None,
) -> Iterator[Failure]:
    """Every broken promise. place: a directory that is emptied for each disk. Raises CannotJudge."""
    disk, ledger, done = Disk(), ledger_of(records), 0
    with asyncio.Runner() as runner:
        for state in states:
            for record in records[done : state.cut]:
                disk.apply(record)
                ledger.apply(done, record)
                done += 1
            chance = random.Random(state.seed)
            _lay_out(disk, state.model, chance, place, list(ledger.acknowledged))
            found = recover(place, workers, runner.get_loop())
            seen(state, found)
            for fault, text in compare(ledger, found):
                yield Failure(fault, state.cut, state.model, text)


def compare(ledger: Ledger, found: Found) -> Iterator[tuple[Fault, str]]:
    """The promises against one disk."""
    for problem in found.problems:
        yield Fault.DAMAGED, problem
    for mail_id in ledger.acknowledged:
        missing = _missing(ledger, mail_id, found.mails.get(mail_id))
        if missing:
            yield Fault.LOST, f"{mail_id} was answered 250; not there for {missing}"
    for mail_id, kept in found.mails.items():
        if kept.name:
            yield from _judge_kept(ledger, mail_id, kept)


def _missing(ledger: Ledger, mail_id: str, kept: Kept | None) -> str:
    """Recipients that have neither been served nor wait; "" when there is none."""
    served = ledger.delivered.get(mail_id, set())
    name = ledger.names.get(mail_id)
    if name is None:  # the client hung up before it could read the 250
        return "" if served or kept is not None else "anybody"
    waiting = set() if kept is None else {r for r, state in kept.recipients.items() if state not in _GONE}
    return ", ".join(sorted(ledger.sent[name].recipients - served - waiting))


def _judge_kept(ledger: Ledger, mail_id: str, kept: Kept) -> Iterator[tuple[Fault, str]]:
    sent = ledger.sent.get(kept.name)
    if sent is None or not sent.may_be_there:
        yield Fault.INVENTED, f"{mail_id}: {kept.name} was refused, or never sent to its end"
        return
    if kept.digest != sent.digest or ledger.names.get(mail_id, kept.name) != kept.name:
        yield Fault.ALTERED, f"{mail_id}: {kept.name} has other octets than were sent"
    strangers = kept.recipients.keys() - sent.recipients
    if strangers:
        yield Fault.INVENTED, f"{mail_id}: nobody sent it to {', '.join(sorted(strangers))}"
    served = ledger.delivered.get(mail_id, set())
    if any(state in _GONE and who not in served for who, state in kept.recipients.items()):
        yield Fault.LOST, f"{mail_id} is marked as delivered, and the next hop has not taken it"


def _lay_out(disk: Disk, model: Model, chance: random.Random, place: Path, mail_ids: list[str]) -> None:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    for path, octets in image(disk, model, chance):
        if octets is None:
            (place / path).mkdir()
        elif path.endswith(("-shm", "plug-in")):
            (place / path).write_bytes(chance.randbytes(len(octets)))
        elif path.endswith("in-flight"):
            (place / path).write_bytes(_noise_of_ids(chance, mail_ids, len(octets)))
        else:
            (place / path).write_bytes(octets)


def _noise_of_ids(chance: random.Random, mail_ids: list[str], size_bytes: int) -> bytes:
    """Any mail may have been in work."""
    chosen = chance.sample(mail_ids, min(len(mail_ids), size_bytes // 8, 5))
    return struct.pack(f"<{len(chosen)}Q", *map(mail_id_number, chosen)).ljust(size_bytes, b"\0")[:size_bytes]
