"""A crowd of bad clients from many addresses of loopback, in a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

from gatepost.lab.senders import RawClient

Behaviour = Callable[[RawClient, int], Awaitable[str]]
IDLE_S: Final = 5.0
PAUSE_S: Final = 1.0
GUESSES: Final = 1000


async def _idle(client: RawClient, _number: int) -> str:
    """Greet, and say no more."""
    await client.hello()
    await asyncio.sleep(IDLE_S)
    return "idle"


async def _chat(client: RawClient, _number: int) -> str:
    """Talk of nothing until the server has had enough."""
    await client.hello()
    while (said := await client.say("NOOP")).code == 250:
        await asyncio.sleep(0.05)
    return f"chat {said.code}"


async def _guess(client: RawClient, number: int) -> str:
    """Guess recipients until the server has had enough."""
    await client.hello()
    said = await client.say("MAIL FROM:<guesser@there.example>")
    for guess in range(GUESSES):
        said = await client.say(f"RCPT TO:<guess{number}.{guess}@ours.example>")
        if said.code not in (250, 550):
            break
    return f"guess {said.code}"


async def _break_off(client: RawClient, _number: int) -> str:
    """Begin a mail and go away in its middle."""
    await client.hello()
    replies = await client.envelope("half@there.example", ["ann@ours.example"])
    if replies[-1].code == 250:
        await client.say("DATA")
        client.push(b"Subject: half\r\n\r\nno more")
    return f"break-off {replies[-1].code}"


BEHAVIOURS: Final[tuple[Behaviour, ...]] = (_idle, _chat, _guess, _break_off)


async def proxied(port: int, address: str) -> RawClient:
    """A client with any address, as the proxy 127.9.9.9 tells it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.9.9.9", 0))
    client = RawClient(reader, writer)
    client.push(f"PROXY TCP4 {address} 127.0.0.1 40000 25\r\n".encode())
    client.greeting = await client.read()
    return client


def flood_addresses(count: int, *, networks: int) -> list[str]:
    """Addresses of loopback in so many networks (IPv4 /24), from 127.64.0.1 on."""
    return [f"127.{64 + n % networks // 256}.{n % networks % 256}.{n // networks + 1}" for n in range(count)]


async def _attack(address: str, slot: int, port: int, seen: Counter[str]) -> None:
    behave = BEHAVIOURS[slot % len(BEHAVIOURS)]
    while True:
        try:
            client = await RawClient.connect("127.0.0.1", port, source=address)
        except OSError as error:
            seen[f"no connection: {error.strerror}"] += 1
            await asyncio.sleep(PAUSE_S)
            continue
        try:
            if client.greeting.code == 220:
                seen[await behave(client, slot)] += 1
            else:
                seen[f"greeted {client.greeting}"] += 1
        except (OSError, TimeoutError):
            seen["broken"] += 1
        finally:
            client.close()
        await asyncio.sleep(PAUSE_S)


async def _flood(port: int, connections: int, addresses: int, networks: int) -> Counter[str]:
    """Attack until standard input ends."""
    seen: Counter[str] = Counter()
    sources = flood_addresses(addresses, networks=networks)
    attacks = [
        asyncio.ensure_future(_attack(sources[slot % addresses], slot // addresses + slot, port, seen))
        for slot in range(connections)
    ]
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for attack in attacks:
        attack.cancel()
    await asyncio.gather(*attacks, return_exceptions=True)
    return seen


async def _harvest(port: int, guesses: int, addresses: int, networks: int) -> Counter[str]:
    """Each address tries its part of so many guesses, in as many sessions as that takes."""
    seen: Counter[str] = Counter()
    names = iter(range(guesses))

    async def guesser(source: str) -> None:
        for _ in range(guesses // addresses):  # sessions, at most
            client = await proxied(port, source)
            said = client.greeting
            if said.code == 220:
                await client.hello()
                said = await client.say("MAIL FROM:<guesser@there.example>")
            while said.code in (250, 550):
                name = next(names, None)
                if name is None:
                    break
                said = await client.say(f"RCPT TO:<guess{name}@ours.example>")
                seen[str(said)[:9]] += 1
            else:
                seen[f"session ended: {said}"[:24]] += 1
                client.close()
                continue
            client.close()
            return

    sources = (f"198.51.{n % networks}.{n // networks + 1}" for n in range(addresses))
    work = asyncio.gather(*map(guesser, sources))
    print("ready", flush=True)
    await work
    return seen


class Flood:
    """The process, from a test's side. what: "flood" until stop(), or a "harvest" of so many guesses."""

    def __init__(self, port: int, *, what: str, count: int, addresses: int, networks: int) -> None:
        words = map(str, (what, port, count, addresses, networks))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.services.flood", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def stop(self) -> Counter[str]:
        """What the attackers met, and how often; a harvest is waited for."""
        said, _ = self._process.communicate(timeout=300)
        return Counter(json.loads(said))


if __name__ == "__main__":
    attack = {"flood": _flood, "harvest": _harvest}[sys.argv[1]]
    print(json.dumps(asyncio.run(attack(*map(int, sys.argv[2:])))))
