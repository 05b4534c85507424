"""Clients that log in: over TLS, with the right password or another, and as themselves or as somebody else."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher

from sim.clients import OUTSIDE, Client, Gone, Manner, World
from sim.stream import Stream
from sim.tls import SimTls

PASSWORD: Final = "correct horse battery"
CHEAP: Final = PasswordHasher(memory_cost=8, time_cost=1, parallelism=1)
"""Nobody tries to guess them here."""


def write_accounts(file: Path, users: tuple[str, ...]) -> None:
    """All with the same password, hashed as cheaply as can be: the gateway reads the cost from the hash."""
    hashed = CHEAP.hash(PASSWORD, salt=b"0123456789abcdef")
    file.write_text("".join(f"{user}:{hashed}\n" for user in users))
    file.chmod(0o600)


class Submitter(Client):
    """One session at the submission door."""

    def __init__(self, world: World) -> None:
        super().__init__(world, Manner.POLITE)
        self._ip = self._chance.choice(OUTSIDE)
        self._inside = True
        self._user = self._chance.choice(world.accounts)
        self._must_not = ""

    async def _session(self) -> None:
        self._begun_at = self._journal.now()
        _, self._stream = await self._world.network.connect(Stream, *self._world.submission, source=self._ip)
        if not self._is_welcome(await self._reply()):
            return
        await self._ask(b"EHLO laptop.example\r\n")
        if self._chance.random() < 0.15:
            await self._forbidden(self._login(PASSWORD), "a password was taken in the clear")
        if self._chance.random() < 0.1:
            await self._forbidden(b"MAIL FROM:<%b>\r\n" % self._user.encode(), "mail was taken in the clear")
        if not await self._encrypt() or not await self._log_in():
            return
        for _ in range(self._chance.choice((1, 1, 2))):
            if self._chance.random() < 0.15:
                other = self._chance.choice((b"boss@ours.example", b"who@away.example"))
                await self._forbidden(b"MAIL FROM:<%b>\r\n" % other, f"{self._user} sent as {other.decode()}")
            await self._transaction()
        await self._ask(b"QUIT\r\n")

    async def _encrypt(self) -> bool:
        code, _ = await self._ask(b"STARTTLS\r\n")
        if code != 220:
            return False
        if self._chance.random() < 0.1:
            await asyncio.sleep(self._chance.choice((0.0, 400.0)))
            self._stream.write(self._chance.choice((b"EHLO again\r\n", b"\x16\x00", b"\x16\x00\x05hello")))
            raise Gone
        return await self._stream.start_tls(SimTls(server_side=False, name="mx.ours.example"))

    async def _log_in(self) -> bool:
        await self._ask(b"EHLO laptop.example\r\n")
        if self._chance.random() < 0.2:
            await self._forbidden(self._login("wrong"), "a wrong password was taken")
            await self._forbidden(
                b"MAIL FROM:<%b>\r\n" % self._user.encode(), "mail was taken without a login"
            )
        code, _ = await self._ask(self._login(PASSWORD))
        self._journal.count(f"logins {code}")
        return code == 235

    def _login(self, password: str) -> bytes:
        return b"AUTH PLAIN " + b64encode(f"\0{self._user}\0{password}".encode()) + b"\r\n"

    async def _forbidden(self, line: bytes, what: str) -> None:
        code, _ = await self._ask(line)
        if code in (235, 250):
            self._journal.find(what)
            raise Gone

    def _address(self, name: str) -> str:
        return self._user
