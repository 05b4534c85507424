"""`python -m bench.hostile PORT SECONDS quiet|loud`: good mail, alone or among those who mean harm.

Of all connections one in ten brings good mail, at a steady pace, from hosts of its own. The others are a flood of
connections that say nothing or only EHLO, senders whose DATA comes a line a second, and harvesters that guess
recipients. Prints one line of JSON. A process of its own, so that its CPU time is not the server's.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import uvloop

from bench.load import message_text
from bench.measures import DOMAIN, RECIPIENT, SENDER

GOOD_A_SECOND: Final = 30.0
FLOOD_A_SECOND: Final = 260.0
HARVESTS_A_SECOND: Final = 10.0
SLOW_SENDERS: Final = 100
SLOW_LINE_S: Final = 1.0
HARVEST_RECIPIENTS: Final = 50
FLOOD_HOLD_S: Final = 2.0
PATIENCE_S: Final = 30.0
"""Of good senders; what takes longer is lost to them."""
_HARVESTERS_AT_ONCE: Final = 200
_FLOOD_AT_ONCE: Final = 1500
"""More than twice what FLOOD_HOLD_S makes of it: no more when these clients do not come round to hang up."""
_TICK_S: Final = 0.02
# Addresses of this machine, a network each for those who behave differently.
GOOD_HOSTS: Final = tuple(f"127.10.{n}.{n % 200 + 1}" for n in range(200))
FLOOD_HOSTS: Final = tuple(f"127.{66 + n // 200}.{n % 200}.7" for n in range(2000))
HARVEST_HOSTS: Final = tuple(f"127.80.{n}.9" for n in range(40))
SLOW_HOSTS: Final = tuple(f"127.90.{n}.3" for n in range(100))


@dataclass(slots=True)
class Heard:
    """What happened to whom."""

    offered: int = 0
    taken: int = 0
    lags_s: list[float] = field(default_factory=list)
    """How late these clients themselves were: a reply is not read before."""
    replies_s: list[float] = field(default_factory=list)
    """Of good senders: from a command, or from connecting, to the reply."""
    lost: Counter[str] = field(default_factory=Counter)
    """Why good mail was not taken, by the first word."""
    hostile: Counter[str] = field(default_factory=Counter)


class Conversation:
    """One connection, a command at a time; every reply is timed."""

    def __init__(self, port: int, source: str, replies_s: list[float]) -> None:
        self._port, self._source, self._replies_s = port, source, replies_s

    async def open(self) -> None:
        """Up to the greeting. Raises OSError, TimeoutError, ConnectionError when it is none."""
        began_at = time.perf_counter()
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self._port, local_addr=(self._source, 0)
        )
        await self._reply(began_at, b"220")

    async def say(self, command: bytes, code: bytes) -> None:
        """Raises ConnectionError for another reply."""
        began_at = time.perf_counter()
        self.writer.write(command)
        await self._reply(began_at, code)

    async def _reply(self, began_at: float, code: bytes) -> None:
        while True:
            line = await asyncio.wait_for(self.reader.readline(), PATIENCE_S)
            if line[3:4] != b"-":
                break
        self._replies_s.append(time.perf_counter() - began_at)
        if not line.startswith(code):
            raise ConnectionError(line[:3].decode("ascii", "replace") or "closed")

    def close(self) -> None:
        """Hang up, when there is something to hang up."""
        if hasattr(self, "writer"):
            self.writer.close()


async def good(port: int, heard: Heard, text: bytes) -> None:
    """A host that brings one message and says QUIT."""
    talk = Conversation(port, random.choice(GOOD_HOSTS), heard.replies_s)
    heard.offered += 1
    try:
        await talk.open()
        await talk.say(b"EHLO good.sender.test\r\n", b"250")
        await talk.say(b"MAIL FROM:<%s>\r\n" % SENDER.encode(), b"250")
        await talk.say(b"RCPT TO:<%s>\r\n" % RECIPIENT.encode(), b"250")
        await talk.say(b"DATA\r\n", b"354")
        await talk.say(text, b"250")
        heard.taken += 1
        await talk.say(b"QUIT\r\n", b"221")
    except (OSError, TimeoutError) as error:
        heard.lost[str(error) or type(error).__name__] += 1
    finally:
        talk.close()


async def flood(port: int, heard: Heard) -> None:
    """Half say nothing at all, half only EHLO; all hold the connection for a while."""
    talk = Conversation(port, random.choice(FLOOD_HOSTS), [])
    heard.hostile["connections"] += 1
    try:
        await talk.open()
        if random.random() < 0.5:
            await talk.say(b"EHLO flood.test\r\n", b"250")
        await asyncio.sleep(FLOOD_HOLD_S)
    except (OSError, TimeoutError):
        heard.hostile["connections turned away"] += 1
    finally:
        talk.close()


async def harvest(port: int, heard: Heard) -> None:
    """Guesses recipients until it is turned away."""
    talk = Conversation(port, random.choice(HARVEST_HOSTS), [])
    try:
        await talk.open()
        await talk.say(b"EHLO harvest.test\r\n", b"250")
        await talk.say(b"MAIL FROM:<guess@harvest.test>\r\n", b"250")
        for _ in range(HARVEST_RECIPIENTS):
            heard.hostile["guesses"] += 1
            guess = b"RCPT TO:<guess-%d@%s>\r\n" % (random.randrange(10**9), DOMAIN.encode())
            await talk.say(guess, b"550")
    except (OSError, TimeoutError):
        heard.hostile["harvests ended"] += 1
    finally:
        talk.close()


async def slow(port: int, heard: Heard, source: str) -> None:
    """A message a line a second, again and again."""
    while True:
        talk = Conversation(port, source, [])
        try:
            await talk.open()
            await talk.say(b"EHLO slow.test\r\n", b"250")
            await talk.say(b"MAIL FROM:<slow@slow.test>\r\n", b"250")
            await talk.say(b"RCPT TO:<%s>\r\n" % RECIPIENT.encode(), b"250")
            await talk.say(b"DATA\r\n", b"354")
            heard.hostile["slow messages"] += 1
            while not talk.reader.at_eof() and not talk.writer.is_closing():
                talk.writer.write(b"x\r\n")
                await talk.writer.drain()
                await asyncio.sleep(SLOW_LINE_S)
        except (OSError, TimeoutError):
            pass
        finally:
            talk.close()
        heard.hostile["slow messages ended"] += 1
        await asyncio.sleep(SLOW_LINE_S)


async def paced(
    a_second: float, until_s: float, one: Callable[[], Awaitable[None]], most: int = 1_000_000
) -> None:
    """Begins `one` so often until then, never more than `most` at once; waits for the last."""
    running: set[asyncio.Task[None]] = set()
    begun, began_s = 0, time.monotonic()
    while (now_s := time.monotonic()) < until_s:
        while begun < (now_s - began_s) * a_second:
            begun += 1
            if len(running) < most:
                task = asyncio.ensure_future(one())
                running.add(task)
                task.add_done_callback(running.discard)
        await asyncio.sleep(_TICK_S)
    if running:
        await asyncio.wait(running, timeout=2 * PATIENCE_S)


async def watch_lag(heard: Heard) -> None:
    """Until it is cancelled."""
    while True:
        began_s = time.monotonic()
        await asyncio.sleep(_TICK_S)
        heard.lags_s.append(time.monotonic() - began_s - _TICK_S)


async def play(port: int, seconds: float, *, loud: bool) -> Heard:
    """All of it, for so long."""
    heard, text = Heard(), message_text()
    until_s = time.monotonic() + seconds
    others: list[asyncio.Task[None]] = []
    loads = [paced(GOOD_A_SECOND, until_s, lambda: good(port, heard, text))]
    if loud:
        loads.append(paced(FLOOD_A_SECOND, until_s, lambda: flood(port, heard), most=_FLOOD_AT_ONCE))
        loads.append(
            paced(HARVESTS_A_SECOND, until_s, lambda: harvest(port, heard), most=_HARVESTERS_AT_ONCE)
        )
        others += [
            asyncio.ensure_future(slow(port, heard, SLOW_HOSTS[n % len(SLOW_HOSTS)]))
            for n in range(SLOW_SENDERS)
        ]
    others.append(asyncio.ensure_future(watch_lag(heard)))
    await asyncio.gather(*loads)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return heard


def main() -> None:
    """As the module says."""
    port, seconds, how = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    heard = uvloop.run(play(port, seconds, loud=how == "loud"))
    said = {
        "offered": heard.offered,
        "taken": heard.taken,
        "replies_s": heard.replies_s,
        "lags_s": heard.lags_s,
        "lost": dict(heard.lost),
        "hostile": dict(heard.hostile),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
