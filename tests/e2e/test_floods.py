"""A real gateway with its usual limits under a flood, and under a harvest, from many addresses: good mail passes."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Callable

import pytest
from tests.services.flood import Flood, proxied
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.lab.senders import RawClient, message
from gatepost.lab.sink import Sink

Gateways = Callable[..., GatewayUnderTest]
UNRATED = ("[receive-connectors.test.limits]", "unrated = []")
"""Loopback has the rates of strangers; everything else is as it is by default."""
GOOD_SOURCES, GOOD_AT_ONCE = 200, 4


class GoodMail:
    """Proper senders, each from an address of its own. is_proxied: a public one, told by a proxy."""

    def __init__(self, gateway: GatewayUnderTest, *, is_proxied: bool = False) -> None:
        self._gateway = gateway
        self._is_proxied = is_proxied
        self.sent = 0
        self.refused: Counter[str] = Counter()

    async def send(self, count: int) -> str:
        """So many mails, some at once; how long each took, for a person to read."""
        numbers, spent = iter(range(count)), []

        async def sender() -> None:
            for _ in numbers:
                self.sent += 1
                spent.append(await self._mail(self.sent))

        began = time.perf_counter()
        await asyncio.gather(*(sender() for _ in range(GOOD_AT_ONCE)))
        took = time.perf_counter() - began
        ordered = sorted(spent)
        return (
            f"{count / took:.0f} mails a second, median {statistics.median(ordered) * 1000:.1f} ms, "
            f"99 of 100 within {ordered[int(count * 0.99)] * 1000:.0f} ms"
        )

    async def _mail(self, number: int) -> float:
        began = time.perf_counter()
        client = await self._come(number % GOOD_SOURCES + 10)
        replies = [client.greeting]
        if client.greeting.code == 220:
            await client.hello(f"mail{number % GOOD_SOURCES}.there.example")
            text = message(f"good {number}", sender="you@there.example", recipient="ann@ours.example")
            replies = await client.mail("you@there.example", ["ann@ours.example"], text)
        if replies[-1].code != 250:
            self.refused[str(replies[-1])] += 1
        spent = time.perf_counter() - began
        await client.quit()
        return spent

    async def _come(self, net: int) -> RawClient:
        if self._is_proxied:
            return await proxied(self._gateway.port, f"203.0.{net}.1")
        return await RawClient.connect(self._gateway.host, self._gateway.port, source=f"127.0.{net}.1")


@pytest.mark.slow
@pytest.mark.threat("G01", "G03", "G13", "I1")
def test_a_flood_of_two_thousand_connections_from_five_hundred_addresses_and_good_mail_passes(
    gateway: Gateways, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a gateway as it is by default, but for the rates that loopback is spared
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=UNRATED)
    good = GoodMail(running)
    alone = asyncio.run(good.send(300))
    # When 500 addresses hold 2,000 connections, chat, guess, break off and come again, above the connector's rate
    flood = Flood(running.port, what="flood", count=2000, addresses=500, networks=500)
    wait_until(lambda: '"limit":"connection-rate"' in running.process.log.read_text("utf-8"), timeout_s=120)
    flooded = asyncio.run(good.send(600))
    seen = flood.stop()
    # Then good mail passes
    with capsys.disabled():
        print(f"\ngood mail alone: {alone}\ngood mail in the flood: {flooded}\nthe flood met: {dict(seen)}")
    assert not good.refused
    wait_until(lambda: len(sink.mails) >= good.sent, timeout_s=120)


@pytest.mark.slow
@pytest.mark.threat("F28")
def test_a_harvest_of_ten_thousand_recipients_is_cut_short_and_good_mail_passes(
    gateway: Gateways, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given the usual guards, but for the length of the delays, which a test does not wait for
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=('proxies = ["127.9.9.9"]',),
        workers=2,
        more='[harvest]\nfirst-delay = "50ms"\nlongest-delay = "400ms"\n',
    )
    good = GoodMail(running, is_proxied=True)
    # When 200 addresses of ten networks guess 50 names each, which for an address alone would not be too many
    harvest = Flood(running.port, what="harvest", count=10_000, addresses=200, networks=10)
    harvested = asyncio.run(good.send(600))
    seen = harvest.stop()
    # Then good mail passes, every network is blocked, and what they guess behind that tells them nothing
    blocked = {entry["network"] for entry in running.ask("list", "show", "--machine")}
    with capsys.disabled():
        print(f"\ngood mail in the harvest: {harvested}\nthe harvest met: {dict(seen)}")
    assert not good.refused
    assert blocked >= {f"198.51.{net}.0/24" for net in range(10)}
    assert seen["550 5.1.1"] < 9000  # what had begun before the block goes on to limits.errors-hard
    assert seen["550 5.7.1"] > 500
    wait_until(lambda: len(sink.mails) >= good.sent, timeout_s=120)
