"""A worker's whole life: one event loop, one store; it begins with one configuration and may go on with others."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import signal
from collections.abc import Callable
from typing import Final

from gatepost.adapters.blame import MappedBlame
from gatepost.adapters.log import JsonLog
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.main.children import Birth, beat
from gatepost.main.joining import build
from gatepost.main.lasting import Lasting, open_shared
from gatepost.main.logs import open_log, reopen_log, tell_unraisable
from gatepost.main.own_store import own_store
from gatepost.main.places import store_directory
from gatepost.main.succession import Succession
from gatepost.main.world import World
from gatepost.model.fault import WorldFault

GC_THRESHOLDS: Final = (20_000, 20, 50)
"""A mail makes some hundred short-lived objects and hardly a cycle: look for cycles rarely."""


def run_worker(configuration: Configuration, number: int, birth: Birth) -> int:
    """A worker's whole life; returns its exit status."""
    log = open_log(configuration.settings.log, f"worker-{number}")
    tell_unraisable(log)
    faulthandler.enable()  # the supervisor ends a worker that stands still with SIGABRT: say where it stood
    try:
        with asyncio.Runner(loop_factory=loop_factory(configuration.settings)) as runner:
            return runner.run(_live(configuration, number, birth, log))
    except WorldFault as fault:
        log.write("error", "worker-cannot-run", reason=fault.reason)
        return 1
    finally:
        log.close()


def open_blame(settings: Settings, number: int) -> MappedBlame:
    """Which plug-in a worker is in, for its successor. Raises WorldFault."""
    path = store_directory(settings, number) / "plug-in"
    try:
        return MappedBlame(path)
    except OSError as error:
        raise WorldFault(f"{path} cannot be made: {error.strerror}") from error


def loop_factory(settings: Settings) -> Callable[[], asyncio.AbstractEventLoop]:
    """What server.event-loop names."""
    if settings.server.event_loop == "uvloop":
        import uvloop  # there are machines without it

        return uvloop.new_event_loop
    return asyncio.new_event_loop


async def _live(configuration: Configuration, number: int, birth: Birth, log: JsonLog) -> int:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, reopen_log, log, configuration.settings.log)
    world = World()
    store = await own_store(configuration.settings, number, world.clock, log, loop, stop)
    if store is None:
        return 0
    shared = open_shared(configuration.settings, world.clock, log)
    lasting = Lasting.around(store, number, birth.sockets, log, world, shared, birth.neighbours)
    lasting.blame = blame = open_blame(configuration.settings, number)
    worker = build(configuration, lasting, None)
    if birth.is_first:
        worker.fuses.forget()  # whoever starts the gateway has looked at it
    if blame.left_over:
        worker.fuses.death(blame.left_over)
    succession = Succession(worker, lasting, build)
    for name, state in birth.held.items():
        worker.listener.hold(name, state, timeout_s=0.0)
    await worker.start()
    gc.collect()
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()  # what is built now lives as long as the worker: not to be looked at again
    log.write("info", "worker-ready", worker=number, queued_from=worker.store.last_mail_id)
    beating = loop.create_task(beat(birth.line))
    await stop.wait()
    beating.cancel()
    await succession.stop(succession.worker.settings.server.stop_timeout_s)
    shared.close()
    return 0
