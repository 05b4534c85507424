"""Carries one parcel: finds a host that listens, hands the mail over, says what became of each recipient."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from gatepost.delivery.authentication import Credentials
from gatepost.delivery.connection import LOOP, NextHopConnection, StaleConnection, TlsFailed
from gatepost.delivery.outcome import Attempt, Fate, all_alike
from gatepost.delivery.parked import ParkedConnections
from gatepost.delivery.watch import OutgoingLogs, Watch
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.link_tls import LinkTls
from gatepost.ports.bodies import BodyFiles
from gatepost.ports.log import Counters, Log
from gatepost.ports.wire import Dialer, OutgoingWire
from gatepost.protocol.smtp_client import ClientEngine
from gatepost.queue.active import Parcel
from gatepost.records.wire_log import endpoint
from gatepost.routing.hosts import Failure, Host, Hosts
from gatepost.routing.link_tls import link_tls_of
from gatepost.routing.next_hop import NextHop

CONNECTING_LIMIT_S: Final = 300.0
"""All hosts of one next hop together (threats N15)."""
_STALE_LIMIT: Final = 50
_LINKS_LIMIT: Final = 10_000

FindHosts = Callable[[NextHop], Awaitable[Hosts]]
"""routing.hosts.hosts_of with the resolver and our own names and addresses."""


class NoHost(WorldFault):
    """No host of the next hop could be spoken to: the other mails for it need not try now."""


class NeverThere(PeerFault):
    """The next hop cannot take this mail, today or tomorrow: no such domain, or the way leads back to us."""


@dataclass(slots=True)
class Line:
    """A connection in use by a lane, and where it goes."""

    next_hop: NextHop
    host: Host
    connection: NextHopConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnName:
    """Who we are, and the passwords of our smart hosts by connector.

    wildcard_ports: ports we listen on at every address of the machine.
    """

    hostname: str
    wildcard_ports: frozenset[int] = frozenset()
    credentials: Mapping[str, Credentials] = dataclasses.field(default_factory=dict)


class Courier:
    """Deliveries by SMTP and LMTP."""

    def __init__(
        self,
        *,
        dialer: Dialer,
        find_hosts: FindHosts,
        bodies: BodyFiles,
        body_path: Callable[[SpooledBody], str],
        monotonic: Callable[[], float],
        own: OwnName,
        counters: Counters,
        log: Log,
        logs: OutgoingLogs | None = None,
    ) -> None:
        """logs: where connections are written down."""
        self._dialer = dialer
        self._find_hosts = find_hosts
        self._bodies = bodies
        self._body_path = body_path
        self._monotonic = monotonic
        self._own = own
        self._counters = counters
        self._log = log
        self._logs = logs
        self.parked = ParkedConnections()
        self._links: dict[str, LinkTls] = {}
        """By next hop: worked out once, as the configuration of a courier does not change."""

    async def carry(self, parcel: Parcel, content: Content, line: Line) -> tuple[Attempt, Line | None]:
        """One attempt over an open line, or a new one where the old one had died unnoticed.

        Returns what became of everybody, and the line when it can be used again.
        Raises NoHost or NeverThere when no new line could be had.
        """
        proven = parcel.mail.require_tls and line.connection.peer_is_proven
        if parcel.mail.require_tls and _would_do_if_proven(line.connection):
            better = await self._proven(line)
            if isinstance(better, str):
                return Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, better)), self._kept(line)
            line, proven = better, True
        for _ in range(_STALE_LIMIT):
            try:
                attempt = await self._hand_over(parcel, content, line)
            except StaleConnection:
                line = await self.line_to(line.next_hop, proven=proven)
                continue
            if line.connection.broke_in_envelope:
                line = await self.line_to(line.next_hop, pipelining=False, proven=proven)
                attempt = await self._hand_over(parcel, content, line)
            return attempt, self._kept(line)
        line.connection.close()
        raise NoHost(f"{line.host.name} closes every connection at once")

    async def line_to(self, next_hop: NextHop, *, pipelining: bool = True, proven: bool = False) -> Line:
        """A parked connection, or a new one to the first host that will have us. Raises NoHost, NeverThere.

        proven: to one that proves who it is, whatever the connector says.
        """
        link = self._link(next_hop).proven if proven else self._link(next_hop)
        if pipelining and (found := self.parked.of_hop(next_hop.key, link)):
            return Line(next_hop, *found)
        hosts = await self._find_hosts(next_hop)
        if isinstance(hosts, Failure):
            self._failed(next_hop, next_hop.domain or next_hop.key, hosts.text)
            if hosts.permanent:
                raise NeverThere(hosts.reply, hosts.text)
            raise NoHost(hosts.text)
        until = self._monotonic() + CONNECTING_LIMIT_S
        reasons: list[str] = []
        for host in hosts.hosts:
            if pipelining and (found := self.parked.of_host(next_hop.connector, host, link)):
                return Line(next_hop, *found)
            if self._monotonic() >= until:
                break
            try:
                connection = await self._open(next_hop, host, until, link)
            except WorldFault as fault:
                reasons.append(fault.reason)
                self._failed(next_hop, host.name, fault.reason)
                continue
            except PeerFault as fault:
                raise NeverThere(fault.reply, str(fault.reply), host=host.name) from fault
            connection.pipelining = pipelining
            return Line(next_hop, host, connection)
        raise NoHost(reasons[-1] if reasons else f"no answer within {CONNECTING_LIMIT_S:.0f} s")

    def park(self, line: Line) -> None:
        """The lane has no more mail: somebody else may."""
        self.parked.park(line.next_hop.key, line.next_hop.connector, line.host, line.connection)

    def _link(self, next_hop: NextHop) -> LinkTls:
        link = self._links.get(next_hop.key)
        if link is None:
            if len(self._links) >= _LINKS_LIMIT:
                self._links.clear()
            link = self._links[next_hop.key] = link_tls_of(next_hop)
        return link

    async def _proven(self, line: Line) -> Line | str:
        """A line to the same hop that proves who it is (RFC 8689 §4.2.1); why not, as a reply, when there is none."""
        got = False
        try:
            better = await self.line_to(line.next_hop, proven=True)
            got = True
        except NoHost as fault:
            got = True
            return f"450 4.7.10 REQUIRETLS was asked for: {fault.reason}"
        finally:
            if not got:
                line.connection.close()
        self.park(line)
        return better

    async def _hand_over(self, parcel: Parcel, content: Content, line: Line) -> Attempt:
        connection = line.connection
        handed_over = False
        try:
            outcomes = await connection.hand_over(
                parcel.mail, parcel.recipients, content, self._bodies, self._body_path
            )
            handed_over = True
        finally:
            if not handed_over:  # broken off from outside, or by a bug: in the middle of anything
                connection.close()
        tls = connection.tls.version if connection.tls else ""
        return Attempt(outcomes=outcomes, host=line.host.name, ip=line.host.ip, tls=tls)

    def _failed(self, next_hop: NextHop, host: str, why: str) -> None:
        if self._logs is not None:
            self._logs.failed(connector=next_hop.connector, host=host, why=why)

    def _watch(self, next_hop: NextHop, host: Host, wire: OutgoingWire) -> Watch | None:
        if self._logs is None:
            return None
        return self._logs.opened(
            connector=next_hop.connector,
            host=host.name,
            local=wire.local_ip,
            remote=endpoint(wire.peer_ip, host.port),
            with_protocol=next_hop.settings.protocol_log,
        )

    def _kept(self, line: Line) -> Line | None:
        if line.connection.usable:
            return line
        line.connection.close()
        return None

    async def _open(self, next_hop: NextHop, host: Host, until: float, link: LinkTls) -> NextHopConnection:
        try:
            return await self._open_once(next_hop, host, until, link)
        except TlsFailed as fault:
            if link.is_demanded:
                raise
            # RFC 7435: some encryption is better than none, and none is better than no mail; but
            # the broken conversation is never continued (threats D23).
            self._counters.add("delivery_tls_fallbacks", 1, connector=next_hop.connector)
            self._log.write(
                "warning", "tls-fallback", next_hop=next_hop.key, host=host.name, why=fault.reason
            )
            return await self._open_once(next_hop, host, until, link, in_the_clear=True)

    async def _open_once(
        self, next_hop: NextHop, host: Host, until: float, link: LinkTls, *, in_the_clear: bool = False
    ) -> NextHopConnection:
        settings = next_hop.settings
        our_name = settings.hostname or self._own.hostname
        timeout_s = min(settings.connect_timeout_s, max(0.1, until - self._monotonic()))
        wire = await self._dialer.connect(
            host.ip, host.port, source_address=settings.source_address, timeout_s=timeout_s
        )
        if wire.peer_ip == wire.local_ip and host.port in self._own.wildcard_ports:
            # Both ends are this machine, where every address of that port is ours (threats L02).
            wire.close()
            raise PeerFault(LOOP, "the next hop is this gateway", host=host.name)
        connection = NextHopConnection(
            wire=wire,
            engine=ClientEngine(our_name, lmtp=settings.delivery == "lmtp"),
            settings=settings,
            host=host.name,
            monotonic=self._monotonic,
            link=link,
            watch=self._watch(next_hop, host, wire),
        )
        opened = False
        try:
            credentials = self._own.credentials.get(next_hop.connector)
            patience_s = max(0.1, until - self._monotonic())
            await connection.open(
                our_name,
                link=link.in_the_clear if in_the_clear else link,
                credentials=credentials,
                timeout_s=patience_s,
            )
            opened = True
        finally:
            if not opened:
                connection.close()
        self._counters.add("delivery_connections", 1, connector=next_hop.connector)
        return connection


def _would_do_if_proven(connection: NextHopConnection) -> bool:
    """A mail with REQUIRETLS needs another connection to this host: this one may lead to anybody."""
    offers = connection.engine.offers
    if connection.peer_is_proven:
        return False
    return offers.require_tls or (connection.tls is None and offers.starttls)


def refused(parcel: Parcel, fault: NeverThere) -> Attempt:
    """The attempt of a parcel whose next hop will never be there."""
    return Attempt(outcomes=all_alike(parcel.recipients, Fate.FAILED, fault.reply))
