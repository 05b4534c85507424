"""Group commit when the machine is not fair: a group that was begun always has something to commit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.adapters.store_mails import accept
from tests.fakes import FakeClock

from gatepost.adapters.log import DirectLog
from gatepost.adapters.sqlite_store import SqliteStore, open_store
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


class HeldClock(FakeClock):
    """Time passes only when the test says so."""


def groups_of(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many changes each COMMIT has, from now on."""
    sizes: list[int] = []
    groups = store._groups
    commit = groups._commit

    def counted() -> None:
        sizes.append(len(groups._group.asked))
        commit()

    monkeypatch.setattr(groups, "_commit", counted)
    return sizes


async def settle_all(answers: list[BaseException | None], wanted: int) -> None:
    async with asyncio.timeout(20):
        while len(answers) < wanted:
            await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("turn_s", "first"),
    [(0.0, 1), (0.0004, 5), (0.003, 1)],
    ids=["a quiet loop begins at once", "a busy one gathers", "but not longer than the limit"],
)
def test_a_group_is_gathered_while_the_loop_is_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn_s: float, first: int
) -> None:
    """Five mails come, one in each turn of the loop; a turn takes as long as the case says."""

    async def scenario() -> None:
        clock = HeldClock()
        loop = asyncio.get_running_loop()
        store = open_store(
            tmp_path, Queue(), clock, DirectLog(clock), loop=loop, settled=settled, allow_volatile=True
        )
        seen = groups_of(store, monkeypatch)
        answers: list[BaseException | None] = []

        def come(number: int) -> None:
            clock.advance(turn_s)
            store.commit([accept(number)], answers.append)
            if number < 5:
                loop.call_soon(come, number + 1)

        come(1)
        clock.advance(turn_s)
        await settle_all(answers, 5)
        assert answers == [None] * 5
        assert sum(seen) == 5
        assert seen[0] == first
        store.close()

    asyncio.run(scenario())
