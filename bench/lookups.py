"""What one question to the DNS costs the resolver: CPU of this process, against a name server in another.

    .venv/bin/python -m bench.lookups [--questions 20000] [--at-once 50]

The server answers every A question with one address, every TXT question with four texts of 60 octets.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import uvloop

from gatepost.adapters.dns import DnsResolver
from gatepost.config.dns_settings import Dns
from gatepost.ports.resolver import RecordType

_TEXT: Final = b"\x3c" + b"v" * 60
_ADDRESS: Final = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 3600, 4) + b"\x7f\x00\x00\x02"
_TEXTS: Final = (b"\xc0\x0c" + struct.pack("!HHIH", 16, 1, 3600, len(_TEXT)) + _TEXT) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds of CPU for one answer."""

    fresh_us: float
    fresh_text_us: float
    kept_us: float
    kept_looked_up_us: float


def serve(port_of: socket.socket) -> None:
    """Answer datagrams for ever."""
    while True:
        data, asker = port_of.recvfrom(1024)
        question = data[12 : data.index(b"\x00", 12) + 5]
        is_text = question[-3] == 16
        head = data[:2] + b"\x81\x80\x00\x01" + (b"\x00\x04" if is_text else b"\x00\x01") + bytes(4)
        port_of.sendto(head + question + (_TEXTS if is_text else _ADDRESS), asker)


def measure(questions: int, at_once: int) -> Cost:
    """Ask a server in a process of its own."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    child = os.fork()
    if not child:
        serve(listening)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measure(listening.getsockname()[1], questions, at_once))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


async def _measure(port: int, questions: int, at_once: int) -> Cost:
    resolver = DnsResolver(
        Dns.model_validate({"servers": (f"127.0.0.1:{port}",), "cache-entries": 4 * questions})
    )

    async def texts(name: str) -> object:
        return await resolver.texts(name, timeout_s=5)

    async def exists(name: str) -> object:
        return await resolver.exists(name, timeout_s=5)

    async def look_up(name: str) -> object:
        return await resolver.look_up(name, RecordType.A, timeout_s=5)

    names = [f"{n}.2.0.192.list.example" for n in range(questions)]
    await _cost(exists, [f"warm{n}.example" for n in range(1000)], at_once)
    cost = Cost(
        fresh_us=await _cost(exists, names, at_once),
        fresh_text_us=await _cost(texts, names, at_once),
        kept_us=await _cost(exists, names, at_once),
        kept_looked_up_us=await _cost(look_up, names, at_once),
    )
    resolver.close()
    return cost


async def _cost(ask: Callable[[str], Awaitable[object]], names: list[str], at_once: int) -> float:
    """at_once askers, each asking one name after the other."""
    left = iter(names)

    async def asker() -> None:
        for name in left:
            await ask(name)

    gc.collect()
    gc.freeze()
    began = time.process_time()
    await asyncio.gather(*(asyncio.create_task(asker()) for _ in range(at_once)))
    return (time.process_time() - began) / len(names) * 1e6


def main(words: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.lookups", description=__doc__)
    parser.add_argument("--questions", type=int, default=20_000)
    parser.add_argument("--at-once", type=int, default=50)
    options = parser.parse_args(words)
    cost = measure(options.questions, options.at_once)
    print(f"an answer from a server      {cost.fresh_us:6.1f} us CPU")
    print(f"four texts from a server     {cost.fresh_text_us:6.1f} us CPU")
    print(f"an answer from the cache     {cost.kept_us:6.1f} us CPU")
    print(f"looked up in the cache       {cost.kept_looked_up_us:6.1f} us CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
