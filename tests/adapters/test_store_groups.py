"""Group commit when the machine is not fair: a group that was begun always has something to commit."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.adapters.store_mails import accept
from tests.fakes import FakeClock

from gatepost.adapters.log import DirectLog
from gatepost.adapters.sqlite_store import open_store
from gatepost.config.settings import Queue
from gatepost.queue.states import settled


class LeapingClock(FakeClock):
    """Each look at it costs 6 ms: more than a group may keep the loop."""

    def monotonic(self) -> float:
        self.advance(0.006)
        return super().monotonic()


def test_a_loop_that_loses_the_processor_between_two_lines_still_commits(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = LeapingClock()
        loop = asyncio.get_running_loop()
        store = open_store(
            tmp_path, Queue(), clock, DirectLog(clock), loop=loop, settled=settled, allow_volatile=True
        )
        answers: list[BaseException | None] = []
        for number in range(1, 6):
            store.commit([accept(number)], answers.append)
        async with asyncio.timeout(20):
            while len(answers) < 5:
                await asyncio.sleep(0.01)
        assert answers == [None] * 5
        assert store.why_not_accepting() == ""
        store.close()

    asyncio.run(scenario())
