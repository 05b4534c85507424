"""What a worker does again and again beside the mail flow: one failure ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gatepost.ports.log import Log


async def again_and_again(interval_s: float, duty: Callable[[], Awaitable[None]], log: Log) -> None:
    """Until it is cancelled. The edge of a duty: whatever it raises is told, and it is done again in its time."""
    while True:
        await asyncio.sleep(interval_s)
        try:
            await duty()
        except Exception as error:  # noqa: BLE001  # a documented edge
            log.write("error", "bug", place="duty", duty=getattr(duty, "__qualname__", ""), error=repr(error))
