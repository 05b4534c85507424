"""The way to the workers: over their sockets while the gateway runs, through their stores while it is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from gatepost.control.commands import (
    AnyCommand,
    AnyReply,
    Changed,
    Refused,
    Skipped,
    Target,
    decode_reply,
    encode,
)
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import worker_of

if TYPE_CHECKING:  # the worker's side brings half the gateway along
    from gatepost.control.worker import WorkerCommands

BATCH_TARGETS = 500
"""Mails in one command: each is one transaction, and the worker's loop stands still while it is made."""


class WorkerLink(Protocol):
    """One worker."""

    @property
    def worker(self) -> int:
        """Its number."""

    def ask(self, command: AnyCommand) -> AnyReply:
        """Blocks until it is answered. Raises WorldFault when there is no answer."""


class SocketLink:
    """A worker that runs. send: octets of a command to octets of the answer, raising WorldFault."""

    def __init__(self, worker: int, send: Callable[[bytes], bytes]) -> None:
        self.worker = worker
        self._send = send

    def ask(self, command: AnyCommand) -> AnyReply:
        """Over the socket."""
        try:
            return decode_reply(self._send(encode(command)))
        except ValueError as error:
            raise WorldFault(f"worker {self.worker} answered something else: {error}") from error


class StoreLink:
    """A worker that does not run, whose store we hold. runner: the loop the store was opened on."""

    def __init__(self, worker: int, commands: WorkerCommands, runner: asyncio.Runner) -> None:
        self.worker = worker
        self._commands = commands
        self._runner = runner

    def ask(self, command: AnyCommand) -> AnyReply:
        """Done here, in this process."""
        return self._runner.run(self._commands.obey(command))


def act(
    links: Sequence[WorkerLink],
    targets: Sequence[Target],
    command: Callable[[tuple[Target, ...]], AnyCommand],
) -> Changed:
    """Send a command about mails to the workers that hold them, in batches, and add up the answers.

    Raises WorldFault when a worker refuses or does not answer; what was done before is done.
    """
    by_worker = {link.worker: link for link in links}
    done = Changed()
    for worker, batch in _batches(targets):
        link = by_worker.get(worker)
        if link is None:
            missing = tuple(Skipped(t.mail_id, f"worker {worker} cannot be reached") for t in batch)
            done += Changed(skipped=missing)
        else:
            done += changed(link.ask(command(batch)))
    return done


def tell_all(links: Sequence[WorkerLink], command: AnyCommand) -> Changed:
    """Send one command to every worker and add up the answers. Raises WorldFault as act()."""
    done = Changed()
    for link in links:
        done += changed(link.ask(command))
    return done


def refused_by(reply: object) -> str:
    """Why an order was not carried out. Raises WorldFault for an answer to something else."""
    if isinstance(reply, Refused):
        return reply.reason
    raise WorldFault("the gateway answered something else")


def changed(reply: AnyReply) -> Changed:
    """The answer to a command that changes something. Raises WorldFault for any other."""
    match reply:
        case Changed():
            return reply
        case Refused(reason=reason):
            raise WorldFault(reason)
        case _:
            raise WorldFault("the worker answered something else")


def _batches(targets: Sequence[Target]) -> Iterator[tuple[int, tuple[Target, ...]]]:
    by_worker: dict[int, list[Target]] = {}
    for target in targets:
        by_worker.setdefault(worker_of(target.mail_id), []).append(target)
    for worker, mine in sorted(by_worker.items()):
        for start in range(0, len(mine), BATCH_TARGETS):
            yield worker, tuple(mine[start : start + BATCH_TARGETS])
