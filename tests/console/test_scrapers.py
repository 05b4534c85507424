"""Whoever reads the metrics, slowly, greedily or with bad intentions, costs little and sees everything."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import pytest

from gatepost.console.metrics import CONNECTIONS_LIMIT, MetricInfo, MetricsServer, WorkerReport

KNOWN = {"resource_pressure": MetricInfo(is_gauge=True, help="Workers at this level")}
SHORT = (("resource_pressure", (("resource", "disk"), ("level", "high")), 1.0),)


class Workers:
    """Two workers that are asked how they are."""

    def __init__(self) -> None:
        self.asked = 0
        self.reports: Sequence[WorkerReport] = (WorkerReport(0, SHORT), WorkerReport(1, SHORT))

    async def __call__(self) -> Sequence[WorkerReport]:
        self.asked += 1
        return self.reports


def served(scenario: Callable[[int, Workers], Awaitable[None]]) -> None:
    async def run() -> None:
        workers = Workers()
        server = await MetricsServer(workers, KNOWN).serve("127.0.0.1", 0)
        async with server:
            await scenario(server.sockets[0].getsockname()[1], workers)

    asyncio.run(run())


async def get(port: int, request: bytes = b"GET /metrics HTTP/1.1\r\n\r\n") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:  # closed with octets unread
        return b""
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_workers_at_a_level_are_added_up() -> None:
    async def scenario(port: int, workers: Workers) -> None:
        assert b'gatepost_resource_pressure{level="high",resource="disk"} 2.0' in await get(port)

    served(scenario)


@pytest.mark.threat("P11")
def test_a_greedy_scraper_gets_the_same_answer_again() -> None:
    async def scenario(port: int, workers: Workers) -> None:
        answers = await asyncio.gather(*(get(port) for _ in range(10)))
        assert len(set(answers)) == 1
        assert workers.asked < 10

    served(scenario)


@pytest.mark.threat("P11")
def test_so_many_scrapers_at_once_and_no_more() -> None:
    async def scenario(port: int, workers: Workers) -> None:
        # Given as many as there may be, who say nothing
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS_LIMIT)]
        # Then the next one is closed without an answer
        assert await get(port) == b""
        # And when they are gone, all is well
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()
        async with asyncio.timeout(10):
            while not (await get(port)).startswith(b"HTTP/1.1 200"):
                await asyncio.sleep(0.01)

    served(scenario)


@pytest.mark.threat("P11")
@pytest.mark.parametrize(
    "request_head",
    [b"nonsense\r\n\r\n", b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n"],
    ids=["no HTTP", "endless"],
)
def test_what_is_no_request_gets_nothing(request_head: bytes) -> None:
    async def scenario(port: int, workers: Workers) -> None:
        assert await get(port, request_head) == b""
        assert (await get(port)).startswith(b"HTTP/1.1 200")

    served(scenario)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /healthz HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /readyz HTTP/1.1\r\n\r\n", b"200"),
    ],
)
def test_what_there_is_to_read(request_head: bytes, status: bytes) -> None:
    async def scenario(port: int, workers: Workers) -> None:
        assert (await get(port, request_head)).split(b" ")[1] == status

    served(scenario)


def test_a_worker_under_high_pressure_is_not_ready() -> None:
    async def scenario(port: int, workers: Workers) -> None:
        workers.reports = (WorkerReport(0, (), "back pressure is high: disk"), WorkerReport(1, None))
        answer = await get(port, b"GET /readyz HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"worker 0: back pressure is high: disk\nworker 1: does not answer\n" in answer

    served(scenario)
