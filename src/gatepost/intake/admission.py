"""Who may come in: sessions counted in all, by connector, source and network, and how often somebody comes."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from typing import Final

from gatepost.config.limit_settings import Intake, Limits
from gatepost.intake.door import Door
from gatepost.intake.limit_hit import LimitHit
from gatepost.intake.rates import Counted, Doing, FairShare, Minute, Rates, TogetherMinute
from gatepost.model.origin import Origin
from gatepost.model.reply import Reply
from gatepost.ports.neighbours import Neighbours

TOO_MANY: Final = Reply(
    421,
    "4.3.2",
    "The maximum number of concurrent connections has been reached, closing transmission channel",
)
TOO_OFTEN: Final = Reply(421, "4.7.0", "Too many connections in a short time, closing transmission channel")


class Admission:
    """What one worker counts, and the sources and networks of all.

    monotonic: seconds. neighbours: None: there is no other worker.
    """

    def __init__(
        self, intake: Intake, *, monotonic: Callable[[], float], neighbours: Neighbours | None = None
    ) -> None:
        self._intake = intake
        self._monotonic = monotonic
        self._all = 0
        self._doors: Tally[str] = Tally()
        self._neighbours = neighbours
        self._open: Neighbours | _Alone = neighbours if neighbours is not None else _Alone()
        """Sessions by source, network and site of a connector."""
        self._rates = Rates(monotonic=monotonic)
        self._door_rates: dict[str, tuple[Counted, FairShare]] = {}

    def use(self, intake: Intake) -> None:
        """Other limits from now on; what was counted stays."""
        self._intake = intake

    def sessions(self, door: Door) -> int:
        """Open sessions of a connector."""
        return self._doors[door.name]

    def minute_of(self, origin: Origin, door: Door) -> Counted:
        """What a source did lately at a connector."""
        return self._minute(f"{door.name} {origin.source}")

    def _minute(self, key: str) -> Counted:
        if self._neighbours is not None:
            return TogetherMinute(key, self._neighbours)
        return self._rates.of(key)

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
        for key in _keys(door, origin):
            self._open.came(key)

    def gone(self, door: Door, origin: Origin) -> None:
        """A session is over."""
        self._all -= 1
        self._doors[door.name] -= 1
        for key in _keys(door, origin):
            self._open.gone(key)

    def _too_many(self, door: Door, origin: Origin, limits: Limits) -> LimitHit | None:
        keys = _keys(door, origin)
        sessions = self._open.sessions(keys[0])
        if sessions >= limits.connections_per_source:
            return LimitHit("connections-per-source", limits.connections_per_source, sessions + 1, TOO_MANY)
        free = door.capacity - self._doors[door.name]
        if sessions >= max(1, free * limits.source_share // 100) and limits.source_share < 100:
            return LimitHit("source-share", limits.source_share, sessions + 1, TOO_MANY)
        around = (
            ("connections-per-network", limits.connections_per_network),
            ("connections-per-site", limits.connections_per_site),
        )
        for (limit, most), key in zip(around, keys[1:], strict=False):
            neighbours = self._open.sessions(key)
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
            came, share = self._door_rates.get(door.name) or self._door_rate(door)
            count = came.add(Doing.CONNECTIONS, now)
            if not share.lets_in(own, count, limits.connection_rate, now):
                return LimitHit("connection-rate", limits.connection_rate, count, TOO_OFTEN)
        return None

    def _door_rate(self, door: Door) -> tuple[Counted, FairShare]:
        """All who come to a connector, and the parts of those who come too often."""

        def minute(what: str) -> Counted:
            key = f"{door.name} {what}"
            return Minute() if self._neighbours is None else TogetherMinute(key, self._neighbours)

        made = self._door_rates[door.name] = (minute("all"), FairShare(minute("sources"), minute("beyond")))
        return made


class _Alone:
    """ports.neighbours.Neighbours' sessions, of a worker that has none."""

    def __init__(self) -> None:
        self._sessions: Tally[int] = Tally()

    def came(self, key: int) -> None:
        self._sessions[key] += 1

    def gone(self, key: int) -> None:
        """Nothing is kept of who has none."""
        self._sessions[key] -= 1
        if self._sessions[key] <= 0:
            del self._sessions[key]

    def sessions(self, key: int) -> int:
        return self._sessions[key]


def _keys(door: Door, origin: Origin) -> tuple[int, ...]:
    """What a session is counted under: its source, its network, and for IPv6 its site."""
    source, network = hash((door.name, origin.source)), hash((door.name, origin.network))
    return (source, network, hash((door.name, origin.site))) if origin.site else (source, network)
