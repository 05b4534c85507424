"""A reply that is not there yet and needs no task: it comes once, and goes to the one who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import final

from gatepost.model.reply import Reply

Answer = Reply | Awaitable[Reply]


@final
class ReplyToCome(Awaitable[Reply]):
    """Made by whoever has promised a reply; `come` is called once. Awaited, or given to `then`, once."""

    __slots__ = ("_reply", "_then", "_weigh")

    def __init__(self) -> None:
        self._reply: Reply | None = None
        self._then: Callable[[Answer], None] | None = None
        self._weigh: Callable[[Reply], Answer] | None = None

    def come(self, reply: Reply) -> None:
        """It is there: whoever waits is told before this returns."""
        if self._reply is None:
            self._reply = reply
            if self._then is not None:
                self._then(reply if self._weigh is None else self._weigh(reply))

    def weighed_by(self, weigh: Callable[[Reply], Answer]) -> ReplyToCome:
        """Itself, but what `then` is told is what `weigh` makes of the reply."""
        self._weigh = weigh
        return self

    def then(self, told: Callable[[Answer], None]) -> None:
        """told: called with the reply, or with what has to be awaited to get it."""
        self._then = told
        if self._reply is not None:
            told(self._reply if self._weigh is None else self._weigh(self._reply))

    def __await__(self) -> Generator[object, None, Reply]:
        if self._reply is None:
            there = asyncio.get_running_loop().create_future()
            self._then = lambda _: None if there.done() else there.set_result(None)
            yield from there
        assert self._reply is not None, "whoever promised it has kept the promise"
        return self._reply
