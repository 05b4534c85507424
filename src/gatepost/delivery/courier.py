"""Carries one parcel: finds a host that listens, hands the mail over, says what became of each recipient."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.delivery.authentication import Credentials
from gatepost.delivery.connection import LOOP, NO_STARTTLS, NextHopConnection, StaleConnection, TlsFailed
from gatepost.delivery.outcome import Attempt, Fate, Outcome, all_alike
from gatepost.delivery.parked import ParkedConnections
from gatepost.delivery.sources import Sources
from gatepost.delivery.taken import Taken
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
from gatepost.routing.link_policies import HopPolicy, HostLink, LinkPolicies, PublishedPolicy, SmartHostPolicy
from gatepost.routing.link_tls import link_tls_of
from gatepost.routing.next_hop import HopKind, NextHop

CONNECTING_LIMIT_S: Final = 300.0
"""All hosts of one next hop together (threats N15)."""
_STALE_LIMIT: Final = 50
_LINKS_LIMIT: Final = 10_000

FindHosts = Callable[[NextHop], Awaitable[Hosts]]
"""routing.hosts.hosts_of with the resolver and our own names and addresses."""


class Results(Protocol):
    """Collects how TLS went, for reports to the domains (RFC 8460)."""

    def note(
        self,
        *,
        domain: str,
        published: PublishedPolicy,
        result: str,
        host: str,
        ip: str,
        local_ip: str,
        why: str,
    ) -> None:
        """One connection. result: the word of RFC 8460 §4.3, "" when it went well."""


_TWIN: Final = (
    "451 4.4.6 the smart host greets with our own name: it leads to us, or two gateways have one hostname"
)


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
        policies: LinkPolicies | None = None,
        results: Results | None = None,
    ) -> None:
        """logs: where connections are written down. policies: what domains publish about TLS; None: nothing counts.

        results: where is noted how TLS went, for reports.
        """
        self._dialer = dialer
        self._find_hosts = find_hosts
        self._bodies = bodies
        self._body_path = body_path
        self._monotonic = monotonic
        self._own = own
        self._counters = counters
        self._log = log
        self._logs = logs
        self._policies = policies
        self._results = results
        self._sources = Sources()
        self.parked = ParkedConnections()
        self._links: dict[str, LinkTls] = {}
        """By next hop: worked out once, as the configuration of a courier does not change."""

    async def carry(
        self, parcel: Parcel, content: Content, line: Line, taken: Taken | None = None
    ) -> tuple[Attempt, Line | None]:
        """One attempt over an open line, or a new one where the old one had died unnoticed.

        taken: hears of recipients that were answered while others are still waited for.
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
                attempt = await self._hand_over(parcel, content, line, taken)
            except StaleConnection:
                line = await self.line_to(line.next_hop, proven=proven)
                continue
            if line.connection.broke_in_envelope:
                line = await self.line_to(line.next_hop, pipelining=False, proven=proven)
                attempt = await self._hand_over(parcel, content, line, taken)
            return attempt, self._kept(line)
        line.connection.close()
        raise NoHost(f"{line.host.name} closes every connection at once")

    async def line_to(self, next_hop: NextHop, *, pipelining: bool = True, proven: bool = False) -> Line:
        """A parked connection, or a new one to the first host that will have us. Raises NoHost, NeverThere.

        proven: to one that proves who it is, whatever the connector says.
        """
        settled = self._link(next_hop)
        link = settled.proven if proven else settled
        if pipelining and (found := self.parked.of_hop(next_hop.key, link)):
            return Line(next_hop, *found)
        if self._policies is not None:
            self._policies.expect(next_hop, settled)
        hosts = await self._find_hosts(next_hop)
        if isinstance(hosts, Failure):
            self._failed(next_hop, next_hop.domain or next_hop.key, hosts.text)
            if hosts.permanent:
                raise NeverThere(hosts.reply, hosts.text)
            raise NoHost(hosts.text)
        policy = await self._policy(next_hop, settled)
        until = self._monotonic() + CONNECTING_LIMIT_S
        reasons: list[str] = []
        for host in hosts.hosts:
            if self._monotonic() >= until:
                break
            try:
                sources = self._sources.order(
                    next_hop.connector, next_hop.settings, host.ip, destination=next_hop.key
                )
                asked = await self._asked(policy, next_hop, host, link)
                if pipelining and (found := self._parked_at(next_hop, host, sources[0], asked.link)):
                    return Line(next_hop, *found)
                connection = await self._open(next_hop, host, sources, until, asked)
                connection.asked = link
            except WorldFault as fault:
                reasons.append(fault.reason)
                self._failed(next_hop, host.name, fault.reason)
                continue
            except PeerFault as fault:
                if next_hop.kind is not HopKind.SMART_HOST or not fault.facts.get("greeted"):
                    raise NeverThere(fault.reply, str(fault.reply), host=host.name) from fault
                reasons.append(
                    f"{_TWIN} ({host.name})"
                )  # a mistake of ours: no mail is lost by it (decision 0385)
                self._failed(next_hop, host.name, reasons[-1])
                continue
            connection.pipelining = pipelining
            return Line(next_hop, host, connection)
        raise NoHost(reasons[-1] if reasons else f"no answer within {CONNECTING_LIMIT_S:.0f} s")

    async def _policy(self, next_hop: NextHop, link: LinkTls) -> HopPolicy | SmartHostPolicy | None:
        """What the next hop's domain or smart hosts publish. Raises NoHost when that must be known and is not."""
        if self._policies is None:
            return None
        try:
            return await self._policies.of(next_hop, link)
        except WorldFault as fault:
            self._failed(next_hop, next_hop.domain or next_hop.key, fault.reason)
            raise NoHost(f"451 4.7.5 {fault.reason}") from fault

    async def _asked(
        self, policy: HopPolicy | SmartHostPolicy | None, next_hop: NextHop, host: Host, link: LinkTls
    ) -> HostLink:
        """What is asked of TLS with one host. Raises WorldFault when it must not be used."""
        if policy is None:
            return HostLink(link=link)
        try:
            asked = await policy.link_to(host)
        except WorldFault as fault:
            self._counters.add("delivery_tls_policy_failures", 1, connector=next_hop.connector)
            self._log.write(
                "warning", "tls-policy-failed", domain=policy.domain, host=host.name, why=fault.reason
            )
            self._noted(next_hop, host, HostLink(link=link), fault)
            raise
        if link.proves_the_peer and not asked.link.proves_the_peer:
            return HostLink(link=link)  # a mail with REQUIRETLS, whatever the domain publishes
        if asked.problem:
            self._noted(next_hop, host, asked, WorldFault(asked.problem, tls_result=asked.problem))
        return asked

    def _noted(
        self, next_hop: NextHop, host: Host, asked: HostLink, fault: WorldFault | None, *, local_ip: str = ""
    ) -> None:
        """For the report to the domain; only what TLS has to do with. fault: None when it went well."""
        if self._results is None or not next_hop.domain:
            return
        result = "" if fault is None else str(fault.facts.get("tls_result", ""))
        if fault is None or result:
            published = asked.published if fault is None else fault.facts.get("published", asked.published)
            assert isinstance(published, PublishedPolicy)
            self._results.note(
                domain=next_hop.domain,
                published=published,
                result=result,
                host=host.name,
                ip=host.ip,
                local_ip=local_ip,
                why="" if fault is None else fault.reason,
            )

    def _parked_at(
        self, next_hop: NextHop, host: Host, source: str, link: LinkTls
    ) -> tuple[Host, NextHopConnection] | None:
        any_source = next_hop.settings.source_choice == "round-robin"
        return self.parked.of_host(next_hop.connector, host, link, local_ip="" if any_source else source)

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
        except NeverThere:
            got = True
            self.park(line)
            raise
        finally:
            if not got:
                line.connection.close()
        self.park(line)
        return better

    async def _hand_over(self, parcel: Parcel, content: Content, line: Line, taken: Taken | None) -> Attempt:
        connection = line.connection

        def attempt(outcomes: Sequence[Outcome]) -> Attempt:
            tls = connection.tls.version if connection.tls else ""
            return Attempt(outcomes=tuple(outcomes), host=line.host.name, ip=line.host.ip, tls=tls)

        handed_over = False
        try:
            outcomes = await connection.hand_over(
                parcel.mail,
                parcel.recipients,
                content,
                self._bodies,
                self._body_path,
                None if taken is None else lambda outcomes: taken.note(attempt(outcomes)),
            )
            handed_over = True
        finally:
            if not handed_over:  # broken off from outside, or by a bug: in the middle of anything
                connection.close()
        return attempt(outcomes)

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
        self, next_hop: NextHop, host: Host, sources: Sequence[str], until: float, asked: HostLink
    ) -> NextHopConnection:
        if asked.trial is not None:
            try:
                return await self._tried(next_hop, host, sources, until, asked, asked.trial)
            except WorldFault as fault:
                if "tls_result" not in fault.facts:
                    raise  # the host does not answer, or not in time: a policy has nothing to do with it
        link = asked.link
        try:
            # A Unix socket leads to this machine: nothing is to be hidden there.
            return await self._tried(
                next_hop, host, sources, until, asked, link, in_the_clear=bool(host.path)
            )
        except TlsFailed as fault:
            if link.is_demanded:
                raise
            # RFC 7435: some encryption is better than none, and none is better than no mail; but
            # the broken conversation is never continued (threats D23).
            self._counters.add("delivery_tls_fallbacks", 1, connector=next_hop.connector)
            self._log.write(
                "warning", "tls-fallback", next_hop=next_hop.key, host=host.name, why=fault.reason
            )
            connection = await self._open_once(next_hop, host, sources, until, link, in_the_clear=True)
            connection.without_tls_because = fault.reason
            return connection

    async def _tried(
        self,
        next_hop: NextHop,
        host: Host,
        sources: Sequence[str],
        until: float,
        asked: HostLink,
        link: LinkTls,
        *,
        in_the_clear: bool = False,
    ) -> NextHopConnection:
        """One connection, and how its TLS went is noted."""
        try:
            connection = await self._open_once(
                next_hop, host, sources, until, link, in_the_clear=in_the_clear
            )
        except WorldFault as fault:
            if link.policy and "tls_result" in fault.facts:
                self._counters.add("delivery_tls_policy_failures", 1, connector=next_hop.connector)
                self._log.write(
                    "warning",
                    "tls-policy-failed",
                    domain=next_hop.domain,
                    host=host.name,
                    why=fault.reason,
                )
            self._noted(next_hop, host, asked, fault)
            raise
        if connection.tls is None:
            in_clear = WorldFault(f"{host.name} does not offer STARTTLS", tls_result=NO_STARTTLS)
            self._noted(next_hop, host, asked, in_clear, local_ip=connection.wire.local_ip)
        elif not asked.problem and (asked.trial is None or link is asked.trial):
            self._noted(next_hop, host, asked, None, local_ip=connection.wire.local_ip)
        return connection

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
        self,
        next_hop: NextHop,
        host: Host,
        sources: Sequence[str],
        until: float,
        link: LinkTls,
        *,
        in_the_clear: bool = False,
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
            link=link,
            now=self._policies.clock.now if self._policies is not None else _no_time,
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
    return offers.starttls if connection.tls is None else offers.require_tls


def refused(parcel: Parcel, fault: NeverThere) -> Attempt:
    """The attempt of a parcel whose next hop will never be there."""
    return Attempt(outcomes=all_alike(parcel.recipients, Fate.FAILED, fault.reply))


def _no_time() -> float:
    """Without policies nothing is judged by its dates."""
    return 0.0
