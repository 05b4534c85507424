"""/metrics, /healthz and /readyz over a very small HTTP server: GET only, bounded in every direction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import add
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
    started_at: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric's entry in the closed list: its kind, its help text, and what the values of two workers come to."""

    is_gauge: bool
    help: str
    join: Callable[[float, float], float] = add


Collect = Callable[[], Awaitable[Sequence[WorkerReport]]]
CollectMore = Callable[[], Awaitable[Sequence[Sample]]]


async def _nothing_more() -> Sequence[Sample]:
    return ()


class MetricsServer:
    """Answers watchers. collect: asks all workers, bounded in time. known: name -> its entry.

    collect_more: what no worker counts, for /metrics alone.
    """

    def __init__(
        self, collect: Collect, known: Mapping[str, MetricInfo], collect_more: CollectMore = _nothing_more
    ) -> None:
        self._collect = collect
        self._collect_more = collect_more
        self._known = known
        self._snapshot: Sequence[WorkerReport] = ()
        self._snapshot_at = float("-inf")
        self._look: asyncio.Task[None] | None = None
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
                page = _exposition(await self._reports(), await self._collect_more(), self._known)
                return 200, "text/plain; version=0.0.4; charset=utf-8", page
            case "/healthz":  # asks nobody: a worker that hangs is not our death
                return 200, "text/plain", b"ok\n"
            case "/readyz":
                return _readiness(await self._reports(), parse_qs(question).get("connector", [""])[0])
            case _:
                return 404, "text/plain", b"there are /metrics, /healthz and /readyz\n"

    async def _reports(self) -> Sequence[WorkerReport]:
        """What was seen a moment ago, or what is being looked at now: whoever comes meanwhile waits with the first."""
        now = asyncio.get_running_loop().time()
        if self._look is None and now - self._snapshot_at > SNAPSHOT_AGE_S:
            self._look = asyncio.create_task(self._refresh())
        if self._look is not None:
            await asyncio.shield(self._look)
        return self._snapshot

    async def _refresh(self) -> None:
        try:
            self._snapshot = await self._collect()
            self._snapshot_at = asyncio.get_running_loop().time()
        finally:
            self._look = None

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


def _exposition(
    reports: Sequence[WorkerReport], more: Iterable[Sample], known: Mapping[str, MetricInfo]
) -> bytes:
    class Snapshot(Collector):
        def collect(self) -> Iterator[Metric]:
            return _families(chain(_of_workers(reports), more), known)

    registry = CollectorRegistry()
    registry.register(Snapshot())
    return generate_latest(registry)


def _of_workers(reports: Sequence[WorkerReport]) -> Iterator[Sample]:
    """What each worker counted, and how it is itself."""
    for report in reports:
        worker = (("worker", str(report.worker)),)
        yield "worker_up", worker, 0.0 if report.samples is None else 1.0
        if report.samples is None:
            continue
        yield "worker_started", worker, report.started_at
        yield "worker_takes_mail", worker, 0.0 if report.why_not_accepting else 1.0
        for name, state in report.connectors:
            yield "connector_running", (("connector", name),), 1.0 if state == "running" else 0.0
        yield from report.samples


def _families(samples: Iterable[Sample], known: Mapping[str, MetricInfo]) -> Iterator[Metric]:
    """Counters and most gauges summed over the workers; what each of them says of the same thing is not."""
    sums: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for name, labels, value in samples:
        by_labels = sums.setdefault(name, {})
        join = known[name].join if name in known else add
        by_labels[labels] = join(by_labels[labels], value) if labels in by_labels else value
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
