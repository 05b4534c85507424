"""A worker's own store: opened when nobody else has it any more; what its start did is recorded, mail routed again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gatepost.adapters.sqlite_store import SqliteStore, open_store
from gatepost.config.settings import Settings
from gatepost.main.places import store_directory
from gatepost.model.fault import WorldFault
from gatepost.model.queued import KeepRecords, MailState, Settle, Settlement
from gatepost.ports.log import Log
from gatepost.ports.store import MailFilter
from gatepost.ports.world import Clock
from gatepost.queue.states import settled
from gatepost.records import tracking
from gatepost.routing.next_hop import Router

LOCK_PATIENCE_S: Final = 40.0
"""How long a store may still belong to a worker that is finishing."""
_PAGE: Final = 500


async def own_store(
    settings: Settings,
    number: int,
    clock: Clock,
    log: Log,
    loop: asyncio.AbstractEventLoop,
    stop: asyncio.Event,
    *,
    opening: Callable[..., SqliteStore] | None = None,
) -> SqliteStore | None:
    """Open the store; wait a while for a worker that is still finishing with it. Raises WorldFault.

    opening: None: open_store. The simulation has a disk of its own.
    """
    until = clock.monotonic() + LOCK_PATIENCE_S
    while not stop.is_set():
        try:
            store = (opening or open_store)(
                store_directory(settings, number),
                settings.queue,
                clock,
                log,
                loop=loop,
                settled=settled,
                allow_volatile=settings.queue.allow_volatile,
            )
        except WorldFault as fault:
            if not fault.facts.get("locked") or clock.monotonic() > until:
                raise
            log.write("info", "store-in-use", reason=fault.reason)
            await asyncio.sleep(0.25)
        else:
            record_poisoned(store, now=clock.now(), crashes=settings.queue.crash_limit)
            return store
    return None


def record_poisoned(store: SqliteStore, *, now: float, crashes: int) -> None:
    """Mail that the start of the store held, because it was in work at so many crashes, is held on record."""
    held = [mail for mail_id in store.recovered.poisoned if (mail := store.mail(mail_id)) is not None]
    if held:
        records = tuple(tracking.poison(mail, at=now, crashes=crashes) for mail in held)
        store.commit([KeepRecords(records=records)])


def route_again(store: SqliteStore, router: Router, *, now: float) -> None:
    """Mail that had no way out may have one with this configuration. now: queue time."""
    after = 0
    wanted = MailFilter(state=MailState.UNREACHABLE)
    while page := store.find(wanted, limit=_PAGE, after=after):
        after = page[-1].mail_id
        for mail in page:
            found = []
            for recipient in mail.recipients:
                hop = router.next_hop_of(mail, recipient)
                if recipient.state is MailState.UNREACHABLE and hop.first_state is MailState.READY:
                    found.append(
                        Settlement(
                            number=recipient.number,
                            state=MailState.READY,
                            due_at=now,
                            attempts=recipient.attempts,
                            last_reply=recipient.last_reply,
                            next_hop=hop.key,
                        )
                    )
            if found:
                store.commit([Settle(mail_id=mail.mail_id, settlements=tuple(found))])
