"""/metrics, /healthz and /readyz over a very small HTTP server: GET only, bounded in every direction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

REQUEST_LIMIT_BYTES: Final = 8192
REQUEST_TIMEOUT_S: Final = 10.0
CONNECTIONS_LIMIT: Final = 32
SNAPSHOT_AGE_S: Final = 1.0
"""A scraper that asks more often gets the same answer again (threats P11)."""

Sample = tuple[str, tuple[tuple[str, str], ...], float]


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one worker says of itself; samples is None when it does not answer."""

    worker: int
    samples: Sequence[Sample] | None
    why_not_accepting: str = ""
    connectors: tuple[tuple[str, str], ...] = ()
    """Each enabled receive connector and its state."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric's entry in the closed list: its kind and its help text."""

    is_gauge: bool
    help: str


Collect = Callable[[], Awaitable[Sequence[WorkerReport]]]


class MetricsServer:
    """Answers watchers. collect: asks all workers, bounded in time. known: name -> its entry."""

    def __init__(self, collect: Collect, known: Mapping[str, MetricInfo]) -> None:
        self._collect = collect
        self._known = known
        self._snapshot: Sequence[WorkerReport] = ()
        self._snapshot_at = float("-inf")
        self._open = 0

    async def serve(self, host: str, port: int) -> asyncio.Server:
        """Start listening. Raises OSError when the address is taken."""
        return await asyncio.start_server(self._talk, host, port, limit=REQUEST_LIMIT_BYTES)

    async def answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        """Status, content type, body for one request."""
        if method != "GET":
            return 405, "text/plain", b"only GET\n"
        place, _, question = path.partition("?")
        match place:
            case "/metrics":
                page = _exposition(await self._reports(), self._known)
                return 200, "text/plain; version=0.0.4; charset=utf-8", page
            case "/healthz":  # asks nobody: a worker that hangs is not our death
                return 200, "text/plain", b"ok\n"
            case "/readyz":
                return _readiness(await self._reports(), parse_qs(question).get("connector", [""])[0])
            case _:
                return 404, "text/plain", b"there are /metrics, /healthz and /readyz\n"

    async def _reports(self) -> Sequence[WorkerReport]:
        now = asyncio.get_running_loop().time()
        if now - self._snapshot_at > SNAPSHOT_AGE_S:
            self._snapshot_at = now
            self._snapshot = await self._collect()
        return self._snapshot

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS_LIMIT:
                await asyncio.wait_for(self._serve_one(reader, writer), REQUEST_TIMEOUT_S)
        except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a client that does not speak HTTP, or not in time, gets nothing
        finally:
            self._open -= 1
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, *_ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        status, kind, body = await self.answer(method, path)
        writer.write(
            f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
            "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()


_REASONS: Final = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def _readiness(reports: Sequence[WorkerReport], connector: str) -> tuple[int, str, bytes]:
    """connector: the one that is asked about; "": all that are enabled."""
    troubles = [f"worker {r.worker}: {why}" for r in reports for why in _troubles(r, connector)]
    if troubles or not reports:
        return 503, "text/plain", ("\n".join(troubles) or "no worker").encode() + b"\n"
    return 200, "text/plain", b"ready\n"


def _troubles(report: WorkerReport, connector: str) -> Iterator[str]:
    if report.samples is None:
        yield "does not answer"
        return
    if report.why_not_accepting:
        yield report.why_not_accepting
    asked = [(name, state) for name, state in report.connectors if connector in ("", name)]
    if connector and not asked:
        yield "has no enabled receive connector of this name"
    yield from (f"receive connector {name} is {state}" for name, state in asked if state != "running")


def _exposition(reports: Iterable[WorkerReport], known: Mapping[str, MetricInfo]) -> bytes:
    class Snapshot(Collector):
        def collect(self) -> Iterator[Metric]:
            return _families(reports, known)

    registry = CollectorRegistry()
    registry.register(Snapshot())
    return generate_latest(registry)


def _families(reports: Iterable[WorkerReport], known: Mapping[str, MetricInfo]) -> Iterator[Metric]:
    """Counters summed over the workers; gauges summed too: sessions, queue lengths, connections."""
    sums: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    up = GaugeMetricFamily("gatepost_worker_up", "Whether the worker answers", labels=["worker"])
    for report in reports:
        up.add_metric([str(report.worker)], 0.0 if report.samples is None else 1.0)
        for name, labels, value in report.samples or ():
            by_labels = sums.setdefault(name, {})
            by_labels[labels] = by_labels.get(labels, 0.0) + value
    yield up
    for name, values in sorted(sums.items()):
        info = known.get(name, MetricInfo(is_gauge=False, help=name))
        labels_of = sorted({label for labels in values for label, _ in labels})
        family = (GaugeMetricFamily if info.is_gauge else CounterMetricFamily)(
            f"gatepost_{name}", info.help, labels=labels_of
        )
        for labels, value in values.items():
            held = dict(labels)
            family.add_metric([held.get(label, "") for label in labels_of], value)
        yield family
