"""The shared state as the command line opens it: beside the running gateway, or without one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gatepost.adapters.address_lists import SPACE_LIMITS, SharedAddressLists
from gatepost.adapters.counters import MemoryCounters
from gatepost.adapters.list_feeds import ListFeeds
from gatepost.adapters.shared_store import SharedStore
from gatepost.adapters.world import SystemClock
from gatepost.config.settings import Settings
from gatepost.main.places import feed_directory, shared_state_file, state_directory
from gatepost.main.refusals import prepare_state
from gatepost.model.fault import WorldFault


class Quiet:
    """What the file's thread would log is said by the command itself."""

    def write(self, level: str, event: str, /, **fields: object) -> None:
        """Nothing."""


@contextmanager
def opened(settings: Settings, now: Callable[[], float] = time.time) -> Iterator[SharedStore]:
    """Raises WorldFault when the file cannot be used, at the end when changes could not be kept."""
    prepare_state(state_directory(settings), settings.server.user)  # it may be the first who comes
    store = SharedStore(shared_state_file(settings), now=now, log=Quiet(), limits=SPACE_LIMITS)
    try:
        if store.problem:
            raise WorldFault(store.problem)
        yield store
        if problem := store.flush():
            raise WorldFault(f"nothing was changed for good: {problem}")
    finally:
        store.close()


@contextmanager
def open_lists(settings: Settings, now: Callable[[], float] = time.time) -> Iterator[SharedAddressLists]:
    """The IP lists; feeds are read when somebody asks them. Raises WorldFault as opened()."""
    with opened(settings, now) as store:
        lists = SharedAddressLists(store, now)
        lists.feeds = ListFeeds(
            settings=settings.list_feeds,
            directory=feed_directory(settings),
            clock=SystemClock(),
            log=Quiet(),
            counters=MemoryCounters(),
            lazy=True,
        )
        yield lists
