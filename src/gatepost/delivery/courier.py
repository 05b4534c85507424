"""Carries one parcel: finds a host that listens, hands the mail over, says what became of each recipient."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gatepost.delivery.authentication import Credentials
from gatepost.delivery.connection import LOOP, NextHopConnection, StaleConnection, TlsFailed
from gatepost.delivery.outcome import Attempt, Fate, all_alike
from gatepost.delivery.parked import ParkedConnections
from gatepost.delivery.sources import Sources
from gatepost.delivery.watch import OutgoingLogs, Watch
from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.bodies import BodyFiles
from gatepost.ports.log import Counters, Log
from gatepost.ports.wire import Dialer, OutgoingWire
from gatepost.protocol.smtp_client import ClientEngine
from gatepost.queue.active import Parcel
from gatepost.records.wire_log import endpoint
from gatepost.routing.hosts import Failure, Host, Hosts
from gatepost.routing.next_hop import NextHop

CONNECTING_LIMIT_S: Final = 300.0
"""All hosts of one next hop together (threats N15)."""
_STALE_LIMIT: Final = 50

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
        self._sources = Sources()
        self.parked = ParkedConnections()

    async def carry(self, parcel: Parcel, content: Content, line: Line) -> tuple[Attempt, Line | None]:
        """One attempt over an open line, or a new one where the old one had died unnoticed.

        Returns what became of everybody, and the line when it can be used again.
        Raises NoHost or NeverThere when no new line could be had.
        """
        verified = parcel.mail.require_tls and line.connection.may_require_tls
        if verified and not line.connection.is_verified:
            # RFC 8689 §4.2.1: only to a host that has shown who it is, whatever the connector's tls says.
            try:
                fresh = await self.line_to(line.next_hop, verified=True)
            except NoHost as fault:
                text = f"450 4.7.10 REQUIRETLS was asked for, and no host could be verified: {fault.reason}"
                return Attempt(outcomes=all_alike(parcel.recipients, Fate.DEFERRED, text)), self._kept(line)
            except NeverThere:
                self.park(line)
                raise
            self.park(line)
            line = fresh
        for _ in range(_STALE_LIMIT):
            try:
                attempt = await self._hand_over(parcel, content, line)
            except StaleConnection:
                line = await self.line_to(line.next_hop, verified=verified)
                continue
            if line.connection.broke_in_envelope:
                line = await self.line_to(line.next_hop, pipelining=False, verified=verified)
                attempt = await self._hand_over(parcel, content, line)
            return attempt, self._kept(line)
        line.connection.close()
        raise NoHost(f"{line.host.name} closes every connection at once")

    async def line_to(self, next_hop: NextHop, *, pipelining: bool = True, verified: bool = False) -> Line:
        """A parked connection, or a new one to the first host that will have us. Raises NoHost, NeverThere.

        verified: a new one, to the first host that has a certificate for its name.
        """
        may_be_parked = pipelining and not verified
        if may_be_parked and (found := self.parked.of_hop(next_hop.key)):
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
            if self._monotonic() >= until:
                break
            try:
                sources = self._sources.order(
                    next_hop.connector, next_hop.settings, host.ip, destination=next_hop.key
                )
                if may_be_parked and (found := self._parked_at(next_hop, host, sources[0])):
                    return Line(next_hop, *found)
                connection = await self._open(next_hop, host, sources, until, verified=verified)
            except WorldFault as fault:
                reasons.append(fault.reason)
                self._failed(next_hop, host.name, fault.reason)
                continue
            except PeerFault as fault:
                raise NeverThere(fault.reply, str(fault.reply), host=host.name) from fault
            connection.pipelining = pipelining
            return Line(next_hop, host, connection)
        raise NoHost(reasons[-1] if reasons else f"no answer within {CONNECTING_LIMIT_S:.0f} s")

    def _parked_at(self, next_hop: NextHop, host: Host, source: str) -> tuple[Host, NextHopConnection] | None:
        any_source = next_hop.settings.source_choice == "round-robin"
        return self.parked.of_host(next_hop.connector, host, local_ip="" if any_source else source)

    def park(self, line: Line) -> None:
        """The lane has no more mail: somebody else may."""
        self.parked.park(line.next_hop.key, line.next_hop.connector, line.host, line.connection)

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
            remote=host.path or endpoint(wire.peer_ip, host.port),
            with_protocol=next_hop.settings.protocol_log,
        )

    def _kept(self, line: Line) -> Line | None:
        if line.connection.usable:
            return line
        line.connection.close()
        return None

    async def _open(
        self, next_hop: NextHop, host: Host, sources: Sequence[str], until: float, *, verified: bool
    ) -> NextHopConnection:
        tls = "verified" if verified else next_hop.settings.tls
        if host.path:
            tls = "none"
        try:
            return await self._open_once(next_hop, host, sources, until, tls)
        except TlsFailed as fault:
            if tls != "opportunistic":
                raise
            # RFC 7435: some encryption is better than none, and none is better than no mail; but
            # the broken conversation is never continued (threats D23).
            self._counters.add("delivery_tls_fallbacks", 1, connector=next_hop.connector)
            self._log.write(
                "warning", "tls-fallback", next_hop=next_hop.key, host=host.name, why=fault.reason
            )
            return await self._open_once(next_hop, host, sources, until, "none")

    async def _dial(
        self, next_hop: NextHop, host: Host, sources: Sequence[str], until: float
    ) -> OutgoingWire:
        """From the first of our addresses that can be used. Raises WorldFault."""
        timeout_s = min(next_hop.settings.connect_timeout_s, max(0.1, until - self._monotonic()))
        for source in sources[:-1]:
            try:
                return await self._dialer.connect(
                    host.path or host.ip, host.port, source_address=source, timeout_s=timeout_s
                )
            except WorldFault as fault:
                if not fault.facts.get("no_source"):
                    raise
                self._log.write("error", "source-address-unusable", address=source, why=fault.reason)
        return await self._dialer.connect(
            host.path or host.ip, host.port, source_address=sources[-1], timeout_s=timeout_s
        )

    async def _open_once(
        self, next_hop: NextHop, host: Host, sources: Sequence[str], until: float, tls: str
    ) -> NextHopConnection:
        settings = next_hop.settings
        our_name = settings.hostname or self._own.hostname
        wire = await self._dial(next_hop, host, sources, until)
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
            watch=self._watch(next_hop, host, wire),
        )
        opened = False
        try:
            credentials = self._own.credentials.get(next_hop.connector)
            patience_s = max(0.1, until - self._monotonic())
            await connection.open(our_name, tls=tls, credentials=credentials, timeout_s=patience_s)
            opened = True
        finally:
            if not opened:
                connection.close()
        self._counters.add("delivery_connections", 1, connector=next_hop.connector)
        return connection


def refused(parcel: Parcel, fault: NeverThere) -> Attempt:
    """The attempt of a parcel whose next hop will never be there."""
    return Attempt(outcomes=all_alike(parcel.recipients, Fate.FAILED, fault.reply))
