"""Lists that others publish: files, or fetched into the state directory once for all workers; asked in memory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import IO, Final

from gatepost.adapters.file_mark import FileMark, mark_of
from gatepost.adapters.list_tables import read_tables, write_tables
from gatepost.adapters.replacing import replace_file
from gatepost.config.list_settings import ListFeed
from gatepost.model.fault import WorldFault
from gatepost.model.https_url import parse_https_url
from gatepost.model.ip_ranges import address_text
from gatepost.ports.https import HttpsFetcher, HttpsRequest
from gatepost.ports.lists import Entry, ListName
from gatepost.ports.log import Counters, Log
from gatepost.ports.world import Clock
from gatepost.protocol.list_formats import Listing, ParsedList, parse_list

LOOK_S: Final = 5.0
"""How often somebody looks whether a copy was fetched by another worker, or a fetch is due."""
_SHRUNK_TO: Final = 0.1
"""A list that lost more than nine tenths of its entries at once is doubted once."""
_DOUBT_ENTRIES: Final = 100
_LOOKED_AT_BYTES: Final = 64 * 1024
_LINES_LOOKED_AT: Final = 1000
"""Of what was fetched, before it takes the place of the last copy."""


@dataclass(slots=True)
class _Feed:
    name: str
    settings: ListFeed
    path: Path
    fetch: bool
    parsed: ParsedList | None = None
    seen: FileMark | None = None
    doubted: FileMark | None = None
    looked_at: float = float("-inf")
    tried_at: float = float("-inf")
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class ListFeeds:
    """All feeds of one configuration. directory: for copies of what is fetched. https: by the feed's ca-file."""

    settings: Mapping[str, ListFeed]
    directory: Path
    clock: Clock
    log: Log
    counters: Counters
    https: Mapping[str, HttpsFetcher] = field(default_factory=dict)
    lazy: bool = False
    """Read a feed when it is first asked, and write nothing: for the command line."""
    _feeds: dict[str, _Feed] = field(init=False)
    _lists: dict[ListName, tuple[_Feed, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._feeds = {
            name: _Feed(
                name, feed, Path(feed.file) if feed.file else self.directory / f"{name}.list", not feed.file
            )
            for name, feed in self.settings.items()
            if feed.enabled
        }
        self._sort()

    def __bool__(self) -> bool:
        return bool(self._feeds)

    def adopt(self, before: ListFeeds) -> None:
        """Go on with an older configuration's tables of the same feeds: a reload takes nobody off a list."""
        for name, feed in self._feeds.items():
            old = before._feeds.get(name)
            if old is not None and old.settings == feed.settings:
                self._feeds[name] = old
        self._sort()

    def _sort(self) -> None:
        every = self._feeds.values()
        self._lists = {
            "block": tuple(feed for feed in every if feed.settings.counts_as == "block"),
            "allow": tuple(feed for feed in every if feed.settings.counts_as == "allow"),
        }

    def find(self, list_name: ListName, version: int, number: int) -> Entry | None:
        """The first feed that lists the address."""
        for feed in self._lists[list_name]:
            if self.lazy and feed.parsed is None:
                self.read(feed.name)
            parsed = feed.parsed
            if parsed is None or parsed.addresses is None:
                continue
            value = parsed.addresses.find(version, number)
            if value >= 0:
                return Entry(
                    list_name=list_name,
                    network=address_text(version, number),
                    feed=feed.name,
                    comment=parsed.listings[value].text,
                )
        return None

    def listing(self, name: str, version: int, number: int) -> Listing | None:
        """What one feed says of an address; None when it does not list it. Raises WorldFault before it was read."""
        parsed = self._read(name)
        value = parsed.addresses.find(version, number) if parsed.addresses is not None else -1
        return parsed.listings[value] if value >= 0 else None

    def name_listing(self, name: str, domain: str) -> Listing | None:
        """The same of a domain, in lower-case A-labels; "$" in its words is the domain that is listed."""
        parsed = self._read(name)
        value, entry = parsed.names.find_entry(domain) if parsed.names is not None else (-1, "")
        if value < 0:
            return None
        listing = parsed.listings[value]
        return replace(listing, text=listing.text.replace("$", entry)) if "$" in listing.text else listing

    async def run(self) -> None:
        """Until it is cancelled. Begun by the start and by every reload, which looks at all files at once."""
        for feed in self._feeds.values():
            feed.looked_at = float("-inf")
        while self._feeds:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Fetch what is due, and read what has changed."""
        for feed in self._feeds.values():
            if feed.fetch:
                await self._fetch_when_due(feed)
            elif self.clock.monotonic() < feed.looked_at + feed.settings.interval_s:
                continue
            feed.looked_at = self.clock.monotonic()
            await asyncio.to_thread(self.read, feed.name)

    def read(self, name: str) -> None:
        """Read one feed's file when it has changed; a bad one leaves the last good one in force, and is told once."""
        feed = self._feeds[name]
        try:
            there = mark_of(feed.path)
        except OSError as error:
            if not feed.fetch or feed.parsed is not None:
                self._fail(feed, f"{feed.path} cannot be read: {error.strerror}")
            return
        if there == feed.seen:
            return
        try:
            parsed = self._shared(feed, there)
            if parsed is None:
                feed.looked_at = float("-inf")  # another worker is at it: look again soon
                return
            if self._is_doubtful(feed, parsed, there):
                return
        except (OSError, ValueError) as error:
            feed.seen = there
            self._fail(feed, f"{feed.path}: {error}")
            return
        feed.parsed, feed.seen = parsed, there
        self._told(feed, parsed)

    def read_all(self) -> None:
        """For the command line: what is there, without fetching."""
        for name in self._feeds:
            self.read(name)

    def _shared(self, feed: _Feed, there: FileMark) -> ParsedList | None:
        """The tables that one worker has made of this file for all; None while another one makes them.

        Who may not write them, such as the command line of another account, reads the file for itself.
        """
        source = f"{there} {feed.settings.format} {feed.settings.entries} {feed.settings.size_bytes}"
        tables = self.directory / f"{feed.name}.tables"
        if (found := read_tables(tables, source)) is not None:
            return found
        if self.lazy:
            return self._parsed(feed)
        try:
            lock = _lock(tables.with_suffix(".building"))
        except BlockingIOError:
            return None
        except OSError:
            return self._parsed(feed)
        with lock:
            if (found := read_tables(tables, source)) is not None:
                return found
            parsed = self._parsed(feed)
            try:
                write_tables(tables, parsed, source)
            except OSError as error:
                self.log.write(
                    "warning", "list-feed-not-shared", feed=feed.name, reason=error.strerror or str(error)
                )
                return parsed
            return read_tables(tables, source) or parsed

    def _parsed(self, feed: _Feed) -> ParsedList:
        if feed.path.stat().st_size > feed.settings.size_bytes:
            raise ValueError(f"is larger than {feed.settings.size_bytes} octets")
        with open(feed.path, encoding="utf-8", errors="replace", newline="\n") as lines:
            return self._parsed_lines(feed, lines)

    def _parsed_lines(self, feed: _Feed, lines: Iterable[str]) -> ParsedList:
        parsed = parse_list(lines, feed.settings.format, entries_limit=feed.settings.entries)
        if not parsed.entries and parsed.bad_count:
            raise ValueError(f"none of {parsed.bad_count} lines is an entry: {parsed.bad_lines[0][1]}")
        return parsed

    def _is_doubtful(self, feed: _Feed, parsed: ParsedList, there: FileMark) -> bool:
        """A list that is nearly empty all of a sudden may be half written or a publisher's accident: look twice."""
        before = feed.parsed.entries if feed.parsed is not None else 0
        if before < _DOUBT_ENTRIES or parsed.entries >= before * _SHRUNK_TO or feed.doubted == there:
            return False
        feed.doubted = there
        self._fail(feed, f"has {parsed.entries} entries instead of {before}: not taken before the next look")
        return True

    def _read(self, name: str) -> ParsedList:
        feed = self._feeds.get(name)
        if feed is None or feed.parsed is None:
            raise WorldFault(f"the feed {name} was not read yet")
        return feed.parsed

    def _told(self, feed: _Feed, parsed: ParsedList) -> None:
        feed.problem = ""
        self.counters.set("list_feed_failed", 0, feed=feed.name)
        self.counters.set("list_feed_entries", parsed.entries, feed=feed.name)
        self.log.write(
            "info",
            "list-feed-read",
            feed=feed.name,
            entries=parsed.entries,
            memory_bytes=parsed.size_bytes,
            bad_lines=parsed.bad_count,
        )
        for number, reason in parsed.bad_lines:
            self.log.write("warning", "list-feed-line-skipped", feed=feed.name, line=number, reason=reason)

    def _fail(self, feed: _Feed, reason: str) -> None:
        self.counters.set("list_feed_failed", 1, feed=feed.name)
        if reason != feed.problem:
            kept = "the last list stays in force" if feed.parsed is not None else "it lists nobody"
            self.log.write("error", "list-feed-failed", feed=feed.name, reason=reason, consequence=kept)
        feed.problem = reason

    async def _fetch_when_due(self, feed: _Feed) -> None:
        """One worker fetches, under a lock; the others find the copy."""
        wait_s = min(feed.settings.interval_s, 60.0 if feed.problem else feed.settings.interval_s)
        if self.clock.monotonic() < feed.tried_at + wait_s:
            return
        stamp = feed.path.with_suffix(".etag")
        with contextlib.suppress(OSError):
            age_s = self.clock.now() - stamp.stat().st_mtime
            if abs(age_s) < feed.settings.interval_s and feed.path.exists():
                return
        feed.tried_at = self.clock.monotonic()
        try:
            with _lock(feed.path.with_suffix(".lock")):
                await self._fetch(feed, stamp)
        except BlockingIOError:
            return  # another worker is at it
        except (OSError, ValueError, WorldFault) as error:
            self._fail(feed, f"{feed.settings.url} was not fetched: {error}")

    async def _fetch(self, feed: _Feed, stamp: Path) -> None:
        request = HttpsRequest(
            url=parse_https_url(feed.settings.url),
            answer_limit_bytes=feed.settings.size_bytes,
            timeout_s=feed.settings.timeout_s,
            accept="*/*",
            etag=_known_etag(feed.path, stamp),
            public_only=not feed.settings.allow_internal,
        )
        answer = await self.https[feed.settings.ca_file].fetch(request)
        if answer.body is not None:
            # A page of somebody's portal, say, must not take the place of the list that a restart reads.
            beginning = io.StringIO(answer.body[:_LOOKED_AT_BYTES].decode("utf-8", "replace"), newline="\n")
            self._parsed_lines(feed, islice(beginning, _LINES_LOOKED_AT))
            await asyncio.to_thread(replace_file, feed.path, [answer.body])
        await asyncio.to_thread(replace_file, stamp, [answer.etag.encode("ascii", "ignore")])
        if answer.body is None and feed.problem:
            feed.problem = ""
            self.counters.set("list_feed_failed", 0, feed=feed.name)


def _lock(path: Path) -> IO[str]:
    """Raises BlockingIOError when somebody has it. Closing it lets it go."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = open(path, "a", encoding="ascii")  # noqa: SIM115  # the caller closes it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock


def _known_etag(path: Path, stamp: Path) -> str:
    """Of the copy we have."""
    try:
        found = stamp.read_text(encoding="ascii")[:1024] if path.exists() else ""
    except (OSError, UnicodeDecodeError):
        return ""
    return found if found.isprintable() else ""
