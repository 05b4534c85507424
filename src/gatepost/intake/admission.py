"""Who may come in: sessions counted in all, by connector, source and network, and how often somebody comes."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from typing import Final

from gatepost.config.limit_settings import Intake, Limits
from gatepost.intake.door import Door
from gatepost.intake.limit_hit import LimitHit
from gatepost.intake.rates import Doing, DoorMinute, Minute, Rates
from gatepost.model.origin import Origin
from gatepost.model.reply import Reply

TOO_MANY: Final = Reply(
    421,
    "4.3.2",
    "The maximum number of concurrent connections has been reached, closing transmission channel",
)
TOO_OFTEN: Final = Reply(421, "4.7.0", "Too many connections in a short time, closing transmission channel")


class Admission:
    """The counts of one worker. monotonic: seconds."""

    def __init__(self, intake: Intake, *, monotonic: Callable[[], float]) -> None:
        self._intake = intake
        self._monotonic = monotonic
        self._all = 0
        self._doors: Tally[str] = Tally()
        self._sources: Tally[tuple[str, str]] = Tally()
        self._networks: Tally[tuple[str, str]] = Tally()
        self._sites: Tally[tuple[str, str]] = Tally()
        self._rates = Rates(monotonic=monotonic)
        self._door_rates: dict[str, DoorMinute] = {}

    def use(self, intake: Intake) -> None:
        """Other limits from now on; what was counted stays."""
        self._intake = intake

    def sessions(self, door: Door) -> int:
        """Open sessions of a connector."""
        return self._doors[door.name]

    def minute_of(self, origin: Origin, door: Door) -> Minute:
        """What a source did lately at a connector."""
        return self._rates.of(f"{door.name} {origin.source}")

    def refusal(self, door: Door, origin: Origin, *, spared: bool, rated: bool = True) -> LimitHit | None:
        """The limit that keeps a new client out; None: it may come in. Who is refused counts for the rates, too.

        spared: only the numbers of sessions in all and of the connector hold for it. rated: so do the rates.
        """
        limits = door.settings.limits
        if self._all >= self._intake.connections:
            return LimitHit("intake.connections", self._intake.connections, self._all + 1, TOO_MANY)
        here = self._doors[door.name]
        if here >= door.capacity - (0 if spared else door.reserved):
            limit = "connections" if here >= door.capacity else "reserved-share"
            return LimitHit(limit, getattr(limits, limit.replace("-", "_")), here + 1, TOO_MANY)
        if spared:
            return None
        too_often = self._too_often(door, origin, limits) if rated else None
        return too_often or self._too_many(door, origin, limits)

    def came(self, door: Door, origin: Origin) -> None:
        """A session began."""
        self._all += 1
        self._doors[door.name] += 1
        self._sources[door.name, origin.source] += 1
        self._networks[door.name, origin.network] += 1
        if origin.site:
            self._sites[door.name, origin.site] += 1

    def gone(self, door: Door, origin: Origin) -> None:
        """A session is over."""
        self._all -= 1
        self._doors[door.name] -= 1
        _less(self._sources, (door.name, origin.source))
        _less(self._networks, (door.name, origin.network))
        if origin.site:
            _less(self._sites, (door.name, origin.site))

    def _too_many(self, door: Door, origin: Origin, limits: Limits) -> LimitHit | None:
        sessions = self._sources[door.name, origin.source]
        if sessions >= limits.connections_per_source:
            return LimitHit("connections-per-source", limits.connections_per_source, sessions + 1, TOO_MANY)
        free = door.capacity - self._doors[door.name]
        if sessions >= max(1, free * limits.source_share // 100) and limits.source_share < 100:
            return LimitHit("source-share", limits.source_share, sessions + 1, TOO_MANY)
        around = (
            ("connections-per-network", limits.connections_per_network, self._networks, origin.network),
            ("connections-per-site", limits.connections_per_site, self._sites, origin.site),
        )
        for limit, most, tally, place in around:
            neighbours = tally[door.name, place]
            if neighbours >= most:
                return LimitHit(limit, most, neighbours + 1, TOO_MANY)
        return None

    def _too_often(self, door: Door, origin: Origin, limits: Limits) -> LimitHit | None:
        if not (limits.connection_rate or limits.connection_rate_per_source):
            return None
        now = self._monotonic()
        own = self.minute_of(origin, door).add(Doing.CONNECTIONS, now)
        if limits.connection_rate_per_source and own > limits.connection_rate_per_source:
            return LimitHit("connection-rate-per-source", limits.connection_rate_per_source, own, TOO_OFTEN)
        if limits.connection_rate:
            minute = self._door_rates.get(door.name)
            if minute is None:
                minute = self._door_rates[door.name] = DoorMinute()
            if not minute.lets_in(own, limits.connection_rate, now):
                return LimitHit("connection-rate", limits.connection_rate, minute.came, TOO_OFTEN)
        return None


def _less(tally: Tally[tuple[str, str]], key: tuple[str, str]) -> None:
    """One less, and nothing is kept of who has none."""
    tally[key] -= 1
    if tally[key] <= 0:
        del tally[key]
