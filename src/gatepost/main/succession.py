"""A reload inside a worker: the next configuration is built beside the one in force, then takes over.

Sessions that are open go on under the configuration they began with; deliveries that are on
the wire are finished by the old scheduler; everything else is the new one's from one moment on.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import Configuration
from gatepost.main.configuration import load_text
from gatepost.main.lasting import Lasting, needs_restart
from gatepost.main.logs import change_log
from gatepost.model.fault import WorldFault

if TYPE_CHECKING:
    from gatepost.intake.connection import Connection
    from gatepost.main.worker import Worker


STOPPING: Final = "the worker is stopping"


def freeze_again() -> None:
    """What is in use now will be for long; what was frozen before and is not would never be looked at again."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


class Succession:
    """Which configuration of a worker is in force.

    build: makes the parts of another, given those in force. tidy: after the parts of an older one were closed.
    """

    def __init__(
        self,
        first: Worker,
        lasting: Lasting,
        build: Callable[[Configuration, Lasting, Worker], Worker],
        *,
        tidy: Callable[[], None] = freeze_again,
    ) -> None:
        self.worker = first
        self._lasting = lasting
        self._build = build
        self._tidy = tidy
        self._one_at_a_time = asyncio.Lock()
        self._is_stopping = False
        self._elders: dict[asyncio.Task[None], Worker] = {}
        self._stopping: tuple[Worker, ...] = ()
        lasting.take_configuration = self.take

    @property
    def elders(self) -> tuple[Worker, ...]:
        """The parts of older configurations that still have something in work."""
        return (*self._elders.values(), *self._stopping)

    async def take(self, path: str, text: str) -> str:
        """Go on with the configuration in `text`. Why not, and nothing is changed; "" when it is done."""
        async with self._one_at_a_time:
            if self._is_stopping:
                return STOPPING  # what began now would not be waited for
            before = self.worker
            try:
                configuration = await asyncio.to_thread(load_text, path, text)
                if why_not := needs_restart(before.settings, configuration.settings):
                    return why_not
                fresh = self._build(configuration, self._lasting, before)
                change_log(self._lasting.log, before.settings.log, configuration.settings.log)
            except ConfigurationErrors as errors:
                return str(errors)
            except WorldFault as fault:
                return fault.reason
            await asyncio.to_thread(fresh.recipients.refresh)
            sessions = fresh.take_over(before)
            self.worker = fresh
            task = asyncio.get_running_loop().create_task(self._retire(before, sessions))
            self._elders[task] = before
            task.add_done_callback(lambda done: self._elders.pop(done, None))
        self._lasting.log.write("info", "configuration-taken", revision=configuration.revision)
        return ""

    async def stop(self, timeout_s: float) -> None:
        """Stop the worker, with what older configurations still have in work."""
        async with self._one_at_a_time:
            self._is_stopping = True
        elders = self._stopping = tuple(self._elders.values())
        for task in self._elders:
            task.cancel()
        self._elders.clear()
        await self.worker.stop(timeout_s, elders=elders)
        for elder in elders:
            self._close(elder, in_use=(self.worker,))

    async def _retire(self, before: Worker, sessions: frozenset[Connection]) -> None:
        """Wait until nothing of it is needed any more, then close what only it used."""
        await before.scheduler.retire()
        await before.listener.over(sessions)
        self._close(before, in_use=(self.worker, *(w for w in self._elders.values() if w is not before)))
        self._tidy()

    @staticmethod
    def _close(elder: Worker, *, in_use: Sequence[Worker]) -> None:
        """What nobody else has taken over."""
        if all(elder.resolver is not other.resolver for other in in_use):
            elder.resolver.close()
        if all(elder.wire_logs is not other.wire_logs for other in in_use):
            elder.wire_logs.close()
