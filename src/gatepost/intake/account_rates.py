"""How much one account may send in an hour: a stolen password is noticed before it has served many (threats E12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gatepost.intake.failed_logins import FailureTable
from gatepost.model.account import folded_user

HOUR_S: Final = 3600.0


class AccountRates:
    """Recipients by account, in hours that begin with the first one. limit: 0 for none. monotonic: seconds."""

    def __init__(self, limit: int, *, monotonic: Callable[[], float]) -> None:
        self.limit = limit
        self._sent = FailureTable(HOUR_S, monotonic)

    def count(self, user: str) -> int:
        """One more recipient wanted by the account; how many that makes. Refused ones count, too."""
        return self._sent.add(folded_user(user)) if self.limit else 0
