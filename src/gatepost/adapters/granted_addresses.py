"""What accounts may send as: by the accounts file, and by the directory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from gatepost.adapters.accounts import AccountsFile
from gatepost.adapters.file_mark import FileMark, mark_of
from gatepost.model.account import folded_user
from gatepost.model.fault import WorldFault
from gatepost.ports.directory import SendingAccounts

LOOKED_AT_S: Final = 1.0
_NONE: Final[frozenset[str]] = frozenset()


class GrantedAddresses:
    """ports.directory.SendingAccounts over the accounts file, which is looked at once a second. monotonic: seconds.

    directory: what it knows comes on top; None: nothing does.
    """

    def __init__(
        self, path: str, directory: SendingAccounts | None, *, monotonic: Callable[[], float]
    ) -> None:
        self._file = AccountsFile(path)
        self._directory = directory
        self._monotonic = monotonic
        self._granted: Mapping[str, frozenset[str]] = {}
        self._seen: FileMark | None = None
        self._look_at = float("-inf")

    def addresses_of(self, user: str) -> frozenset[str] | Coroutine[Any, Any, frozenset[str]]:
        """Without a file nobody was given anything. Raises WorldFault."""
        self._reread()
        own = self._granted.get(folded_user(user), _NONE)
        if self._directory is None:
            return own
        found = self._directory.addresses_of(user)
        return own | found if isinstance(found, frozenset) else _together(own, found)

    def _reread(self) -> None:
        now = self._monotonic()
        if now < self._look_at:
            return
        try:
            there = mark_of(self._file.path)
        except FileNotFoundError:
            self._granted, self._seen = {}, None
        except OSError as error:
            raise WorldFault(f"cannot read {self._file.path}: {error.strerror}") from error
        else:
            if there != self._seen:
                self._granted, self._seen = self._file.granted(), there
        self._look_at = now + LOOKED_AT_S


async def _together(own: frozenset[str], answer: Coroutine[Any, Any, frozenset[str]]) -> frozenset[str]:
    return own | await answer
