"""Joins the parts of a worker for one configuration, in the order in which a mail needs them from the end.

What is outside - the machine or a simulation of it - comes with `Lasting`; what is in force already, and whose settings
are the same, is kept.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from itertools import chain

from gatepost.adapters.list_feeds import ListFeeds
from gatepost.config.load import Configuration
from gatepost.control.worker import WorkerCommands, WorkerFace
from gatepost.delivery.call_forward import Surroundings
from gatepost.facts.provider_desk import ProviderDesk
from gatepost.main.accounts import sending_accounts_of
from gatepost.main.directories import RecipientSources, recipient_sources
from gatepost.main.dns_desk import DnsMonitorDuty
from gatepost.main.ground import Ground, ground_of
from gatepost.main.joining_incoming import Incoming, join_incoming
from gatepost.main.joining_outgoing import Outgoing, join_outgoing
from gatepost.main.lasting import Lasting
from gatepost.main.list_sources import LIST_TABLES, lists_of
from gatepost.main.logs import reopen_log
from gatepost.main.outbound_tls import FIRST_WORKER
from gatepost.main.pressure_watch import resource_states, why_no_mail
from gatepost.main.report_keeping import report_duty
from gatepost.main.worker import Worker
from gatepost.policy import assembly
from gatepost.policy.fuses import Fuses
from gatepost.policy.runner import PolicyRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Judging:
    """What is known and thought of a mail."""

    recipients: RecipientSources
    feeds: ListFeeds
    providers: ProviderDesk
    runner: PolicyRunner
    fuses: Fuses


def build(configuration: Configuration, lasting: Lasting, before: Worker | None) -> Worker:
    """Join everything. Raises WorldFault, and nothing that is in force has changed then."""
    ground = ground_of(configuration, lasting, before)
    outgoing = join_outgoing(ground)
    judging = _judging(ground)
    incoming = join_incoming(ground, outgoing, judging.runner)
    settings, resolver, world = ground.settings, ground.resolver, lasting.world
    return Worker(
        settings=settings,
        lasting=lasting,
        desk=incoming.desk,
        runner=judging.runner,
        fuses=judging.fuses,
        doors=incoming.doors,
        intake=incoming.intake,
        commands=_commands(ground, outgoing, incoming, judging.fuses),
        store=lasting.store,
        clock=lasting.clock,
        router=ground.router,
        scheduler=outgoing.scheduler,
        listener=incoming.listener,
        control=before.control if before else world.control(settings, lasting.number, lasting.answer),
        recipients=judging.recipients,
        feeds=judging.feeds,
        providers=judging.providers,
        resolver=resolver,
        wire_logs=outgoing.wire_logs,
        watch=incoming.watch,
        brake=incoming.brake,
        tokens=incoming.tokens,
        certificates=incoming.certificates,
        tasks=set(),
        outbound_tls=outgoing.outbound_tls,
        dmarc_reports=outgoing.dmarc_reports,
        report_duty=report_duty(settings, lasting, resolver),
        dns_monitor=_dns_monitor(ground),
    )


def _judging(ground: Ground) -> Judging:
    settings, lasting, resolver = ground.settings, ground.lasting, ground.resolver
    recipients = _recipients(ground)
    feeds, providers = _lists(ground)
    fuses = _fuses(ground)
    runner = assembly.build(
        settings,
        ground.configuration.agents,
        accepted=ground.accepted,
        resolver=resolver,
        directory=recipients,
        log=lasting.log,
        counters=lasting.counters,
        revision=ground.configuration.revision,
        shared=lasting.shared,
        lists=lasting.lists,
        providers=providers,
        lookup=resolver,
        bodies=lasting.store,
        return_paths=ground.return_paths,
        scanner=lasting.world.scanner(settings),
        sending_accounts=sending_accounts_of(settings, monotonic=lasting.system_clock.monotonic),
        fuses=fuses,
    )
    return Judging(recipients=recipients, feeds=feeds, providers=providers, runner=runner, fuses=fuses)


def _fuses(ground: Ground) -> Fuses:
    lasting = ground.lasting
    return Fuses(
        ground.settings.policy.faults,
        shared=lasting.shared,
        log=lasting.log,
        counters=lasting.counters,
        now=lasting.system_clock.now,
        monotonic=lasting.system_clock.monotonic,
        blame=lasting.blame,
    )


def _recipients(ground: Ground) -> RecipientSources:
    settings, lasting, world = ground.settings, ground.lasting, ground.lasting.world
    if kept := ground.kept("recipients", "directories", "accepted_domains", "dns", "server", "reports"):
        return kept.recipients  # with the last good lists
    around = Surroundings(
        dialer=world.dialer,
        resolver=ground.resolver,
        randomness=world.randomness,
        monotonic=world.clock.monotonic,
        hostname=settings.server.hostname,
        log=lasting.log,
        counters=lasting.counters,
    )
    return recipient_sources(settings, ground.accepted, around, world.clock)


def _lists(ground: Ground) -> tuple[ListFeeds, ProviderDesk]:
    lasting, before = ground.lasting, ground.before
    if kept := ground.kept(*LIST_TABLES):
        return kept.feeds, kept.providers
    return lists_of(
        ground.settings,
        ground.resolver,
        lasting.system_clock,
        lasting.counters,
        lasting.log,
        before.feeds if before else None,
        dialer=lasting.world.dialer,
    )


def _commands(ground: Ground, outgoing: Outgoing, incoming: Incoming, fuses: Fuses) -> WorkerCommands:
    settings, lasting, router = ground.settings, ground.lasting, ground.router
    log, counters, clock = lasting.log, lasting.counters, lasting.clock
    listener, pressure, resolver = incoming.listener, incoming.desk.pressure, ground.resolver
    return WorkerCommands(
        lasting.store,
        face=WorkerFace(
            worker=lasting.number,
            process_id=os.getpid(),
            started_at=lasting.started_at,
            revision=ground.configuration.revision,
            hostname=settings.server.hostname,
            sessions=lambda: listener.session_count,
            samples=lambda: chain(
                counters.samples(),
                resolver.samples(),
                fuses.samples(),
                lasting.store.samples(),
                (("log_lines_dropped", (), float(log.dropped)),),
            ),
            reopen_log=lambda: reopen_log(log, settings.log),
            connectors=listener.status,
            set_connector=partial(listener.hold, timeout_s=settings.server.stop_timeout_s),
            take_configuration=lasting.take,
            clock_jump_s=lambda: clock.jump_s,
            confirm_clock=clock.confirm,
            resources=partial(resource_states, pressure),
            stressed=lambda: listener.stressed,
            why_not_accepting=partial(why_no_mail, pressure),
            shared_problem=lasting.shared_problem,
            certificates=incoming.certificates.shown,
            plug_ins_off=fuses.off,
        ),
        clock=clock,
        route=router.key_for,
        notice_about=outgoing.notices.about_removed(lasting.store.content),
        deliveries=outgoing.scheduler,
        queue=settings.queue,
    )


def _dns_monitor(ground: Ground) -> DnsMonitorDuty | None:
    lasting = ground.lasting
    if lasting.number != FIRST_WORKER:
        return None
    return DnsMonitorDuty(
        ground.settings,
        ground.resolver,
        dialer=lasting.world.dialer,
        clock=lasting.clock,
        log=lasting.log,
        counters=lasting.counters,
    )
