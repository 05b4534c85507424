"""What a session becomes when its client is a relay of ours; and the suspicion that one is not listed."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from msgspec.structs import replace

from gatepost.message.headers import HeaderIndex
from gatepost.message.origin import origin_behind
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.session import Rights, Session
from gatepost.ports.log import Counters, Log

SOURCES_LOOKED_AT: Final = 1000
_PRIVATE: Final = "private addresses"
_TEXT: Final = (
    "the last {number} mails of strangers came from {source}: when that is a relay of yours, name it in "
    "server.internal-relays, else it is judged as the sender of everything"
)


def behind_relay(session: Session, index: HeaderIndex, relays: IpRanges) -> tuple[Session, Session]:
    """The session as it is recorded, and as it is judged: with the origin's address, and with its HELO, too.

    Both are new values, and have the relay's own address as origin when no Received field tells another.
    """
    origin = origin_behind(index.all(b"received"), relays)
    if origin is None:
        return session, replace(session)
    recorded = replace(session, origin_ip=origin.address)
    return recorded, replace(recorded, helo=origin.helo)


class SourceWatch:
    """Warns when all mail of strangers comes from one address, or from private ones. Costs a comparison a mail."""

    def __init__(self, log: Log, counters: Counters) -> None:
        self._log = log
        self._counters = counters
        self._source = ""
        self._number = 0

    def note(self, session: Session) -> None:
        """A mail came in."""
        if session.user or Rights.INTERNAL in session.rights:
            return
        source = _source_of(session.client_ip)
        if source == self._source:
            self._number += 1
            if self._number == SOURCES_LOOKED_AT:
                self._warn()
            return
        if self._number >= SOURCES_LOOKED_AT:
            self._counters.set("single_source", 0)
        self._source, self._number = source, 1

    def _warn(self) -> None:
        self._counters.set("single_source", 1)
        text = _TEXT.format(number=SOURCES_LOOKED_AT, source=self._source)
        self._log.write("warning", "single-source", source=self._source, text=text)


@lru_cache(maxsize=4096)
def _source_of(client_ip: str) -> str:
    return _PRIVATE if ip_address(client_ip.partition("%")[0]).is_private else client_ip
