"""A worker opens its store: what it held because workers died of it is on record."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.adapters.store_mails import NotedLog, accept, committed, mail_id, opened

from gatepost.adapters.inflight import MappedInFlight
from gatepost.adapters.world import SystemClock
from gatepost.config.settings import Settings
from gatepost.main.own_store import own_store
from gatepost.main.places import store_directory
from gatepost.ports.store import RecordFilter
from gatepost.records.tracking import Event, decode


@pytest.mark.threat("P01")
def test_a_mail_that_killed_three_workers_is_tracked_as_poison(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {
            "server": {"hostname": "mx.ours.example", "state-directory": str(tmp_path)},
            "queue": {"allow-volatile": True},
        }
    )
    directory = store_directory(settings, 0)

    async def recorded() -> list[str]:
        """POISONMESSAGE records after the next start."""
        loop, log = asyncio.get_running_loop(), NotedLog()
        store = await own_store(settings, 0, SystemClock(), log, loop, asyncio.Event())
        assert store is not None
        await committed(store)  # what was begun before is on disk
        found = store.records(RecordFilter(event=Event.POISONMESSAGE.value), limit=10)
        store.close()
        return [f"{record.mail_id == mail_id(1)} {decode(record).custom_data}" for record in found]

    async def story() -> None:
        # Given a mail in whose delivery the worker dies, again and again
        store = opened(directory)
        await committed(store, accept(1))
        store.close()
        seen = []
        for death in (1, 2, 3, 0):
            if death:
                MappedInFlight(directory / "in-flight").enter(mail_id(1))
            seen.append(await recorded())
        # Then it is held at the third, and that is told once
        held = ["True crashes=3"]
        assert seen == [[], [], held, held]

    asyncio.run(story())
