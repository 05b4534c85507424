"""Clients that the gateway remembers: they come again after greylisting, or guess recipients until they are blocked.

What is remembered is shared by workers and outlives them: only what was younger than half a second at a death may be
forgotten.
"""

from __future__ import annotations

import asyncio
from typing import Final

from sim.clients import Client, Gone, Manner, World
from sim.journal import Answer, Sent
from sim.shared import LOST_WITH_A_DEATH_S
from sim.stream import Stream

EARLIEST_S: Final = 60.0
"""Of greylisting, in the configuration."""
BLOCK_AT: Final = 15
"""Guesses, in the configuration."""
ENOUGH: Final = BLOCK_AT + 3
GREYLISTED: Final = "Greylisted"
_VISITS: Final = 6


class Guest(Client):
    """One who comes several times."""

    _network = "198.51.100"
    """Whose reputation is told by all who come from there."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, Manner.POLITE)
        self._inside = False
        self._ip = f"{self._network}.{number}"
        self._sender = f"guest@guest{number}.example"

    async def _enter(self) -> bool:
        """Up to MAIL; False when the gateway has no time for us now."""
        self._begun_at = self._journal.now()
        self._stream = Stream()
        _, self._stream = await self._world.network.connect(Stream, *self._world.door, source=self._ip)
        if not self._is_welcome(await self._reply()):
            return False
        await self._ask(b"EHLO guest.example\r\n")
        code, _ = await self._ask(f"MAIL FROM:<{self._sender}>\r\n".encode())
        return code == 250

    def _died_within(self, at: float) -> bool:
        """Before what happened then was on the disk."""
        return self._journal.died(at - 0.1, at + LOST_WITH_A_DEATH_S)

    def _address(self, name: str) -> str:
        return self._sender


class Returning(Guest):
    """Put off the first time, it comes again and is let in, and then at once for ever."""

    async def _session(self) -> None:
        recipient = self._chance.choice(self._world.users)
        refused_at = passed_at = 0.0
        may_be_known = False
        for _ in range(_VISITS):
            try:
                code, text = await self._visit(recipient)
            except (Gone, OSError):
                code, text = 0, ""
                may_be_known = True  # the gateway may have put us off, and did not come to say so
            now = self._journal.now()
            if code == 250:
                if not (refused_at or may_be_known):
                    self._journal.find(f"{self._sender} came for the first time and was let in")
                passed_at = passed_at or now
                self._journal.count("guests let in")
            elif GREYLISTED in text:
                self._judge_refusal(refused_at, passed_at, now)
                refused_at = refused_at or now
                if self._died_within(refused_at):
                    refused_at = now
            await asyncio.sleep(self._chance.uniform(EARLIEST_S + 2.0, 900.0))

    def _judge_refusal(self, refused_at: float, passed_at: float, now: float) -> None:
        self._journal.count("guests put off")
        if passed_at and not self._died_within(passed_at):
            self._journal.find(f"{self._sender} was let in at {passed_at:.0f}, and is put off again")
        elif refused_at and not self._died_within(refused_at) and now > refused_at + EARLIEST_S + 1.0:
            self._journal.find(f"{self._sender} came again {now - refused_at:.0f} s later, and is put off")

    async def _visit(self, recipient: str) -> tuple[int, str]:
        if not await self._enter():
            return 0, ""
        sent = self._message()
        sent.sender = self._sender
        sent.unanswered.add(recipient)
        code, text = await self._ask(f"RCPT TO:<{recipient}>\r\n".encode())
        sent.unanswered.discard(recipient)
        if code == 250:
            sent.taken.add(recipient)
            await self._send(sent)
        self._stream.close()
        return code, text

    async def _send(self, sent: Sent) -> None:
        code, _ = await self._ask(b"DATA\r\n")
        if code == 354:
            await self._content(sent)
        else:
            sent.answer = Answer.REFUSED


class Harvester(Guest):
    """Guesses recipients; once it is blocked nobody is delivered to by it, whoever dies meanwhile."""

    _network = "198.18.0"

    async def _session(self) -> None:
        guesses, first_at, blocked_at = 0, self._journal.now(), 0.0
        for _ in range(3 * _VISITS):
            try:
                if blocked_at:
                    await self._try_again(blocked_at)
                else:
                    guesses += await self._guess(ENOUGH - guesses)
            except (Gone, OSError):
                pass
            if guesses >= ENOUGH and not blocked_at:
                blocked_at = self._journal.now()
            await asyncio.sleep(self._chance.uniform(2.0, 150.0))
            if self._journal.died(first_at, blocked_at + LOST_WITH_A_DEATH_S):
                return  # some guesses may be forgotten

    async def _guess(self, count: int) -> int:
        if not await self._enter():
            return 0
        refused = 0
        for number in range(count):
            code, _ = await self._ask(f"RCPT TO:<guess{number}@ours.example>\r\n".encode())
            refused += code == 550
        return refused

    async def _try_again(self, blocked_at: float) -> None:
        if not await self._enter():
            return
        code, _ = await self._ask(f"RCPT TO:<{self._world.users[0]}>\r\n".encode())
        if code == 250 and self._journal.now() < blocked_at + 3000.0:
            self._journal.find(f"{self._ip} guessed recipients, and may write to one that there is")
        self._journal.count("harvesters kept out")
