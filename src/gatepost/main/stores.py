"""The workers' stores and sockets as the command line reaches them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from gatepost.adapters.control_socket import ask, is_answered
from gatepost.adapters.disk import is_in_use
from gatepost.adapters.log import DirectLog
from gatepost.adapters.shared_store import SharedStore
from gatepost.adapters.sqlite_reader import open_reader
from gatepost.adapters.sqlite_store import open_store
from gatepost.adapters.world import SystemClock, SystemRandomness
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.control.gateway import (
    AnyGatewayCommand,
    AnyGatewayReply,
    AskConfiguration,
    AskWorkers,
    decode_reply,
    encode,
)
from gatepost.control.links import SocketLink, StoreLink, WorkerLink
from gatepost.control.worker import WorkerCommands, WorkerFace
from gatepost.main.notice_writer import NoticeWriter, house_of
from gatepost.main.places import control_socket, gateway_socket, shared_state_file, store_directories
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import MailIds
from gatepost.ports.shared import SharedState
from gatepost.ports.store import MailFilter, StoreReader
from gatepost.queue.states import settled
from gatepost.routing.accepted import accepted_domains
from gatepost.routing.next_hop import Router

ASK_TIMEOUT_S: Final = 30.0
LOOK_TIMEOUT_S: Final = 10.0
"""Patience with a worker that only says how it is: one that stands still must not hide the others."""
ORDER_TIMEOUT_S: Final = 300.0
"""Patience with the supervisor, which asks every worker."""


@contextmanager
def readers(settings: Settings) -> Iterator[Sequence[StoreReader]]:
    """Every worker's store, for looking. Raises WorldFault when one cannot be read."""
    with ExitStack() as open_ones:
        found: list[StoreReader] = []
        for directory in store_directories(settings).values():
            if (directory / "store.db").exists():
                reader = open_reader(directory)
                open_ones.callback(reader.close)
                found.append(reader)
        yield found


def former_workers(settings: Settings, workers: int) -> tuple[int, ...]:
    """Numbers from `workers` on whose stores hold mail, or may hold some: those get a worker that delivers.

    A supervisor that was killed leaves workers that finish, and take mail until their sessions are over; a store that
    this process cannot read may be mended by its worker, which says so if it cannot.
    """
    directories = store_directories(settings).items()
    return tuple(
        number
        for number, directory in directories
        if number >= workers and (directory / "store.db").exists() and _may_hold_mail(directory)
    )


def _may_hold_mail(directory: Path) -> bool:
    if is_in_use(directory / "lock"):
        return True
    try:
        with contextlib.closing(open_reader(directory)) as reader:
            return bool(reader.find(MailFilter(), limit=1))
    except WorldFault:
        return True


@contextmanager
def links(configuration: Configuration) -> Iterator[Sequence[WorkerLink]]:
    """Every worker: by its socket when it answers, else by its store. Raises WorldFault."""
    settings = configuration.settings
    with ExitStack() as open_ones:
        found: list[WorkerLink] = []
        for number, directory in store_directories(settings).items():
            socket_path = control_socket(settings, number)
            if is_answered(str(socket_path)):
                found.append(_socket_link(number, socket_path))
            elif (directory / "store.db").exists():
                found.append(_store_link(configuration, number, directory, open_ones))
        yield found


@contextmanager
def shared(settings: Settings) -> Iterator[SharedState]:
    """What all workers know together; what was changed is on disk at the end. Raises WorldFault."""
    store = SharedStore(shared_state_file(settings), now=SystemClock().now, log=DirectLog(SystemClock()))
    try:
        if store.problem:
            raise WorldFault(f"what workers share cannot be read: {store.problem}")
        yield store
        if problem := store.flush():
            raise WorldFault(f"what workers share cannot be written: {problem}")
    finally:
        store.close()


def running(settings: Settings, *, timeout_s: float = LOOK_TIMEOUT_S) -> Sequence[WorkerLink]:
    """The workers whose socket somebody listens on. timeout_s: patience with each answer of them."""
    found = []
    for number in store_directories(settings):
        socket_path = control_socket(settings, number)
        if is_answered(str(socket_path)):
            found.append(_socket_link(number, socket_path, timeout_s))
    return found


def tell_gateway(
    settings: Settings, command: AnyGatewayCommand, *, timeout_s: float | None = None
) -> AnyGatewayReply:
    """One order to the supervisor. Raises WorldFault when no gateway runs or it does not answer."""
    path = gateway_socket(settings)
    if not is_answered(str(path)):
        raise WorldFault(f"the gateway does not run: nobody answers at {path}")
    if timeout_s is None:
        timeout_s = LOOK_TIMEOUT_S if isinstance(command, AskWorkers | AskConfiguration) else ORDER_TIMEOUT_S
    try:
        return decode_reply(ask(str(path), encode(command), timeout_s=timeout_s))
    except ValueError as error:
        raise WorldFault(f"the gateway answered something else: {error}") from error


def _socket_link(number: int, path: Path, timeout_s: float = ASK_TIMEOUT_S) -> SocketLink:
    return SocketLink(number, partial(ask, str(path), timeout_s=timeout_s))


def _store_link(
    configuration: Configuration, number: int, directory: Path, open_ones: ExitStack
) -> StoreLink:
    settings = configuration.settings
    clock, randomness = SystemClock(), SystemRandomness()
    runner = open_ones.enter_context(asyncio.Runner())
    log = DirectLog(clock, level="warning", process="gatepost")
    store = open_store(
        directory,
        settings.queue,
        clock,
        log,
        loop=runner.get_loop(),
        settled=settled,
        allow_volatile=settings.queue.allow_volatile,
    )
    open_ones.callback(store.close)
    accepted = accepted_domains(settings)
    router = Router(settings, accepted)
    notices = NoticeWriter(
        house=house_of(settings, accepted, router),
        clock=clock,
        randomness=randomness,
        ids=MailIds(number, after=store.last_mail_id),
    )
    face = WorkerFace(
        worker=number,
        process_id=os.getpid(),
        started_at=clock.now(),
        revision=configuration.revision,
        hostname=settings.server.hostname,
    )
    commands = WorkerCommands(
        store,
        face=face,
        clock=clock,
        route=router.key_for,
        notice_about=notices.about_removed(store.content),
        deliveries=None,
        queue=settings.queue,
    )
    return StoreLink(number, commands, runner)
