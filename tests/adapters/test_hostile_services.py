"""Services we ask over HTTPS that answer something else: that is no answer, and what was known stays."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.test_https import Names
from tests.adapters.test_list_feeds import World, _aged, listed
from tests.fakes import FakeClock
from tests.services.issuer import IssuerServer, answer

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.tls import client_pump
from gatepost.config.login_settings import Tokens
from gatepost.config.schema import frozen
from gatepost.intake.introspection import Introspection
from gatepost.main import outbound_tls
from gatepost.main.tokens import _fetched
from gatepost.model.fault import WorldFault

GIGABYTES = 10 << 30
PAGE = b"<!DOCTYPE html><html><body>Please log in to the portal</body></html>\n"
HTML = answer(PAGE).replace(b"application/json", b"text/html; charset=utf-8")
ELSEWHERE = answer(b"", "302 Found", "Location: https://127.0.0.1/elsewhere")
ENDLESS = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % GIGABYTES
) + b"[" * (3 << 20)
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" * 1 + b"[" * 0x10000
PACKED = answer(b"\x1f\x8b\x08" + bytes(60), "200 OK", "Content-Encoding: gzip")
LIES = {
    "a page for people": HTML,
    "a redirect to another host": ELSEWHERE,
    "ten gigabytes": ENDLESS,
    "chunks that stop": CHUNKS,
    "a coding nobody asked for": PACKED,
    "another type without content": answer(b"").replace(b"application/json", b"image/png"),
}


def settings(url: str, **more: Any) -> Tokens:
    given = {
        "introspection": {"url": url, "client-id": "gatepost"},
        "keys-url": url,
        "timeout": "20s",
        **more,
    }
    return Tokens.model_validate(frozen(given))


async def _introspects(issuer: IssuerServer, https: HttpsAsker) -> None:
    asked = Introspection(settings(issuer.url()), https, secret=lambda: "s", clock=FakeClock())
    await asked.user_of("token")


async def _fetches_keys(issuer: IssuerServer, https: HttpsAsker) -> None:
    await _fetched(settings(issuer.url()), https)


async def _fetches_policy(issuer: IssuerServer, https: HttpsAsker) -> None:
    await outbound_tls.fetch_policy(https, "issuer.example", timeout_s=20.0, port=issuer.port)


CLIENTS: list[tuple[str, Callable[[IssuerServer, HttpsAsker], Awaitable[None]]]] = [
    ("tokens by introspection", _introspects),
    ("keys of an issuer", _fetches_keys),
    ("an MTA-STS policy", _fetches_policy),
]


@pytest.mark.threat("P14")
@pytest.mark.parametrize("client", [c[1] for c in CLIENTS], ids=[c[0] for c in CLIENTS])
def test_what_is_no_answer_is_unknown_and_costs_no_memory(
    tmp_path: Path, client: Callable[[IssuerServer, HttpsAsker], Awaitable[None]]
) -> None:
    async def scenario() -> None:
        issuer = IssuerServer(tmp_path, "mta-sts.issuer.example")
        await issuer.start()
        https = HttpsAsker(Names(), LoopDialer(client_pump), ca_file=str(issuer.ca_file))
        try:
            for name, said in LIES.items():
                issuer.asked.clear()
                issuer.answer = lambda *_, said=said: said
                tracemalloc.start()
                with pytest.raises(WorldFault):
                    await client(issuer, https)
                _, most_bytes = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert len(issuer.asked) == 1, name  # no second question, and no other host's
                assert most_bytes < 16 << 20, name
        finally:
            await issuer.stop()

    asyncio.run(scenario())


@pytest.mark.threat("P14")
def test_a_feed_that_is_no_list_leaves_the_last_one_in_force_over_a_restart(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.clock = FakeClock(time.time())  # the copy's age is by the disk's clock

    async def scenario() -> None:
        server = IssuerServer(tmp_path)
        await server.start()
        https = {"": HttpsAsker(Names(), LoopDialer(client_pump), ca_file=str(server.ca_file))}
        feed = {"url": server.url("/list"), "interval": "60s", "timeout": "20s"}
        try:
            server.answer = lambda *_: answer(b"192.0.2.9\n")
            feeds = world.feeds(https, a=feed)
            await feeds.look()
            for name, said in LIES.items():
                if name.startswith("another type"):
                    continue  # an empty list is a list: what is listed nowhere may be nobody
                server.answer = lambda *_, said=said: said
                world.clock.advance(61)
                await _aged(world)
                await feeds.look()
                assert listed(feeds, "192.0.2.9") == "a: ", name
                again = world.feeds({}, a={**feed, "interval": "7d"})  # a restart reads the copy
                again.read("a")
                assert listed(again, "192.0.2.9") == "a: ", name
        finally:
            await server.stop()

    asyncio.run(scenario())
