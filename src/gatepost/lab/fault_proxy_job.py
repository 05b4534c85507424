"""`gatepost lab fault-proxy`: a fault proxy for drills, between any client and any server."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from typing import Final

from rich.console import Console

from gatepost.config.networks import Binding
from gatepost.lab.arguments import binding, duration
from gatepost.lab.fault_proxy import NO_FAULTS, Direction, End, FaultProxy, Faults
from gatepost.lab.report import console

_BOTH: Final = "both"


def run(args: Sequence[str]) -> int:
    """Serve until Ctrl-C: 0; 1 when it cannot listen, 2 for wrong arguments."""
    wishes = _parser().parse_args(list(args))
    out = console()
    try:
        faults = Faults(
            delay_s=wishes.delay,
            piece_bytes=wishes.drip or NO_FAULTS.piece_bytes,
            every_s=wishes.every if wishes.drip else 0.0,
            cut_at=wishes.cut,
            then=End(wishes.then),
            garbage=wishes.garbage.encode() + b"\r\n" if wishes.garbage else NO_FAULTS.garbage,
        )
    except ValueError as error:
        out.print(f"gatepost lab fault-proxy: {error}")
        return 2
    to_server, to_client = (
        faults if wishes.direction in (direction.value, _BOTH) else NO_FAULTS for direction in Direction
    )
    proxy = FaultProxy(
        (wishes.to.address, wishes.to.port), to_server=to_server, to_client=to_client, watch=_Report(out).tell
    )
    try:
        return asyncio.run(_serve(proxy, wishes.listen, out))
    except OSError as error:
        out.print(f"gatepost lab fault-proxy: {wishes.listen.address}:{wishes.listen.port}: {error.strerror}")
        return 1


async def _serve(proxy: FaultProxy, listen: Binding, out: Console) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await proxy.start(listen.address, listen.port)
    out.print(f"{listen.address}:{proxy.port} -> {proxy.to[0]}:{proxy.to[1]}, until Ctrl-C", soft_wrap=True)
    await stop.wait()
    await proxy.stop()
    return 0


class _Report:
    """A line for each connection whose first octets pass, and one where it is cut."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._passed: dict[tuple[int, Direction], int] = {}
        self._number = 0

    def tell(self, number: int, direction: Direction, octets: bytes) -> None:
        """As fault_proxy.Watch."""
        if number > self._number:
            self._number = number
            self._passed = {key: n for key, n in self._passed.items() if key[0] > number - 1000}
            self._out.print(f"connection {number}")
        passed = self._passed[number, direction] = self._passed.get((number, direction), 0) + len(octets)
        if not octets:
            self._out.print(f"connection {number}: cut {direction.value} after {passed} octets")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatepost lab fault-proxy",
        description="Pass TCP connections on and spoil them: for drills against a gateway or a next hop.",
    )
    parser.add_argument("--listen", type=binding, required=True, help="address and port, 127.0.0.1:2526")
    parser.add_argument("--to", type=binding, required=True, help="address and port of the server")
    directions = [*(direction.value for direction in Direction), _BOTH]
    parser.add_argument(
        "--direction", choices=directions, default=Direction.TO_CLIENT.value, help="which octets are spoiled"
    )
    parser.add_argument("--cut", type=int, help="so many octets pass, then --then happens")
    parser.add_argument(
        "--then", choices=[end.value for end in End], default=End.CLOSE.value, help="what happens at the cut"
    )
    parser.add_argument("--garbage", default="", help="a line of your own for --then garbage")
    parser.add_argument("--delay", type=duration, default=0.0, help="each piece waits so long: 200ms, 5s")
    parser.add_argument("--drip", type=int, help="pass pieces of so many octets")
    parser.add_argument("--every", type=duration, default=0.1, help="so far apart with --drip: 100ms")
    return parser
