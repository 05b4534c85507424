"""How much one account may send in an hour: a stolen password is noticed before it has served many (threats E12)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gatepost.model.account import folded_user
from gatepost.ports.shared import SharedState
from gatepost.ports.shared_windows import SharedWindows

HOUR_S: Final = 3600.0
RATES_SPACE: Final = "account-recipients"


class AccountRates:
    """Recipients by account, over all workers, in hours that begin with the first one.

    limit: 0 for none. now: seconds since the epoch.
    """

    def __init__(self, limit: int, *, shared: SharedState, now: Callable[[], float]) -> None:
        self.limit = limit
        self._sent = SharedWindows(shared, RATES_SPACE, HOUR_S, now)

    def count(self, user: str) -> int:
        """One more recipient wanted by the account; how many that makes. Refused ones count, too."""
        return self._sent.add(folded_user(user)) if self.limit else 0

    def is_news(self, user: str) -> bool:
        """Whether nobody was told within an hour that the account is beyond its limit."""
        return self._sent.is_news(folded_user(user))
