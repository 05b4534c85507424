"""The fault proxy does to a connection exactly what it was told, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gatepost.lab.fault_proxy import GARBAGE, NO_FAULTS, Direction, End, FaultProxy, Faults
from gatepost.lab.fault_proxy_job import run as run_job
from gatepost.lab.ports import free_port

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Scene = Callable[[Pair, Pair, FaultProxy], Coroutine[Any, Any, None]]


async def soon(awaitable: Coroutine[Any, Any, bytes]) -> bytes:
    return await asyncio.wait_for(awaitable, 60)


def between(
    scene: Scene, *, to_server: Faults = NO_FAULTS, to_client: Faults = NO_FAULTS
) -> list[tuple[str, bytes]]:
    """Play a scene with a client and a server on the two sides of a proxy; what it saw passing."""
    seen: list[tuple[str, bytes]] = []

    async def play() -> None:
        arrived: asyncio.Queue[Pair] = asyncio.Queue()
        pairs: list[Pair] = []

        async def arrive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            pairs.append((reader, writer))
            arrived.put_nowait((reader, writer))

        server = await asyncio.start_server(arrive, "127.0.0.1", 0)
        proxy = FaultProxy(
            ("127.0.0.1", server.sockets[0].getsockname()[1]),
            to_server=to_server,
            to_client=to_client,
            watch=lambda _, direction, octets: seen.append((direction.value, octets)),
        )
        await proxy.start()
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        other = await asyncio.wait_for(arrived.get(), 60)
        try:
            await scene(client, other, proxy)
        finally:
            await proxy.stop()
            server.close()
            for _, writer in (client, *pairs):
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    asyncio.run(play())
    return seen


def test_without_faults_everything_passes_both_ways_and_so_do_both_ends() -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        client[1].write(b"hello" * 100_000)
        client[1].write_eof()
        assert await soon(server[0].read()) == b"hello" * 100_000
        server[1].write(b"and you")
        server[1].close()
        assert await soon(client[0].read()) == b"and you"

    between(scene)


@pytest.mark.parametrize("cut", [0, 1, 3, 5])
@pytest.mark.parametrize("direction", list(Direction), ids=lambda d: d.value)
def test_so_many_octets_pass_and_no_more(direction: Direction, cut: int) -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        sender, receiver = (client, server) if direction is Direction.TO_SERVER else (server, client)
        sender[1].write(b"12345")
        assert await soon(receiver[0].read()) == b"12345"[:cut]
        assert await soon(sender[0].read()) == b""

    faults = Faults(cut_at=cut)
    seen = between(
        scene,
        to_server=faults if direction is Direction.TO_SERVER else NO_FAULTS,
        to_client=faults if direction is Direction.TO_CLIENT else NO_FAULTS,
    )
    assert seen[-1] == (direction.value, b"")
    assert b"".join(octets for _, octets in seen) == b"12345"[:cut]


def test_a_reset_is_seen_by_both() -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        server[1].write(b"12345")
        for side in (client, server):
            with pytest.raises(ConnectionResetError):
                await soon(side[0].readexactly(6))

    between(scene, to_client=Faults(cut_at=3, then=End.RESET))


def test_half_closed_the_other_direction_goes_on() -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        server[1].write(b"12345")
        assert await soon(client[0].read()) == b"123"
        client[1].write(b"still here")
        assert await soon(server[0].readexactly(10)) == b"still here"

    between(scene, to_client=Faults(cut_at=3, then=End.HALF_CLOSE))


def test_in_a_black_hole_nothing_comes_and_nothing_ends() -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        server[1].write(b"12345")
        assert await soon(client[0].readexactly(3)) == b"123"
        # By the time the other direction has carried this there and back, the rest would have come
        client[1].write(b"still here")
        assert await soon(server[0].readexactly(10)) == b"still here"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client[0].read(1), 0.01)

    between(scene, to_client=Faults(cut_at=3, then=End.BLACKHOLE))


def test_garbage_comes_instead_of_the_rest() -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        server[1].write(b"12345")
        assert await soon(client[0].readexactly(3 + len(GARBAGE))) == b"123" + GARBAGE

    between(scene, to_client=Faults(cut_at=3, then=End.GARBAGE))


def test_a_drip_is_one_piece_after_the_other() -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        client[1].write(b"12345")
        assert await soon(server[0].readexactly(5)) == b"12345"

    seen = between(scene, to_server=Faults(piece_bytes=2, every_s=0.001))
    assert seen == [("to-server", b"12"), ("to-server", b"34"), ("to-server", b"5")]


def test_a_delay_comes_first() -> None:
    async def scene(client: Pair, server: Pair, proxy: FaultProxy) -> None:
        began = asyncio.get_running_loop().time()
        client[1].write(b"12345")
        assert await soon(server[0].readexactly(5)) == b"12345"
        assert asyncio.get_running_loop().time() - began >= 0.02

    between(scene, to_server=Faults(delay_s=0.02))


def test_healed_the_next_connection_is_whole() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read())
        writer.close()

    async def said(proxy: FaultProxy) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writer.write(b"12345")
        writer.write_eof()
        heard = await soon(reader.read())
        writer.close()
        await writer.wait_closed()
        return heard

    async def run() -> None:
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = FaultProxy(server.sockets[0].getsockname(), to_client=Faults(cut_at=2))
        await proxy.start()
        assert await said(proxy) == b"12"
        proxy.heal()
        assert await said(proxy) == b"12345"
        assert proxy.connections == 2
        await proxy.stop()
        server.close()

    asyncio.run(run())


async def read_one(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await soon(reader.readexactly(1))
    finally:
        writer.close()


def test_where_nobody_listens_the_client_is_reset() -> None:
    async def run() -> None:
        proxy = FaultProxy(("127.0.0.1", free_port()))
        await proxy.start()
        with pytest.raises(ConnectionResetError):
            await read_one(proxy.port)
        await proxy.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    "wrong", [{"delay_s": -1}, {"every_s": -1}, {"piece_bytes": 0}, {"cut_at": -1}], ids=str
)
def test_a_fault_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="negative"):
        Faults(**wrong)


WRONG_ARGUMENTS = [
    [],
    ["--listen", "127.0.0.1:1"],
    ["--listen", "here", "--to", "127.0.0.1:1"],
    ["--listen", "127.0.0.1:1", "--to", "127.0.0.1:1", "--then", "explode"],
    ["--listen", "127.0.0.1:1", "--to", "127.0.0.1:1", "--delay", "5"],
]


@pytest.mark.parametrize("arguments", WRONG_ARGUMENTS, ids=" ".join)
def test_wrong_arguments_are_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run_job(arguments)
    assert ended.value.code == 2
    assert "usage: gatepost lab fault-proxy" in capsys.readouterr().err


def test_a_negative_cut_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_job(["--listen", "127.0.0.1:1", "--to", "127.0.0.1:1", "--cut", "-1"]) == 2
    assert "no negative" in capsys.readouterr().out


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run_job(["--listen", f"127.0.0.1:{port}", "--to", "127.0.0.1:1"]) == 1
    assert f"127.0.0.1:{port}: " in capsys.readouterr().out


def test_an_operator_cuts_a_connection_and_reads_where() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as server:
        to = f"127.0.0.1:{server.getsockname()[1]}"
        words = ["lab", "fault-proxy", "--listen", f"127.0.0.1:{port}", "--to", to, "--cut", "6"]
        with subprocess.Popen(
            [sys.executable, "-u", "-m", "gatepost", *words], stdout=subprocess.PIPE, text=True
        ) as running:
            assert running.stdout is not None
            assert running.stdout.readline().strip() == f"127.0.0.1:{port} -> {to}, until Ctrl-C"
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                wire, _ = server.accept()
                wire.sendall(b"220 mx.example\r\n")
                assert client.recv(100) + client.recv(100) == b"220 mx"
                wire.close()
            assert running.stdout.readline() == "connection 1\n"
            assert running.stdout.readline() == "connection 1: cut to-client after 6 octets\n"
            running.send_signal(signal.SIGTERM)
            assert running.wait(60) == 0
