"""Joins what delivers mail under one configuration."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.delivery.scheduler import Scheduler
from gatepost.main.deliveries import deliveries_of
from gatepost.main.dmarc_reports import REPORT_TABLES, DmarcReporter, dmarc_reporter
from gatepost.main.ground import Ground
from gatepost.main.notice_writer import NoticeWriter, house_of
from gatepost.main.outbound_tls import OutboundTlsParts, outbound_tls_parts, tls_reporter
from gatepost.main.wire_logs import WireLogFiles, open_wire_logs


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What delivers."""

    notices: NoticeWriter
    wire_logs: WireLogFiles
    outbound_tls: OutboundTlsParts
    dmarc_reports: DmarcReporter | None
    scheduler: Scheduler


def join_outgoing(ground: Ground) -> Outgoing:
    """Nothing is started. Raises WorldFault."""
    settings, lasting, router = ground.settings, ground.lasting, ground.router
    randomness = lasting.world.randomness
    notices = NoticeWriter(
        house=house_of(settings, ground.accepted, router),
        clock=lasting.clock,
        randomness=randomness,
        ids=lasting.ids,
        counters=lasting.counters,
    )
    kept = ground.kept("wire_logs", "receive_connectors", "send_connectors")
    wire_logs = kept.wire_logs if kept else open_wire_logs(settings, lasting.number, lasting.system_clock)
    outbound_tls = _outbound_tls(ground)
    kept = ground.kept(*REPORT_TABLES)
    dmarc_reports = (
        kept.dmarc_reports if kept else dmarc_reporter(settings, lasting, ground.resolver, router, randomness)
    )
    scheduler = deliveries_of(
        settings,
        lasting,
        ground.resolver,
        router,
        notices,
        accepted=ground.accepted,
        randomness=randomness,
        wire_logs=wire_logs,
        outbound_tls=outbound_tls,
        return_paths=ground.return_paths,
        dmarc_reporter=dmarc_reports,
    )
    return Outgoing(
        notices=notices,
        wire_logs=wire_logs,
        outbound_tls=outbound_tls,
        dmarc_reports=dmarc_reports,
        scheduler=scheduler,
    )


def _outbound_tls(ground: Ground) -> OutboundTlsParts:
    settings, lasting, world = ground.settings, ground.lasting, ground.lasting.world
    kept = ground.kept("outbound_tls", "dns", "send_connectors", "server", "accepted_domains", "queue")
    if kept:
        return kept.outbound_tls
    return outbound_tls_parts(
        settings,
        ground.resolver,
        lasting.number,
        dialer=world.dialer,
        clock=lasting.clock,
        log=lasting.log,
        counters=lasting.counters,
        before=ground.before.outbound_tls if ground.before else None,
        reporter=tls_reporter(settings, lasting, ground.resolver, ground.router, world.randomness),
    )
