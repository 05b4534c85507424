"""Accounts with NT hashes, from a file in the format of smbpasswd(5) that somebody else keeps."""

from __future__ import annotations

from typing import Final

from gatepost.adapters.token_keys import TokenKeysFile
from gatepost.model.account import folded_user
from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply

_HASH_BYTES: Final = 16
_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")


class NtHashesFile:
    """ports.directory.NtHashes: `user:uid:LM hash:NT hash:[flags]:...` a line, read again when the file changes.

    A line whose flags hold D (disabled) or N (no password), or whose hash is X or *, is nobody's.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = TokenKeysFile(path)
        self._parsed: tuple[bytes, dict[str, bytes]] = (b"", {})

    def nt_hash(self, user: str) -> bytes | None:
        """Of this user's password. Raises WorldFault when the file cannot be read or understood."""
        data = self._file.read()
        seen, hashes = self._parsed
        if data is not seen:
            hashes = self._hashes(data)
            self._parsed = (data, hashes)
        return hashes.get(folded_user(user))

    def _hashes(self, data: bytes) -> dict[str, bytes]:
        found = {}
        try:
            for number, line in enumerate(data.decode("utf-8").splitlines(), start=1):
                if line.strip() and not line.startswith("#"):
                    user, nt_hash = _account(line, f"{self._path}:{number}")
                    if nt_hash:
                        found[folded_user(user)] = nt_hash
        except UnicodeDecodeError:
            raise WorldFault(f"{self._path} is not UTF-8 text", _UNAVAILABLE) from None
        return found


def _account(line: str, where: str) -> tuple[str, bytes]:
    """The name and the hash, b"" for an account that is closed. Raises WorldFault."""
    words = line.split(":")
    if len(words) < 5 or not words[0]:
        raise WorldFault(f"{where}: not user:uid:LM hash:NT hash:[flags]:", _UNAVAILABLE)
    if set("DN") & set(words[4]) or set(words[3]) <= set("X*"):
        return words[0], b""
    try:
        nt_hash = bytes.fromhex(words[3])
    except ValueError:
        nt_hash = b""
    if len(nt_hash) != _HASH_BYTES:
        raise WorldFault(f"{where}: the NT hash is not 32 hexadecimal digits", _UNAVAILABLE)
    return words[0], nt_hash
