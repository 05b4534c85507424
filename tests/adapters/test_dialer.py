"""The promise of ports.wire, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import trustme
import uvloop

from gatepost.adapters.dialer import DialedWire, LoopDialer
from gatepost.adapters.tls import client_pump
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Test = Callable[[DialedWire], Coroutine[Any, Any, None]]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def meet(loop: str, talk: Talk, test: Test, *, tls: ssl.SSLContext | None = None) -> None:
    """Connect to a server that talks like this, and run the test with our side."""

    async def run() -> None:
        began, ended = asyncio.Event(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            began.set()
            try:
                await talk(reader, writer)
            except ConnectionError:
                pass
            finally:
                writer.close()
                ended.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        wire = await LoopDialer(client_pump).connect("127.0.0.1", port, source_address="", timeout_s=5)
        try:
            await test(wire)
        finally:
            wire.close()
            server.close()
        if began.is_set():  # a failed handshake is no conversation
            await asyncio.wait_for(ended.wait(), 5)
        await asyncio.sleep(0.01)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


both = pytest.mark.parametrize("loop", LOOPS)


async def says_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    await writer.drain()
    assert await reader.readexactly(3) == b"you"


async def is_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def takes_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.6)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@both
def test_bytes_come_and_go_and_the_end_is_empty(loop: str) -> None:
    async def test(wire: DialedWire) -> None:
        assert await wire.read(timeout_s=5) == b"hello"
        assert wire.peer_ip == wire.local_ip == "127.0.0.1"
        wire.write(b"you")
        await wire.drain(timeout_s=5)
        assert await wire.read(timeout_s=5) == b""

    meet(loop, says_hello, test)


@both
def test_silence_is_a_fault_after_the_time_and_not_before(loop: str) -> None:
    async def test(wire: DialedWire) -> None:
        clock = asyncio.get_running_loop()
        for patience_s in (0.2, 0.05, 0.1):
            began = clock.time()
            with pytest.raises(WorldFault, match="no answer"):
                await wire.read(timeout_s=patience_s)
            assert patience_s - 0.01 <= clock.time() - began < 10

    meet(loop, is_silent, test)


@both
def test_a_long_wait_after_a_short_one_is_long(loop: str) -> None:
    # One timer serves both: it must not end the second wait at the first one's time
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"a")
        await asyncio.sleep(0.15)
        writer.write(b"b")
        await reader.read()

    async def test(wire: DialedWire) -> None:
        assert await wire.read(timeout_s=0.1) == b"a"
        assert await wire.read(timeout_s=5) == b"b"

    meet(loop, late, test)


@both
def test_a_peer_that_takes_nothing_is_a_fault(loop: str) -> None:
    async def test(wire: DialedWire) -> None:
        wire.write(b"x" * 20_000_000)
        with pytest.raises(WorldFault, match="takes nothing"):
            await wire.drain(timeout_s=0.1)

    meet(loop, takes_nothing, test)


@both
def test_closing_does_not_wait_for_a_peer_that_takes_nothing(
    loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatepost.adapters.dialer.CLOSE_LIMIT_S", 0.05)

    async def test(wire: DialedWire) -> None:
        wire.write(b"x" * 20_000_000)
        wire.close()
        async with asyncio.timeout(10):
            while not wire.is_gone:
                await asyncio.sleep(0.01)

    meet(loop, takes_nothing, test)


@both
def test_a_reset_is_a_fault_or_an_end(loop: str) -> None:
    async def test(wire: DialedWire) -> None:
        with contextlib.suppress(WorldFault):
            assert await wire.read(timeout_s=5) == b""
        wire.write(b"nobody hears this")

    meet(loop, resets, test)


@both
def test_a_port_where_nobody_listens(loop: str, free_port: Callable[[], int]) -> None:
    async def run() -> None:
        with pytest.raises(WorldFault, match="no connection"):
            await LoopDialer(client_pump).connect("127.0.0.1", free_port(), source_address="", timeout_s=5)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run())


def server_context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(made)
    return made


@both
def test_tls_carries_megabytes_both_ways(loop: str) -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(3_000_000))
        await writer.drain()
        await reader.read()

    async def test(wire: DialedWire) -> None:
        info = await wire.start_tls("mx.example", link=LinkTls(), timeout_s=5)
        assert info.version.startswith("TLSv1.")
        wire.write(b"x" * 3_000_000)
        await wire.drain(timeout_s=5)
        got = 0
        while got < 3_000_000:
            got += len(await wire.read(timeout_s=5))

    meet(loop, echo, test, tls=server_context())


@both
@pytest.mark.threat("D22")
def test_a_certificate_nobody_vouches_for_is_a_fault_when_verified(loop: str) -> None:
    async def test(wire: DialedWire) -> None:
        with pytest.raises(WorldFault):
            await wire.start_tls("mx.example", link=LinkTls(mode=LinkMode.VERIFIED), timeout_s=5)

    meet(loop, is_silent, test, tls=server_context())


@both
@pytest.mark.threat("D04")
def test_bytes_before_the_handshake_are_a_fault(loop: str) -> None:
    async def test(wire: DialedWire) -> None:
        await asyncio.sleep(0.05)
        with pytest.raises(WorldFault, match="handshake"):
            await wire.start_tls("mx.example", link=LinkTls(), timeout_s=5)

    async def speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"250 injected\r\n")
        await reader.read()

    meet(loop, speaks, test)


@both
def test_a_handshake_that_never_ends_is_a_fault(loop: str) -> None:
    async def test(wire: DialedWire) -> None:
        with pytest.raises(WorldFault, match="handshake"):
            await wire.start_tls("mx.example", link=LinkTls(), timeout_s=0.1)

    meet(loop, is_silent, test)


@both
def test_a_peer_that_floods_is_not_read_without_limit(loop: str) -> None:
    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(300):
            writer.write(b"x" * 100_000)
        await asyncio.sleep(0.5)
        writer.transport.abort()

    async def test(wire: DialedWire) -> None:
        await asyncio.sleep(0.3)
        assert len(await wire.read(timeout_s=5)) < 1_000_000

    meet(loop, floods, test)
