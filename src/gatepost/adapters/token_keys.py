"""The public keys of a token issuer: from a file that somebody else keeps fresh, or from where it publishes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from gatepost.adapters.file_mark import FileMark, mark_of
from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.log import Log
from gatepost.ports.world import Clock

FILE_LIMIT_BYTES: Final = 1 << 20
RETRY_S: Final = 60.0
_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")


class TokenKeysFile:
    """ports.directory.TokenKeys: the same object as long as the file is the same."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: FileMark | None = None
        self._data = b""

    def read(self) -> bytes:
        """The file's octets. Raises WorldFault (454) when it cannot be read or is too large."""
        try:
            there = mark_of(self._path)
            if there != self._seen:
                self._data = self._read()
                self._seen = there
        except OSError as error:
            raise WorldFault(f"cannot read {self._path}: {error.strerror}", _UNAVAILABLE) from error
        return self._data

    def _read(self) -> bytes:
        with open(self._path, "rb") as file:
            data = file.read(FILE_LIMIT_BYTES + 1)
        if len(data) > FILE_LIMIT_BYTES:
            raise WorldFault(f"{self._path} is too large", _UNAVAILABLE)
        return data


class TokenKeysUrl:
    """ports.directory.TokenKeys over what the issuer publishes, fetched again and again by `run`.

    fetch: one attempt; raises WorldFault, also when what came is no key set: it never replaces one.
    What was fetched last is believed for `age_s` seconds, so that an issuer that is down for
    an hour shuts nobody out.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[bytes]], *, refresh_s: float, age_s: float, clock: Clock, log: Log
    ) -> None:
        self._fetch = fetch
        self._refresh_s = refresh_s
        self._age_s = age_s
        self._clock = clock
        self._log = log
        self._data = b""
        self._fetched_at = 0.0

    def read(self) -> bytes:
        """The keys. Raises WorldFault (454) when there are none, or they are too old."""
        if not self._data:
            raise WorldFault("users.tokens.keys-url was not fetched yet", _UNAVAILABLE)
        if self._clock.monotonic() >= self._fetched_at + self._age_s:
            raise WorldFault("users.tokens.keys-url could not be fetched for too long", _UNAVAILABLE)
        return self._data

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            is_fresh = await self.refresh()
            await asyncio.sleep(self._refresh_s if is_fresh else RETRY_S)

    async def refresh(self) -> bool:
        """One attempt; False, and a line in the log, when it failed."""
        try:
            data = await self._fetch()
        except WorldFault as fault:
            self._log.write("error", "token-keys-unavailable", reason=fault.reason)
            return False
        self._fetched_at = self._clock.monotonic()
        if data != self._data:
            self._data = data
        return True
