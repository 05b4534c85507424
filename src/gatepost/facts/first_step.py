"""A coroutine is begun without a task: most that could wait find what they ask for in memory, and never do."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Rest(Generic[T]):
    """What is left of a coroutine that was begun and waits: for a task to await, once, or to be dropped."""

    __slots__ = ("_coroutine", "_is_awaited", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        """waits_for: what the coroutine gave to be told when it can go on."""
        self._coroutine = coroutine
        self._waits_for = waits_for
        self._is_awaited = False

    def __await__(self) -> Generator[Any, Any, T]:
        """As the coroutine would have gone on in the task itself."""
        self._is_awaited = True
        coroutine, waits_for = self._coroutine, self._waits_for
        while True:
            try:
                told = yield waits_for
                step = partial(coroutine.send, told)
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001 - a cancellation, or what the future failed with: for the coroutine
                step = partial(coroutine.throw, error)
            try:
                waits_for = step()
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the coroutine returns

    def in_task(self) -> asyncio.Task[T]:
        """A task of its own, beside others."""
        task = asyncio.ensure_future(self._ended())
        task.add_done_callback(self.dropped)
        return task

    def dropped(self, _task: object = None) -> None:
        """Nobody awaits it any more: a task that is cancelled before its first step cancels nothing else.

        So what it waits for is cancelled here, as the task would have done. Nothing happens when it was awaited.
        """
        self._coroutine.close()
        if not self._is_awaited and isinstance(self._waits_for, asyncio.Future):
            self._waits_for.add_done_callback(_heeded)  # asyncio.gather complains when nobody looks
            self._waits_for.cancel()

    async def _ended(self) -> T:
        return await self


def _heeded(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def begun(coroutine: Coroutine[Any, Any, T]) -> T | Rest[T]:
    """Runs the coroutine as far as it goes without waiting; raises what it raises.

    What it does until then must not need a task of its own (asyncio.timeout does).
    """
    try:
        return Rest(coroutine, coroutine.send(None))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # as above
