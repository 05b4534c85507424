"""A coroutine is begun without a task: most that could wait find what they ask for in memory, and never do."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Rest(Generic[T]):
    """What is left of a coroutine that was begun and waits: for a task to await, once."""

    __slots__ = ("_coroutine", "_waits_for")

    def __init__(self, coroutine: Coroutine[Any, Any, T], waits_for: Any) -> None:
        """waits_for: what the coroutine gave to be told when it can go on."""
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        """As the coroutine would have gone on in the task itself."""
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

    async def ended(self) -> T:
        """As a coroutine, for a task of its own beside others."""
        return await self


def begun(coroutine: Coroutine[Any, Any, T]) -> T | Rest[T]:
    """Runs the coroutine as far as it goes without waiting; raises what it raises.

    What it does until then must not need a task of its own (asyncio.timeout does).
    """
    try:
        return Rest(coroutine, coroutine.send(None))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # as above
