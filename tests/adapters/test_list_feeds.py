"""Feeds: read when they change, fetched once for all with their ETag, and never worse than the last good list."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import FakeClock
from tests.policy.fakes import Lines, Names
from tests.services.issuer import IssuerServer

from gatepost.adapters.counters import MemoryCounters
from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.list_feeds import ListFeeds
from gatepost.adapters.tls import client_pump
from gatepost.config.list_settings import ListFeed
from gatepost.config.schema import frozen
from gatepost.model.fault import WorldFault
from gatepost.model.ip_ranges import number_of
from gatepost.ports.https import HttpsFetcher
from gatepost.protocol.list_formats import parse_list


@dataclass
class World:
    directory: Path
    clock: FakeClock = field(default_factory=FakeClock)
    log: Lines = field(default_factory=Lines)

    def feeds(self, https: Mapping[str, HttpsFetcher] | None = None, **given: dict[str, Any]) -> ListFeeds:
        settings = {name: ListFeed.model_validate(frozen(one)) for name, one in given.items()}
        return ListFeeds(
            settings=settings,
            directory=self.directory / "feeds",
            clock=self.clock,
            log=self.log,
            counters=MemoryCounters(),
            https=https or {},
        )

    @property
    def events(self) -> list[str]:
        return [event for _, event, _ in self.log.lines]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def listed(feeds: ListFeeds, address: str, name: str = "block") -> str | None:
    found = feeds.find(name, *number_of(address))  # type: ignore[arg-type]
    return f"{found.feed}: {found.comment}" if found else None


def test_a_file_is_read_and_read_again_when_it_changes(world: World) -> None:
    file = world.directory / "list"
    file.write_text("192.0.2.0/24 # spam\n")
    feeds = world.feeds(a={"file": str(file), "interval": "10s"})
    asyncio.run(feeds.look())
    assert listed(feeds, "192.0.2.9") == "a: spam"
    assert listed(feeds, "192.0.2.9", "allow") is None
    file.write_text("192.0.3.0/24\n")
    asyncio.run(feeds.look())
    assert listed(feeds, "192.0.2.9") == "a: spam"  # it is not time yet
    world.clock.advance(10)
    asyncio.run(feeds.look())
    assert (listed(feeds, "192.0.2.9"), listed(feeds, "192.0.3.9")) == (None, "a: ")


BAD = {
    "nothing in it is an entry": b"<html>\n<body>sorry</body>\n",
    "too many entries": b"192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n",
    "too large": b"192.0.2.1\n" + b"#" * 5000,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_list_leaves_the_last_good_one_and_is_told_once(world: World, name: str) -> None:
    file = world.directory / "list"
    file.write_text("192.0.2.9\n")
    feeds = world.feeds(a={"file": str(file), "interval": "1s", "size": "4KiB", "entries": 3})
    asyncio.run(feeds.look())
    file.write_bytes(BAD[name])
    for _ in range(3):
        world.clock.advance(2)
        asyncio.run(feeds.look())
    assert listed(feeds, "192.0.2.9") == "a: "
    assert world.events == ["list-feed-read", "list-feed-failed"]


def test_a_file_that_goes_away_keeps_its_list(world: World) -> None:
    file = world.directory / "list"
    feeds = world.feeds(a={"file": str(file), "interval": "1s", "counts-as": "allow"})
    asyncio.run(feeds.look())
    assert world.events == ["list-feed-failed"]
    file.write_text("192.0.2.9\n")
    for _ in range(2):
        world.clock.advance(2)
        asyncio.run(feeds.look())
        assert listed(feeds, "192.0.2.9", "allow") == "a: "
        file.unlink(missing_ok=True)


def test_a_list_that_is_nearly_empty_all_of_a_sudden_is_believed_at_the_second_look(world: World) -> None:
    file = world.directory / "list"
    file.write_text("".join(f"192.0.2.{n}\n" for n in range(200)))
    feeds = world.feeds(a={"file": str(file), "interval": "1s"})
    asyncio.run(feeds.look())
    file.write_text("192.0.3.1\n")
    for expected in ("a: ", None):
        world.clock.advance(2)
        asyncio.run(feeds.look())
        assert listed(feeds, "192.0.2.9") == expected


def test_a_feed_of_a_provider_is_asked_by_its_name(world: World) -> None:
    zone, names = world.directory / "zone", world.directory / "names"
    zone.write_text("192.0.2.0/24 :127.0.0.4:proxy $\n")
    names.write_text(".spam.example :127.0.1.2:spam\n")
    feeds = world.feeds(
        a={"file": str(zone), "format": "ip4set", "counts-as": "provider"},
        n={"file": str(names), "format": "dnset", "counts-as": "provider"},
    )
    with pytest.raises(WorldFault, match="not read yet"):
        feeds.listing("a", *number_of("192.0.2.9"))
    asyncio.run(feeds.look())
    found = feeds.listing("a", *number_of("192.0.2.9"))
    assert found is not None
    assert (found.code, found.text) == ("127.0.0.4", "proxy $")
    assert listed(feeds, "192.0.2.9") is None
    named = feeds.name_listing("n", "www.spam.example")
    assert named is not None
    assert (named.code, feeds.name_listing("n", "example")) == ("127.0.1.2", None)


def test_a_url_is_fetched_once_for_all_and_again_when_its_etag_is_another(world: World) -> None:
    said = [b'"one"', b"192.0.2.9\n"]

    def answer(head: str, _body: bytes) -> bytes:
        fields = head.lower()
        if f"if-none-match: {said[0].decode()}" in fields:
            return b"HTTP/1.1 304 Not Modified\r\nETag: " + said[0] + b"\r\n\r\n"
        length = str(len(said[1])).encode()
        return (
            b"HTTP/1.1 200 OK\r\nETag: " + said[0] + b"\r\nContent-Length: " + length + b"\r\n\r\n" + said[1]
        )

    world.clock = FakeClock(time.time())  # the copy's age is by the disk's clock

    async def scenario() -> None:
        server = IssuerServer(world.directory)
        server.answer = answer
        await server.start()
        try:
            await look_around(server)
        finally:
            await server.stop()

    async def look_around(server: IssuerServer) -> None:
        https = {"": HttpsAsker(Names(), LoopDialer(client_pump), ca_file=str(server.ca_file))}
        feed = {"url": server.url("/list"), "interval": "60s"}
        one, other = world.feeds(https, a=feed), world.feeds(https, a=feed)
        for feeds in (one, other):
            await feeds.look()
            assert listed(feeds, "192.0.2.9") == "a: "
        assert len(server.asked) == 1
        for body, etag, expected in ((b"", b'"one"', "a: "), (b"192.0.3.9\n", b'"two"', None)):
            said[:] = [etag, body]
            world.clock.advance(61)
            for feeds in (one, other):
                await _aged(world)
                await feeds.look()
                assert listed(feeds, "192.0.2.9") == expected
        asked = len(server.asked)
        await server.stop()
        world.clock.advance(61)
        await _aged(world)
        await one.look()
        assert listed(one, "192.0.3.9") == "a: "
        assert asked >= 3
        assert world.events[-1] == "list-feed-failed"
        after = world.feeds(https, a=feed)  # a restart without the server
        await after.look()
        assert listed(after, "192.0.3.9") == "a: "

    asyncio.run(scenario())


def test_a_reload_keeps_the_tables_of_feeds_that_are_the_same(world: World) -> None:
    file = world.directory / "list"
    file.write_text("192.0.2.9\n")
    before = world.feeds(a={"file": str(file)}, b={"file": str(file)})
    asyncio.run(before.look())
    after = world.feeds(a={"file": str(file)}, b={"file": str(file), "interval": "1s"})
    after.adopt(before)
    assert listed(after, "192.0.2.9") == "a: "
    asyncio.run(after.look())
    assert world.events == ["list-feed-read"] * 3


async def _aged(world: World) -> None:
    """The copy is from before; its time is the disk's, not the fake clock's."""
    for file in (world.directory / "feeds").glob("*.etag"):
        await asyncio.to_thread(os.utime, file, (world.clock.now() - 100, world.clock.now() - 100))


def test_one_worker_reads_a_list_and_all_share_what_it_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.directory / "list"
    file.write_text(
        "".join(f"10.{n >> 8}.{n & 255}.7 spam{n % 3}\n" for n in range(9000)) + "2001:db8::/64\n"
    )
    read: list[int] = []

    def parsed(*given: Any, **more: Any) -> Any:
        read.append(1)
        return parse_list(*given, **more)

    monkeypatch.setattr("gatepost.adapters.list_feeds.parse_list", parsed)
    workers = [world.feeds(a={"file": str(file), "interval": "1s"}) for _ in range(3)]
    for feeds in workers:
        asyncio.run(feeds.look())
    assert len(read) == 1
    for feeds in workers:
        assert listed(feeds, "10.1.7.7") == "a: spam2"
        assert listed(feeds, "10.1.7.8") is None
        assert listed(feeds, "2001:db8::9") == "a: "
        assert listed(feeds, "2001:db8:0:1::9") is None
    # And when it changes, once more; whoever still has the old one keeps it until then
    file.write_text("192.0.2.1\n" * 2000 + "10.1.7.8\n")
    world.clock.advance(2)
    asyncio.run(workers[0].look())
    assert (listed(workers[0], "192.0.2.1"), listed(workers[1], "10.1.7.7")) == ("a: ", "a: spam2")
    asyncio.run(workers[1].look())
    assert listed(workers[1], "192.0.2.1") == "a: "
    assert len(read) == 2


def test_names_are_shared_too_and_a_torn_file_is_made_again(world: World) -> None:
    file = world.directory / "names"
    file.write_text(":127.0.1.2:Listed $\n.spam.example\ngood.example :4:only this\n!nice.spam.example\n")
    given = {"file": str(file), "format": "dnset", "counts-as": "provider"}
    first = world.feeds(n=given)
    asyncio.run(first.look())

    def said(feeds: ListFeeds, domain: str) -> str | None:
        found = feeds.name_listing("n", domain)
        return f"{found.code} {found.text}" if found is not None else None

    tables = world.directory / "feeds" / "n.tables"
    whole = tables.read_bytes()
    for torn in (
        b"",
        whole[:10],
        whole[:100],
        whole[:-1],
        whole.replace(b"127", b"xx"),
        whole[:40] + b"x" * 99,
    ):
        tables.write_bytes(torn)
        again = world.feeds(n=given)
        asyncio.run(again.look())
        assert said(again, "a.spam.example") == "127.0.1.2 Listed spam.example"
        assert said(again, "good.example") == "127.0.0.4 only this"
        assert (said(again, "a.good.example"), said(again, "nice.spam.example")) == (None, None)
        assert tables.read_bytes()[:40] == whole[:40]


def test_a_directory_that_cannot_be_written_shares_nothing_and_lists_all_the_same(world: World) -> None:
    file = world.directory / "list"
    file.write_text("192.0.2.1\n")
    (world.directory / "feeds").write_text("in the way")
    feeds = world.feeds(a={"file": str(file)})
    asyncio.run(feeds.look())
    assert listed(feeds, "192.0.2.1") == "a: "
