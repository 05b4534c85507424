"""The control process: numbers and health for machines that watch, asked from the workers' sockets."""

from __future__ import annotations

import asyncio
import contextlib
import operator
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from gatepost.adapters.log import JsonLog
from gatepost.adapters.sqlite_reader import open_reader
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.console.metrics import MetricInfo, MetricsServer, Sample, WorkerReport
from gatepost.control.commands import AskMetrics, AskStatus, Samples, WorkerStatus
from gatepost.control.gateway import AskWorkers, Workers
from gatepost.control.links import WorkerLink
from gatepost.main.logs import open_log, reopen_log
from gatepost.main.places import store_directories
from gatepost.main.sockets import split_binding
from gatepost.main.stores import running, tell_gateway
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState
from gatepost.records.counters import METRICS, MetricKind, Together

WORKER_TIMEOUT_S: Final = 3.0
"""Patience with each answer: Prometheus has ten seconds for the page, and a worker that stands still must be on it."""
_JOINS: Final[Mapping[Together, Callable[[float, float], float]]] = {
    Together.SUM: operator.add,
    Together.HIGHEST: max,
    Together.LOWEST: min,
}
DEPTHS_AGE_S: Final = 10.0
_SHOWN: Final = tuple(state for state in MailState if not state.is_final and state is not MailState.LEASED)


def run_control(configuration: Configuration, workers: Sequence[int]) -> int:
    """The control process's whole life; returns its exit status. workers: their numbers."""
    log = open_log(configuration.settings.log, "control")
    try:
        asyncio.run(_serve(configuration.settings, workers, log))
    except OSError as error:
        listen = configuration.settings.metrics.listen
        log.write("error", "control-cannot-run", reason=f"cannot listen on {listen}: {error.strerror}")
        return 1
    finally:
        log.close()
    return 0


async def _serve(settings: Settings, workers: Sequence[int], log: JsonLog) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, reopen_log, log, settings.log)

    async def collect() -> Sequence[WorkerReport]:
        return await _reports(settings, workers)

    depths = QueueDepths(settings)

    async def collect_more() -> Sequence[Sample]:
        gateway, queue = await asyncio.gather(
            asyncio.to_thread(_of_gateway, settings), asyncio.to_thread(depths.samples)
        )
        return (*gateway, *queue)

    known = {m.name: MetricInfo(m.kind is MetricKind.GAUGE, m.help, _JOINS[m.together]) for m in METRICS}
    server = await MetricsServer(collect, known, collect_more).serve(*split_binding(settings.metrics.listen))
    async with server:
        await stop.wait()


async def _reports(settings: Settings, workers: Sequence[int]) -> list[WorkerReport]:
    """All at once: one that stands still costs the others nothing."""
    try:
        links = await asyncio.to_thread(running, settings, timeout_s=WORKER_TIMEOUT_S)
    except WorldFault:
        return [WorkerReport(number, None) for number in workers]
    answering = {link.worker: link for link in links}
    asked = (asyncio.to_thread(_report, number, answering.get(number)) for number in workers)
    return list(await asyncio.gather(*asked))


def _report(number: int, link: WorkerLink | None) -> WorkerReport:
    if link is None:
        return WorkerReport(number, None)
    try:
        status, samples = link.ask(AskStatus()), link.ask(AskMetrics())
    except WorldFault:
        return WorkerReport(number, None)
    if not isinstance(samples, Samples) or not isinstance(status, WorkerStatus):
        return WorkerReport(number, None)
    doors = tuple((door.name, door.state.value) for door in status.connectors)
    return WorkerReport(number, samples.samples, status.not_accepting, doors, started_at=status.started_at)


def _of_gateway(settings: Settings) -> list[Sample]:
    """What the supervisor knows."""
    try:
        said = tell_gateway(settings, AskWorkers(), timeout_s=WORKER_TIMEOUT_S)
    except WorldFault:
        return [("gateway_up", (), 0.0)]
    if not isinstance(said, Workers):
        return [("gateway_up", (), 0.0)]
    ended = [("processes_ended", (("process", name),), float(times)) for name, times in said.ended.items()]
    return [("gateway_up", (), 1.0), ("reload_refused", (), float(said.refused is not None)), *ended]


class QueueDepths:
    """How long the queue is, read from the stores, as often as that costs a twentieth of the time at most."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: list[Sample] = []
        self._until = 0.0

    def samples(self) -> list[Sample]:
        """Called in a thread, by one scraper or by several at once."""
        begun = time.monotonic()
        if begun >= self._until:
            self._until = begun + DEPTHS_AGE_S
            self._known = self._read()
            self._until = time.monotonic() + max(DEPTHS_AGE_S, 20 * (time.monotonic() - begun))
        return self._known

    def _read(self) -> list[Sample]:
        counts: Counter[str] = Counter({state.value: 0 for state in _SHOWN})
        oldest: dict[str, float] = {}
        unreadable = 0
        try:
            stores = store_directories(self._settings).values()
        except WorldFault:
            stores, unreadable = dict[int, Path]().values(), 1
        for directory in stores:
            try:
                with contextlib.closing(open_reader(directory)) as reader:
                    for state, recipients, oldest_at in reader.depths():
                        counts[state] += recipients
                        oldest[state] = min(oldest_at, oldest.get(state, oldest_at))
            except (
                WorldFault
            ):  # of a worker that has not made it yet, or damaged: the worker's log says which
                unreadable += (directory / "store.db").exists()
        return [
            *(("queued_recipients", (("state", name),), float(number)) for name, number in counts.items()),
            *(("queued_oldest", (("state", name),), at) for name, at in oldest.items()),
            ("store_unreadable", (), float(unreadable)),
        ]
