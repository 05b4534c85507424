"""/healthz, /readyz and /metrics: what watchers hear, and what they cannot do to us."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gatepost.console.metrics import MetricInfo, MetricsServer, WorkerReport

KNOWN = {"connections": MetricInfo(is_gauge=False, help="Connections taken")}
WELL = WorkerReport(0, (("connections", (("connector", "internet"),), 3.0),), "", (("internet", "running"),))


@dataclass(frozen=True)
class Case:
    name: str
    reports: Sequence[WorkerReport]
    path: str
    status: int
    body: str


PAUSED = WorkerReport(1, (), "", (("internet", "paused"), ("submission", "running")))
CASES = (
    Case("all is well", [WELL], "/readyz", 200, "ready\n"),
    Case(
        "a worker that is silent",
        [WELL, WorkerReport(1, None)],
        "/readyz",
        503,
        "worker 1: does not answer\n",
    ),
    Case(
        "a store that takes nothing",
        [WorkerReport(0, (), "disk low")],
        "/readyz",
        503,
        "worker 0: disk low\n",
    ),
    Case("a paused door", [PAUSED], "/readyz", 503, "worker 1: receive connector internet is paused\n"),
    Case("a door that is asked about", [PAUSED], "/readyz?connector=submission", 200, "ready\n"),
    Case(
        "a paused one that is asked about",
        [PAUSED],
        "/readyz?connector=internet",
        503,
        "worker 1: receive connector internet is paused\n",
    ),
    Case(
        "a door that is none",
        [WELL],
        "/readyz?connector=x",
        503,
        "worker 0: has no enabled receive connector of this name\n",
    ),
    Case("no worker at all", [], "/readyz", 503, "no worker\n"),
    Case("alive whatever the workers do", [WorkerReport(0, None)], "/healthz", 200, "ok\n"),
    Case("nothing else", [WELL], "/", 404, "there are /metrics, /healthz and /readyz\n"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_what_watchers_hear(case: Case) -> None:
    async def collect() -> Sequence[WorkerReport]:
        return case.reports

    status, _, body = asyncio.run(MetricsServer(collect, KNOWN).answer("GET", case.path))
    assert (status, body.decode()) == (case.status, case.body)


@pytest.mark.threat("P11")
def test_a_scraper_that_asks_all_the_time_costs_one_look() -> None:
    looks = 0

    async def collect() -> Sequence[WorkerReport]:
        nonlocal looks
        looks += 1
        return [WELL]

    async def scrape() -> set[bytes]:
        server = MetricsServer(collect, KNOWN)
        asyncio.get_running_loop().time = lambda: 1000.0  # type: ignore[method-assign]
        return {(await server.answer("GET", "/metrics"))[2] for _ in range(100)}

    pages = asyncio.run(scrape())
    assert (len(pages), looks) == (1, 1)
    assert b'gatepost_connections_total{connector="internet"} 3.0' in pages.pop()


@pytest.mark.threat("P11")
def test_a_hostile_scraper_is_cut_off_and_the_next_is_served() -> None:
    async def collect() -> Sequence[WorkerReport]:
        return [WELL]

    async def talk() -> list[bytes]:
        server = await MetricsServer(collect, KNOWN).serve("127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        heard = []
        async with server:
            for said in (b"GET /" + b"x" * 20_000, b"\x16\x03\x01\r\n\r\n", b"GET /healthz HTTP/1.1\r\n\r\n"):
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(said)
                try:
                    heard.append((await reader.read())[:15])
                except ConnectionResetError:
                    heard.append(b"")
                writer.close()
        return heard

    assert asyncio.run(talk()) == [b"", b"", b"HTTP/1.1 200 OK"]


def test_nothing_can_be_posted() -> None:
    async def collect() -> Sequence[WorkerReport]:
        return [WELL]

    assert asyncio.run(MetricsServer(collect, KNOWN).answer("POST", "/readyz"))[0] == 405
