"""Mail goes out: couriers, signer and scheduler of one configuration, joined."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from gatepost.config.own_names import own_names
from gatepost.config.settings import Settings
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.courier import Courier, OwnName
from gatepost.delivery.delays import Delays
from gatepost.delivery.maildir import MaildirCourier
from gatepost.delivery.outside import Outside
from gatepost.delivery.scheduler import Scheduler
from gatepost.delivery.settling import Settling
from gatepost.main.dmarc_reports import DmarcReporter, heeding_failures
from gatepost.main.lasting import Lasting
from gatepost.main.notice_writer import NoticeWriter
from gatepost.main.outbound_tls import OutboundTlsParts
from gatepost.main.report_keeping import report_inbox
from gatepost.main.return_paths import spf_asker
from gatepost.main.signing_keys import signer_of
from gatepost.main.smart_hosts import smart_host_logins
from gatepost.main.sockets import bindings_of, split_binding
from gatepost.main.wire_logs import WireLogFiles
from gatepost.main.world import NameServers
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.ports.resolver import Resolver
from gatepost.ports.world import Randomness
from gatepost.routing.hosts import Hosts, hosts_of
from gatepost.routing.next_hop import NextHop, Router
from gatepost.standards.return_paths import ReturnPaths


def deliveries_of(
    settings: Settings,
    lasting: Lasting,
    resolver: NameServers,
    router: Router,
    notices: NoticeWriter,
    *,
    accepted: AcceptedDomains,
    randomness: Randomness,
    wire_logs: WireLogFiles,
    outbound_tls: OutboundTlsParts,
    return_paths: ReturnPaths | None,
    dmarc_reporter: DmarcReporter | None = None,
) -> Scheduler:
    """The scheduler, not started. Raises WorldFault when a key cannot be read."""
    store, system_clock = lasting.store, lasting.system_clock
    return Scheduler(
        outside=Outside(
            store=store,
            in_flight=store.in_flight,
            clock=lasting.clock,
            randomness=randomness,
            counters=lasting.counters,
            log=lasting.log,
            neighbours=lasting.neighbours,
        ),
        router=router,
        attempts=Attempts(
            store=store,
            courier=_courier(settings, lasting, resolver, randomness, wire_logs, outbound_tls),
            maildir=MaildirCourier(
                maildirs=lasting.world.maildirs,
                bodies=store,
                body_path=store.body_path,
                clock=system_clock,
                hostname=settings.server.hostname,
                log=lasting.log,
            ),
            signer=signer_of(settings, accepted, store, now=system_clock.now, counters=lasting.counters),
            reports=report_inbox(settings, lasting),
            return_paths=return_paths,
            publishes_spf=spf_asker(resolver, settings.dns.timeout_s),
        ),
        settling=_settling(settings, lasting, notices, randomness, dmarc_reporter),
        settings=settings,
    )


def _courier(
    settings: Settings,
    lasting: Lasting,
    resolver: NameServers,
    randomness: Randomness,
    wire_logs: WireLogFiles,
    outbound_tls: OutboundTlsParts,
) -> Courier:
    """Who speaks SMTP and LMTP to next hops."""
    return Courier(
        dialer=lasting.world.dialer,
        find_hosts=_finder(settings, resolver, randomness),
        bodies=lasting.store,
        body_path=lasting.store.body_path,
        monotonic=lasting.system_clock.monotonic,
        own=OwnName(
            hostname=settings.server.hostname,
            wildcard_ports=_wildcard_ports(settings),
            credentials=smart_host_logins(settings, randomness),
        ),
        counters=lasting.counters,
        log=lasting.log,
        logs=wire_logs.outgoing(lasting.system_clock, randomness),
        policies=outbound_tls.policies,
        results=outbound_tls.reporter,
    )


def _settling(
    settings: Settings,
    lasting: Lasting,
    notices: NoticeWriter,
    randomness: Randomness,
    dmarc_reporter: DmarcReporter | None,
) -> Settling:
    """What an attempt changes, and who is told."""
    return Settling(
        queue=settings.queue,
        delivery=settings.delivery,
        hostname=settings.server.hostname,
        clock=lasting.clock,
        randomness=randomness,
        write_notice=heeding_failures(notices.failure, dmarc_reporter),
        write_report=notices.success,
        delays=Delays(
            after_s=settings.notices.delay_after_s,
            store=lasting.store,
            write=notices.delay,
            hostname=settings.server.hostname,
        ),
    )


def _finder(
    settings: Settings, resolver: Resolver, randomness: Randomness
) -> Callable[[NextHop], Awaitable[Hosts]]:
    """hosts_of, with what it needs to know of ourselves."""
    names = own_names(settings)
    addresses = frozenset(split_binding(binding) for binding in _bindings(settings))

    async def find(next_hop: NextHop) -> Hosts:
        return await hosts_of(
            next_hop,
            resolver,
            randomness=randomness,
            timeout_s=settings.dns.timeout_s,
            own_names=names,
            own_addresses=addresses,
        )

    return find


def _bindings(settings: Settings) -> Iterable[str]:
    return bindings_of(settings.receive_connectors)


def _wildcard_ports(settings: Settings) -> frozenset[int]:
    pairs = [split_binding(binding) for binding in _bindings(settings)]
    return frozenset(port for host, port in pairs if host in ("0.0.0.0", "::"))  # noqa: S104  # asks, does not bind
