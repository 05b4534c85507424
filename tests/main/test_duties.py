"""What a worker does again and again: one failure ends nothing."""

from __future__ import annotations

import asyncio

from tests.delivery.fakes import ListLog

from gatepost.main.duties import again_and_again


def test_a_duty_that_fails_is_told_and_done_again() -> None:
    log, times = ListLog(), 0

    async def duty() -> None:
        nonlocal times
        times += 1
        if times < 3:
            raise OSError("the disk is away")

    async def run() -> None:
        beating = asyncio.ensure_future(again_and_again(0.001, duty, log))
        async with asyncio.timeout(10):
            while times < 5:
                await asyncio.sleep(0.001)
        beating.cancel()
        await asyncio.wait([beating])
        assert beating.cancelled()

    asyncio.run(run())
    assert [(event, fields["place"]) for event, fields in log.lines] == [("bug", "duty")] * 2
    assert "the disk is away" in str(log.lines[0][1]["error"])
