"""The control process: numbers and health for machines that watch, asked from the workers' sockets."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from gatepost.adapters.log import JsonLog
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.console.metrics import MetricInfo, MetricsServer, WorkerReport
from gatepost.control.commands import AskMetrics, AskStatus, Samples, WorkerStatus
from gatepost.control.links import WorkerLink
from gatepost.main.logs import open_log, reopen_log
from gatepost.main.sockets import split_binding
from gatepost.main.stores import running
from gatepost.model.fault import WorldFault
from gatepost.records.counters import METRICS, MetricKind


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
        return await asyncio.to_thread(_reports, settings, workers)

    known = {m.name: MetricInfo(is_gauge=m.kind is MetricKind.GAUGE, help=m.help) for m in METRICS}
    server = await MetricsServer(collect, known).serve(*split_binding(settings.metrics.listen))
    async with server:
        await stop.wait()


def _reports(settings: Settings, workers: Sequence[int]) -> list[WorkerReport]:
    answering = {link.worker: link for link in running(settings)}
    return [_report(number, answering.get(number)) for number in workers]


def _report(number: int, link: WorkerLink | None) -> WorkerReport:
    if link is None:
        return WorkerReport(number, None)
    try:
        samples, status = link.ask(AskMetrics()), link.ask(AskStatus())
    except WorldFault:
        return WorkerReport(number, None)
    if not isinstance(samples, Samples) or not isinstance(status, WorkerStatus):
        return WorkerReport(number, None)
    doors = tuple((door.name, door.state.value) for door in status.connectors)
    return WorkerReport(number, samples.samples, status.not_accepting, doors)
