"""Which of our addresses a connection is made from."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Final

from gatepost.config.settings import SendConnector
from gatepost.model.fault import WorldFault
from gatepost.routing.addresses import canonical_address

_ANY: Final = ("0.0.0.0", "::")  # noqa: S104  # compared only
SYSTEM_CHOOSES: Final = ("",)


@dataclass(slots=True)
class Sources:
    """Chooses from source-addresses. One for each worker; remembers whose turn it is."""

    _turns: dict[str, int] = field(default_factory=dict)

    def order(self, connector: str, settings: SendConnector, ip: str, *, destination: str) -> tuple[str, ...]:
        """The addresses to connect to `ip` from, the first choice first; "" leaves it to the system.

        destination: the next hop's key. With source-choice = "by-destination" it alone decides, over restarts
        and in every worker, so that a host that greylists sees the same address again (threats N10).
        Raises WorldFault when source-addresses has none of the family of `ip`.
        """
        if not settings.source_addresses or not ip:
            return SYSTEM_CHOOSES
        fitting = [a for a in map(_canonical, settings.source_addresses) if (":" in a) == (":" in ip)]
        if not fitting:
            family = "IPv6" if ":" in ip else "IPv4"
            raise WorldFault(f"source-addresses of {connector} has no {family} address to reach {ip} from")
        first = self._first(connector, settings, destination) % len(fitting)
        return tuple("" if a in _ANY else a for a in (*fitting[first:], *fitting[:first]))

    def _first(self, connector: str, settings: SendConnector, destination: str) -> int:
        if settings.source_choice == "by-destination":
            return zlib.crc32(destination.encode())
        turn = self._turns.get(connector, 0)
        self._turns[connector] = turn + 1
        return turn


def _canonical(text: str) -> str:
    return canonical_address(text) or text
