"""Connections kept open between mails, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gatepost.delivery.connection import NextHopConnection
from gatepost.model.link_tls import LinkTls
from gatepost.routing.hosts import Host

PARKED_LIMIT: Final = 500


@dataclass(slots=True, eq=False)
class _Place:
    """One connection that waits."""

    next_hop: str
    connector: str
    host: Host
    connection: NextHopConnection
    timer: asyncio.TimerHandle | None = None


class ParkedConnections:
    """Idle connections, found again by next hop, or by connector and host when another domain lives there.

    One that is not asked for within its connector's idle-timeout is closed.
    """

    def __init__(self) -> None:
        self._places: dict[str, list[_Place]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def park(self, next_hop: str, connector: str, host: Host, connection: NextHopConnection) -> None:
        """Keep it for the next mail; closed at once when it is of no more use, or there are too many."""
        idle_s = connection.settings.idle_timeout_s
        if not connection.usable or not idle_s or self._count >= PARKED_LIMIT:
            connection.close()
            return
        place = _Place(next_hop, connector, host, connection)
        place.timer = asyncio.get_running_loop().call_later(idle_s, self._expire, place)
        self._places.setdefault(next_hop, []).append(place)
        self._count += 1

    def of_hop(self, next_hop: str, link: LinkTls | None = None) -> tuple[Host, NextHopConnection] | None:
        """The one parked last that is as safe as `link`: the others grow old and close.

        link: by the settings; what the domain's policy asked for besides was asked when it was opened.
        """
        for place in reversed(self._places.get(next_hop, ())):
            if _is_as_safe(place, link) or _was_asked(place, link):
                return self._taken(place)
        return None

    def of_host(
        self, connector: str, host: Host, link: LinkTls | None = None, *, local_ip: str = ""
    ) -> tuple[Host, NextHopConnection] | None:
        """Any connection of this connector to this host and address that is as safe as `link`.

        local_ip: that comes from there, if not "".
        """

        def fits(place: _Place) -> bool:
            same = place.connector == connector and place.host == host
            return same and local_ip in ("", place.connection.wire.local_ip) and _is_as_safe(place, link)

        return self._first(fits)

    def close_all(self) -> None:
        """At the stop, or when routing changes."""
        while (found := self._first(lambda _: True)) is not None:
            found[1].close()

    def close_hop(self, next_hop: str) -> None:
        """What is parked for a hop that is being suspended or has failed."""
        while (found := self.of_hop(next_hop)) is not None:
            found[1].close()

    def _first(self, fits: Callable[[_Place], bool]) -> tuple[Host, NextHopConnection] | None:
        place = next((p for places in self._places.values() for p in places if fits(p)), None)
        return self._taken(place) if place is not None else None

    def _taken(self, place: _Place) -> tuple[Host, NextHopConnection]:
        if place.timer is not None:
            place.timer.cancel()
        places = self._places[place.next_hop]
        places.remove(place)
        if not places:
            del self._places[place.next_hop]
        self._count -= 1
        return place.host, place.connection

    def _expire(self, place: _Place) -> None:
        self._taken(place)
        place.connection.close()


def _is_as_safe(place: _Place, link: LinkTls | None) -> bool:
    """Opened for the same demands, or for more. None: any will do."""
    held = place.connection.link
    return link is None or held == link or held == link.proven


def _was_asked(place: _Place, link: LinkTls | None) -> bool:
    """Opened for these settings, and for a policy on top of them; it may prove the peer as well as `proven`."""
    connection = place.connection
    if connection.asked is None or link is None:
        return False
    return connection.asked == link or (connection.peer_is_proven and connection.asked.proven == link)
