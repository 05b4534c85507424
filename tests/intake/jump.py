"""An event loop whose clock can be moved on, so that a deadline of half an hour is tested in milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.intake.house import House, open_house, settings_with

from gatepost.ports.tls import TlsServer


class JumpLoop(asyncio.SelectorEventLoop):
    """Real sockets, and time that stands still but when the test lets it jump, however slow the machine is."""

    def __init__(self) -> None:
        self._stands_at = 1000.0
        self._runs_since: float | None = None
        super().__init__()

    def time(self) -> float:
        return self._stands_at + (0.0 if self._runs_since is None else super().time() - self._runs_since)

    def let_go(self) -> None:
        """From now on time passes as always."""
        self._runs_since = super().time()

    async def jump(self, seconds: float) -> None:
        """Time has passed; what was due in it has run when this returns."""
        self._stands_at += seconds
        for _ in range(5):
            await asyncio.sleep(0)


Scenario = Callable[[House, JumpLoop], Awaitable[None]]


def in_house_that_jumps(
    scenario: Scenario, settings: dict[str, Any], tls: TlsServer | None = None, **tables: Any
) -> None:
    """Run a scenario against a house of its own."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpLoop)
        async with open_house(settings_with(settings, **tables), tls=tls) as house:
            try:
                await scenario(house, loop)
            finally:
                loop.let_go()

    with asyncio.Runner(loop_factory=JumpLoop) as runner:
        runner.run(run())
