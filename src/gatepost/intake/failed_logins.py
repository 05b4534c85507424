"""Failed AUTH by account, client and network, over all workers: who has to wait, who is not asked for a while (E06)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gatepost.config.login_settings import Lockout
from gatepost.model.account import folded_user
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.origin import origin_of
from gatepost.ports.shared import SharedState
from gatepost.ports.shared_windows import SharedWindows

TABLE_ENTRIES: Final = 50_000
KNOWN_ACCOUNTS: Final = 20_000
KNOWN_NETWORKS_AN_ACCOUNT: Final = 8
KNOWN_FOR_S: Final = 30 * 86400.0
"""How long a network is remembered from which nobody logs in any more."""
_DAY_S: Final = 86400.0
_SPACES: Final = ("login-accounts", "login-clients", "login-networks", "login-failures")
_CAME_FROM: Final = "login-came-from"
LOGIN_SPACES: Final = {**dict.fromkeys(_SPACES, TABLE_ENTRIES), _CAME_FROM: KNOWN_ACCOUNTS}
"""Spaces of the shared state, with their bounds."""
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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One AUTH under way: it counts as failed until it is known to be good, so that many at once get no further."""

    user: str
    client: str
    network: str
    is_known: bool
    """It comes from where the account came from before."""


class FailedLogins:
    """What all workers remember of failures, and of where accounts came from. now: seconds since the epoch.

    What clients call themselves is kept as a hash with a seed that ends with the gateway: a password is often typed
    where the name belongs (threats E15).
    """

    def __init__(self, settings: Lockout, *, shared: SharedState, now: Callable[[], float]) -> None:
        self._settings = settings
        self._shared = shared
        self._now = now
        self._accounts, self._clients, self._networks, self._all = (
            SharedWindows(shared, space, settings.window_s, now) for space in _SPACES
        )
        self._trusted = IpRanges(settings.known_networks)
        self.attack_began = False
        """The last failure was the one that made an attack of many."""

    def begin(self, user: str, client_ip: str) -> Attempt | Stopped:
        """Before anything is checked. An Attempt is to be ended by `succeeded`, `failed` or `unknown`.

        user: "" for a token that names nobody: then only the client's failures count.
        """
        name, origin = _hashed(user), origin_of(client_ip)
        client, network = origin.source, origin.network
        known = network in self._came_from(name)
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
        if not attempt.user:
            return
        now = self._now()
        others = [network for network in self._came_from(attempt.user) if network != attempt.network]
        networks = [*others[1 - KNOWN_NETWORKS_AN_ACCOUNT :], attempt.network]
        value = "\n".join([str(int(now // _DAY_S)), *networks]).encode()
        if value != self._shared.get(_CAME_FROM, attempt.user):
            self._shared.put(_CAME_FROM, attempt.user, value, expires_at=now + KNOWN_FOR_S)

    def unknown(self, attempt: Attempt) -> None:
        """It could not be checked: nobody's failure."""
        self._accounts.take_back(attempt.user)
        self._clients.take_back(attempt.client)
        self._networks.take_back(attempt.network)

    def failed(self, attempt: Attempt, first_delay_s: float) -> float:
        """It stays counted. Returns the delay of the answer: doubled for each failure before, at most a minute."""
        under_attack = self._all.add("") >= self._settings.all_failures
        self.attack_began = under_attack and self._all.is_news("")
        if under_attack and not attempt.is_known:
            return DELAY_LIMIT_S if first_delay_s else 0.0
        failures = max(self._accounts.count(attempt.user), self._clients.count(attempt.client), 1)
        return float(min(first_delay_s * 2 ** min(failures - 1, _DOUBLINGS_LIMIT), DELAY_LIMIT_S))

    def _came_from(self, user: str) -> list[str]:
        """The networks from which the account's owner came, the latest last."""
        value = self._shared.get(_CAME_FROM, user) if user else None
        return value.decode().split("\n")[1:] if value is not None else []

    def _stopped(self, user: str, client: str, network: str, *, known: bool) -> Stopped | None:
        """A client the account came from before is stopped by its own failures, not by those of others."""
        settings = self._settings
        counts = [(Limit.CLIENT, settings.client_failures, self._clients.count(client))]
        if not known:
            counts.append((Limit.NETWORK, settings.network_failures, self._networks.count(network)))
            counts.append((Limit.ACCOUNT, settings.account_failures, self._accounts.count(user)))
        return next((Stopped(limit, value, n) for limit, value, n in counts if n >= value), None)


def _hashed(user: str) -> str:
    """The same in every worker of one gateway, and nobody can count back from it; "" stays nobody."""
    name = folded_user(user)
    return f"{hash(name) & 0xFFFFFFFFFFFFFFFF:016x}" if name else ""
