"""Failed AUTH by account, client and network: who has to wait, and who is not asked again for a while (E06)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gatepost.config.login_settings import Lockout
from gatepost.model.account import folded_user
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.origin import origin_of

TABLE_ENTRIES: Final = 50_000
KNOWN_ACCOUNTS: Final = 20_000
KNOWN_NETWORKS_AN_ACCOUNT: Final = 8
DELAY_LIMIT_S: Final = 60.0
_DOUBLINGS_LIMIT: Final = 10


class Limit(Enum):
    """Which count stopped a client; the word is a setting's name."""

    ACCOUNT = "account-failures"
    CLIENT = "client-failures"
    NETWORK = "network-failures"


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why somebody may not try now."""

    limit: Limit
    value: int
    actual: int


class FailureTable:
    """Failures in a window of seconds that begins with the first one. Bounded: the longest unused go first."""

    def __init__(self, window_s: float, monotonic: Callable[[], float]) -> None:
        self._window_s = window_s
        self._monotonic = monotonic
        self._counts: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, key: str) -> int:
        """Failures of this key that still count."""
        began_at, count = self._counts.get(key, (0.0, 0))
        return count if count and self._monotonic() < began_at + self._window_s else 0

    def add(self, key: str) -> int:
        """One more; the new count."""
        count = self.count(key)
        began_at = self._counts[key][0] if count else self._monotonic()
        self._counts[key] = (began_at, count + 1)
        self._counts.move_to_end(key)
        if len(self._counts) > TABLE_ENTRIES:
            self._counts.popitem(last=False)
        return count + 1

    def take_back(self, key: str) -> None:
        """One less: it was no failure."""
        began_at, count = self._counts.get(key, (0.0, 0))
        if count > 1:
            self._counts[key] = (began_at, count - 1)
        else:
            self._counts.pop(key, None)

    def __len__(self) -> int:
        return len(self._counts)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One AUTH under way: it counts as failed until it is known to be good, so that many at once get no further."""

    user: str
    client: str
    network: str
    is_known: bool
    """It comes from where the account came from before."""


class FailedLogins:
    """One worker's memory of failures and of where accounts came from. monotonic: seconds."""

    def __init__(self, settings: Lockout, *, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._accounts = FailureTable(settings.window_s, monotonic)
        self._clients = FailureTable(settings.window_s, monotonic)
        self._networks = FailureTable(settings.window_s, monotonic)
        self._all = FailureTable(settings.window_s, monotonic)
        self._trusted = IpRanges(settings.known_networks)
        self._came_from: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def begin(self, user: str, client_ip: str) -> Attempt | Stopped:
        """Before anything is checked. An Attempt is to be ended by `succeeded`, `failed` or `unknown`.

        user: "" for a token that names nobody: then only the client's failures count.
        """
        name, origin = folded_user(user), origin_of(client_ip)
        client, network = origin.source, origin.network
        known = network in self._came_from.get(name, ())
        trusted = self._trusted.most_specific(client_ip) is not None
        if not trusted and (stopped := self._stopped(name, client, network, known=known)):
            return stopped
        if name:
            self._accounts.add(name)
        self._clients.add(client)
        self._networks.add(network)
        return Attempt(name, client, network, known or trusted)

    def succeeded(self, attempt: Attempt) -> None:
        """It was the account's owner: remember from where it came."""
        self.unknown(attempt)
        networks = self._came_from.setdefault(attempt.user, OrderedDict())
        networks[attempt.network] = None
        networks.move_to_end(attempt.network)
        self._came_from.move_to_end(attempt.user)
        if len(networks) > KNOWN_NETWORKS_AN_ACCOUNT:
            networks.popitem(last=False)
        if len(self._came_from) > KNOWN_ACCOUNTS:
            self._came_from.popitem(last=False)

    def unknown(self, attempt: Attempt) -> None:
        """It could not be checked: nobody's failure."""
        self._accounts.take_back(attempt.user)
        self._clients.take_back(attempt.client)
        self._networks.take_back(attempt.network)

    def failed(self, attempt: Attempt, first_delay_s: float) -> float:
        """It stays counted. Returns the delay of the answer: doubled for each failure before, at most a minute."""
        under_attack = self._all.add("") >= self._settings.all_failures
        if under_attack and not attempt.is_known:
            return DELAY_LIMIT_S if first_delay_s else 0.0
        failures = max(self._accounts.count(attempt.user), self._clients.count(attempt.client), 1)
        return float(min(first_delay_s * 2 ** min(failures - 1, _DOUBLINGS_LIMIT), DELAY_LIMIT_S))

    @property
    def attack_began(self) -> bool:
        """The last failure was the one that made an attack of many."""
        return self._all.count("") == self._settings.all_failures

    def _stopped(self, user: str, client: str, network: str, *, known: bool) -> Stopped | None:
        """A client the account came from before is stopped by its own failures, not by those of others."""
        settings = self._settings
        counts = [(Limit.CLIENT, settings.client_failures, self._clients.count(client))]
        if not known:
            counts.append((Limit.NETWORK, settings.network_failures, self._networks.count(network)))
            counts.append((Limit.ACCOUNT, settings.account_failures, self._accounts.count(user)))
        return next((Stopped(limit, value, n) for limit, value, n in counts if n >= value), None)
