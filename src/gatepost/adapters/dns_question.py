"""One question on its way: tries, servers, datagrams, TCP, until there is an answer or no time left."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gatepost.adapters import dns_wire
from gatepost.adapters.dns_cache import Key
from gatepost.adapters.dns_health import AVOID_S, answered, was_silent
from gatepost.adapters.dns_tcp import ask_by_tcp
from gatepost.adapters.dns_udp import NameServer, Ticket
from gatepost.adapters.dns_wire import Answer, Malformed, Rcode, ServerRefusal, Truncated

TRIES_LEAST: Final = 3
TRIES_PER_SERVER: Final = 2


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """What the askers get when nobody knows: why, for the administrator."""

    reason: str


Outcome = Answer | NoAnswer
Concluded = Callable[["Question", Outcome], None]


class Question:
    """Asks one name and type, and tells the outcome to everybody who waits for it.

    An earlier try keeps its place while later ones are sent: a late answer is an answer.
    `concluded` is called once, from the event loop. `heard`: a server said something.
    """

    __slots__ = (
        "_asked",
        "_concluded",
        "_done",
        "_failed",
        "_loop",
        "_oddities",
        "_order",
        "_sent_at",
        "_tcp",
        "_tickets",
        "_timer",
        "_tries",
        "_tries_limit",
        "_try_s",
        "_until",
        "begun_at",
        "heard",
        "key",
        "network",
        "waiters",
    )

    def __init__(
        self, key: Key, servers: Sequence[NameServer], timeout_s: float, concluded: Concluded
    ) -> None:
        """servers: in the order in which they are asked."""
        self.key = key
        self.network = ""
        """Of the client for whose mail it is asked."""
        self.waiters: list[asyncio.Future[Outcome]] = []
        self._concluded = concluded
        self._loop = asyncio.get_running_loop()
        self._asked = dns_wire.question(*key, chance=os.urandom(dns_wire.NAME_LIMIT_BYTES))
        now = self._loop.time()
        self.begun_at = self._sent_at = now
        self._order = servers
        self.heard = False
        self._failed: dict[NameServer, str] = {}
        self._oddities: dict[NameServer, str] = {}
        self._done = False
        self._tickets: list[Ticket] = []
        self._tcp: asyncio.Task[None] | None = None
        self._tries = 0
        self._tries_limit = max(TRIES_LEAST, TRIES_PER_SERVER * len(servers))
        self._try_s = timeout_s / self._tries_limit
        self._timer: asyncio.TimerHandle | None = None
        self._until = now + timeout_s

    def begin(self) -> None:
        """Send the first try."""
        self._try_next()

    def datagram(self, server: NameServer, data: bytes) -> bool:
        """See Waiting. A forged or broken datagram never ends the question (M06, M13)."""
        if not dns_wire.is_reply_to(data, self._asked):
            if dns_wire.differs_in_case(data, self._asked):
                self._ask_by_tcp(server)
            return False
        try:
            answer = dns_wire.read_reply(data, self._asked, self.key[1], trust_ad=server.trust_ad)
        except Truncated:
            self._ask_by_tcp(server)
        except Malformed as error:
            self.heard = True
            self._oddities[server] = str(error)
            return False
        except ServerRefusal as error:
            self._server_refused(server, error)
        else:
            self._answered(server, answer)
        return True

    def refused(self, server: NameServer) -> None:
        """See Waiting."""
        server.avoid_until = self._loop.time() + AVOID_S
        self._server_failed(server, "nobody listens there")

    def cancel(self) -> None:
        """Stop at once: the resolver closes."""
        self._conclude(NoAnswer("the resolver is closed"))

    def _server_refused(self, server: NameServer, error: ServerRefusal) -> None:
        """RFC 6891 §7: a server of old times answers FORMERR to EDNS, and is asked without it."""
        self.heard = True
        if error.rcode == Rcode.FORMERR and server.edns:
            server.edns = False
            self._send(server)
            return
        self._server_failed(server, str(error))

    def _server_failed(self, server: NameServer, why: str) -> None:
        if self._done:
            return
        server.refusals += 1
        self._failed[server] = why
        if all(other in self._failed for other in self._order):
            self._conclude(NoAnswer(self._reasons()))
        else:
            self._try_next()

    def _try_next(self) -> None:
        if self._timer:
            self._timer.cancel()
        wait_s = min(self._try_s, self._until - self._loop.time())
        left = [server for server in self._order if server not in self._failed] or self._order
        server = left[self._tries % len(left)]
        if self._tries:
            self._sent_at = self._loop.time()
        self._tries += 1
        self._timer = self._loop.call_later(max(wait_s, 0), self._silent, server)
        self._send(server)

    def _send(self, server: NameServer) -> None:
        asked = self._asked
        edns = server.edns
        ticket = server.ask(self, lambda query_id: dns_wire.query(query_id, asked, edns=edns))
        if ticket is None:
            self._loop.call_soon(self._unsendable, server)
        else:
            self._tickets.append(ticket)

    def _unsendable(self, server: NameServer) -> None:
        if not self._done:
            self.refused(server)

    def _silent(self, server: NameServer) -> None:
        server.silences += 1
        was_silent(server, self._try_s, self._loop.time())
        if self._tries < self._tries_limit and self._loop.time() < self._until:
            self._try_next()
        else:
            self._give_up()

    def _give_up(self) -> None:
        for server in self._order:
            self._failed.setdefault(server, self._oddities.get(server, "no answer"))
        self._conclude(NoAnswer(self._reasons()))

    def _reasons(self) -> str:
        return "; ".join(f"{server.address}: {why}" for server, why in self._failed.items())

    def _ask_by_tcp(self, server: NameServer) -> None:
        self.heard = True
        if self._tcp is None:
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_at(self._until, self._give_up)
            self._tcp = self._loop.create_task(self._converse_by_tcp(server))

    async def _converse_by_tcp(self, server: NameServer) -> None:
        try:
            async with asyncio.timeout(2 * self._try_s):
                answer = await ask_by_tcp(server, self._asked, self.key[1])
        except (OSError, Malformed, ServerRefusal) as error:
            self._tcp = None
            self._server_failed(server, f"by TCP: {str(error) or 'no answer'}")
        else:
            self._tcp = None
            self._answered(server, answer)

    def _answered(self, server: NameServer, answer: Answer) -> None:
        took_s = self._loop.time() - self._sent_at
        self.heard = True
        server.answers += 1
        server.wait_s += took_s
        answered(server, self._order, took_s)
        self._conclude(answer)

    def _conclude(self, outcome: Outcome) -> None:
        if self._done:
            return
        self._done = True
        if self._timer:
            self._timer.cancel()
        if self._tcp:
            self._tcp.cancel()
        for ticket in self._tickets:
            ticket.drop()
        self._concluded(self, outcome)
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(outcome)
