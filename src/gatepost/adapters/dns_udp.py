"""Datagrams to one name server: a few connected sockets, many questions on each.

A socket is connected, so the kernel drops what other addresses send, and a dead server is
known at once from the ICMP error. Which of the sockets (source ports) and which id a question
gets is chance; after some time a socket is replaced by one with another port (RFC 5452).
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

SOCKETS_LIMIT: Final = 4
"""A power of two: one octet of chance chooses among them evenly."""
QUESTIONS_PER_SOCKET: Final = 2000
DATAGRAM_LIMIT_BYTES: Final = 4096
READS_LIMIT: Final = 64
"""Datagrams taken in one turn of the event loop; the others wait in the kernel."""
IDS_LIMIT: Final = 16384
"""Questions waiting on one socket: a quarter of the ids, so chance stays chance."""


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a name server listens."""

    host: str
    port: int = 53

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Waiting(Protocol):
    """A question that waits for its answer."""

    def datagram(self, server: NameServer, data: bytes) -> bool:
        """A datagram with the question's id came. True: it was the answer. False: keep listening."""

    def refused(self, server: NameServer) -> None:
        """Nobody listens there."""


class NameServer:
    """One server: its sockets, and whether it has been silent lately."""

    def __init__(self, address: ServerAddress, *, trust_ad: bool = False) -> None:
        self.address = address
        self.trust_ad = trust_ad
        """Whether its word that an answer is validated counts (M11)."""
        self.edns = True
        self.avoid_until = 0.0
        """Until then (monotonic) others are asked first: it did not answer."""
        self.dropped = 0
        """Datagrams that were nobody's answer."""
        self.answers = 0
        self.refusals = 0
        """Times it said that it does not know (SERVFAIL, REFUSED and the like), or nobody listened there."""
        self.silences = 0
        self.wait_s = 0.0
        """For all answers together."""
        self.usual_s = 0.0
        """Its smoothed time to answer; 0: not known."""
        self._ports: list[_Port] = []
        self._retired: set[_Port] = set()

    def ask(self, waiting: Waiting, build: Callable[[int], bytes]) -> Ticket | None:
        """Send build(id) from a chance port with a chance id; None when it cannot be sent."""
        try:
            port = self._port()
        except OSError:
            return None
        return port.ask(waiting, build)

    def close(self) -> None:
        """Close every socket. Waiting questions hear nothing more."""
        for port in [*self._ports, *self._retired]:
            port.close()
        self._ports.clear()
        self._retired.clear()

    def _port(self) -> _Port:
        while len(self._ports) < SOCKETS_LIMIT:
            self._ports.append(_Port(self))
        at = os.urandom(1)[0] % SOCKETS_LIMIT
        port = self._ports[at]
        if port.asked >= QUESTIONS_PER_SOCKET or port.is_full:
            self._ports[at] = _Port(self)
            self._retire(port)
            port = self._ports[at]
        return port

    def _retire(self, port: _Port) -> None:
        """Keep it for the answers that are still to come."""
        port.retired = True
        if port.is_idle:
            port.close()
        else:
            self._retired.add(port)

    def _forget(self, port: _Port) -> None:
        port.close()
        self._retired.discard(port)
        if port in self._ports:
            self._ports.remove(port)


class _Port:
    """One connected socket."""

    def __init__(self, server: NameServer) -> None:
        self.server = server
        self.asked = 0
        self.retired = False
        self._waiting: dict[int, Waiting] = {}
        address = server.address
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.connect((address.host, address.port))
        except OSError:
            self._socket.close()
            raise
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= IDS_LIMIT

    @property
    def is_idle(self) -> bool:
        return not self._waiting

    def ask(self, waiting: Waiting, build: Callable[[int], bytes]) -> Ticket | None:
        query_id = _chance_id()
        while query_id in self._waiting:
            query_id = _chance_id()
        self.asked += 1
        try:
            self._socket.send(build(query_id))
        except OSError:
            return None
        self._waiting[query_id] = waiting
        return Ticket(self, query_id)

    def drop(self, query_id: int) -> None:
        """Nobody waits for this id any more."""
        self._waiting.pop(query_id, None)
        if self.retired and not self._waiting:
            self.server._forget(self)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _readable(self) -> None:
        """Read on only while somebody waits: what else comes wakes us again."""
        for number in range(READS_LIMIT):
            if self._socket.fileno() < 0 or (number and not self._waiting):
                return
            try:
                data = self._socket.recv(DATAGRAM_LIMIT_BYTES)
            except BlockingIOError:
                return
            except OSError:
                self._break()
                return
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Wrong id, wrong question: dropped, and we keep listening for the real answer (TuDoor)."""
        waiting = self._waiting.get(data[0] << 8 | data[1]) if len(data) >= 12 else None
        if waiting is None or not waiting.datagram(self.server, data):
            self.server.dropped += 1

    def _break(self) -> None:
        """Nobody listens there. A socket that had an error is not used again: uvloop stops to watch it."""
        self.server._forget(self)
        for waiting in list(dict.fromkeys(self._waiting.values())):
            waiting.refused(self.server)


def _chance_id() -> int:
    """As secrets.randbits(16), in half the time."""
    return int.from_bytes(os.urandom(2), "big")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place on a socket: an id that answers may come for."""

    _port: _Port
    _query_id: int

    def drop(self) -> None:
        """Stop waiting."""
        self._port.drop(self._query_id)
