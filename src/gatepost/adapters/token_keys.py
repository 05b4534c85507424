"""The public keys of a token issuer, from a file that somebody else keeps fresh."""

from __future__ import annotations

import os
from typing import Final

from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply

FILE_LIMIT_BYTES: Final = 1 << 20
_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")


class TokenKeysFile:
    """ports.directory.TokenKeys: the same object as long as the file is the same."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._data = b""

    def read(self) -> bytes:
        """The file's octets. Raises WorldFault (454) when it cannot be read or is too large."""
        try:
            found = os.stat(self._path)
            there = (found.st_mtime_ns, found.st_size, found.st_ino)
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
