"""An event loop that never waits, and processes that can die in it.

When every task waits, the clock moves to the next timer: five days pass in the time their work takes. No real socket
and no thread is involved, so the same seed gives the same run.

A process is what a worker would be: everything begun in its context belongs to it. When it dies, its callbacks and
tasks are never run again: not their `finally`, not their timers. What they had written to disk or wire stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import warnings
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import Any, Final, TypeVar, TypeVarTuple, Unpack, cast

_Ts = TypeVarTuple("_Ts")
_T = TypeVar("_T")

TURNS_LIMIT: Final = 250_000
EPOCH_AT: Final = 1_800_000_000.0


class Stuck(Exception):
    """Nothing can ever happen again, or the run does not come to an end."""


class Process:
    """One life of the gateway."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_alive = True
        self.tasks: list[asyncio.Task[Any]] = []
        self.context = Context()
        self.context.run(_PROCESS.set, self)


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def current_process() -> Process | None:
    """Whose code is running; None: the world's."""
    return _PROCESS.get()


class _JumpingSelector(selectors.SelectSelector):
    """Asked to wait, it moves the clock instead."""

    now = 0.0
    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if self.turns > TURNS_LIMIT:
            raise Stuck(f"{TURNS_LIMIT} turns of the loop, and no end")
        if timeout is None:
            raise Stuck("every task waits and no timer is set")
        if timeout > 0:
            self.now += timeout
        return []


class SimLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over the jumping selector. chance: how long work in a thread of the pool takes."""

    def __init__(self, chance: Random) -> None:
        self._jumping = _JumpingSelector()
        self._chance = chance
        self.network: Any = None
        """Who makes connections and listens: sim.network.Network."""
        self.complaints: list[str] = []
        """What reached the loop's exception handler: a bug, always."""
        super().__init__(self._jumping)
        self.set_task_factory(cast(Any, _task_of_process))
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Seconds since the beginning of the run."""
        return self._jumping.now

    @property
    def turns(self) -> int:
        """How often the loop has turned."""
        return self._jumping.turns

    def call_soon(
        self, callback: Callable[[Unpack[_Ts]], object], *args: *_Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's; what belongs to a dead process is not run."""
        handle = super().call_soon(callback, *args, context=context)
        if _is_dead(handle):
            handle.cancel()
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """As asyncio's; what belongs to a dead process is not run."""
        handle = super().call_at(when, callback, *args, context=context)
        if _is_dead(handle):
            handle.cancel()
        return handle

    def run_in_executor(
        self,
        executor: Any,
        func: Callable[[Unpack[_Ts]], _T],
        *args: *_Ts,
    ) -> asyncio.Future[_T]:
        """The work of a thread, done at one moment a little later."""
        done: asyncio.Future[_T] = self.create_future()

        def work() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(func(*args))
            except Exception as error:  # noqa: BLE001  # a thread of the pool hands every exception to the caller
                done.set_exception(error)

        self.call_later(self._chance.uniform(0.0001, 0.01), work)
        return done

    async def create_connection(self, *args: Any, **wishes: Any) -> Any:
        """Over the simulated network."""
        factory, address, port = args
        return await self.network.connect(factory, address, port)

    async def create_server(self, *args: Any, **wishes: Any) -> Any:
        """On a simulated socket."""
        return self.network.serve(args[0], wishes["sock"])

    def allow_the_end(self) -> None:
        """A run that did not come to an end may be cleared away all the same."""
        self._jumping.turns = 0

    def kill(self, process: Process) -> None:
        """From now on nothing of it runs."""
        process.is_alive = False
        handles = [*cast(Any, self)._ready, *cast(Any, self)._scheduled]
        for handle in handles:
            if _is_dead(handle):
                handle.cancel()
        for task in process.tasks:
            cast(Any, task)._log_destroy_pending = False

    def _complain(self, _loop: asyncio.AbstractEventLoop, about: dict[str, Any]) -> None:
        self.complaints.append(f"{about.get('message')}: {about.get('exception')!r}")


def bury(processes: list[Process]) -> None:
    """After the loop is closed: let go of what dead processes still hold, in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for process in processes:
            for task in process.tasks:
                with contextlib.suppress(BaseException):
                    cast(Any, task.get_coro()).close()
            process.tasks.clear()


def _is_dead(handle: asyncio.Handle) -> bool:
    process = cast(Any, handle)._context.get(_PROCESS)
    return process is not None and not process.is_alive


def _task_of_process(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], *, context: Context | None = None
) -> asyncio.Task[Any]:
    task = asyncio.Task(work, loop=loop, context=context)
    owner = context.get(_PROCESS) if context is not None else _PROCESS.get()
    if owner is not None:
        owner.tasks.append(task)
    return task
