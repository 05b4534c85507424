"""Joins what takes mail in under one configuration: logins, back pressure, doors, the listener behind them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from gatepost.adapters.certificate_watch import CertificateWatch
from gatepost.config.limit_settings import Intake
from gatepost.intake.account_rates import AccountRates
from gatepost.intake.counter import Counter
from gatepost.intake.door import Door
from gatepost.intake.failed_logins import FailedLogins
from gatepost.intake.guard import Guard
from gatepost.intake.listener import Listener
from gatepost.intake.log_brake import LogBrake
from gatepost.intake.log_in import LogInDesk
from gatepost.intake.pressure import Pressure, marks_of
from gatepost.intake.taking_in import TakingIn
from gatepost.main.accounts import accounts_of
from gatepost.main.descriptors import affordable
from gatepost.main.doors import doors_of
from gatepost.main.ground import Ground
from gatepost.main.guarding import guard_of
from gatepost.main.integrated import integrated_logins
from gatepost.main.joining_outgoing import Outgoing
from gatepost.main.pressure_watch import PressureWatch, watch_of
from gatepost.main.server_tls import certificate_watch
from gatepost.main.tokens import Tokens
from gatepost.main.world import DoorTls
from gatepost.policy.runner import PolicyRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """What takes mail in."""

    doors: dict[socket.socket, list[Door]]
    tls: Mapping[str, DoorTls]
    desk: Counter
    tokens: Tokens
    watch: PressureWatch
    brake: LogBrake
    intake: Intake
    listener: Listener
    certificates: CertificateWatch


def join_incoming(ground: Ground, outgoing: Outgoing, runner: PolicyRunner) -> Incoming:
    """Nobody comes in yet. runner: judges. Raises WorldFault."""
    settings, lasting, before = ground.settings, ground.lasting, ground.before
    brake = before.brake if before else LogBrake(lasting.log)
    guard = guard_of(
        settings,
        ground.configuration.agents,
        lasting.shared,
        lasting.lists,
        accepted=ground.accepted,
        clock=lasting.clock,
        counters=lasting.counters,
        log=brake,
    )
    tokens, log_in = _logins(ground, guard)
    pressure, watch = _pressure(ground)
    desk = Counter(
        taking_in=_taking_in(ground, outgoing),
        log_in=log_in,
        clock=lasting.clock,
        counters=lasting.counters,
        log=brake,
        pressure=pressure,
        protocol_log=outgoing.wire_logs.protocol,
        guarding=guard,
    )
    tls = lasting.world.door_tls(settings, lasting.system_clock.now())
    doors = doors_of(settings, lasting.sockets, tls)
    intake = affordable(settings.intake, lasting.log)
    listener = (
        before.listener
        if before
        else Listener(
            doors,
            runner,
            desk,
            clock=lasting.clock,
            randomness=lasting.world.randomness,
            intake=intake,
            neighbours=lasting.neighbours,
        )
    )
    return Incoming(
        doors=doors,
        tls=tls,
        desk=desk,
        tokens=tokens,
        watch=watch,
        brake=brake,
        intake=intake,
        listener=listener,
        certificates=certificate_watch(settings, tls, log=lasting.log, counters=lasting.counters),
    )


def _taking_in(ground: Ground, outgoing: Outgoing) -> TakingIn:
    lasting = ground.lasting
    return TakingIn(
        lasting.store,
        ground.router,
        lasting.ids,
        lasting.deliveries,
        ground.settings,
        clock=lasting.clock,
        counters=lasting.counters,
        log=lasting.log,
        notice=outgoing.notices.failure_as,
        return_paths=ground.return_paths,
        dmarc_reports=outgoing.dmarc_reports,
    )


def _logins(ground: Ground, guard: Guard) -> tuple[Tokens, LogInDesk]:
    settings, lasting, shared = ground.settings, ground.lasting, ground.lasting.shared
    clock = lasting.system_clock
    if kept := ground.kept("users", "dns", "harvest", "accepted_domains"):
        return kept.tokens, kept.desk.log_in
    tokens = Tokens(
        settings.users.tokens,
        ground.resolver,
        dialer=lasting.world.dialer,
        clock=lasting.clock,
        log=lasting.log,
    )
    log_in = LogInDesk(
        accounts=accounts_of(settings, monotonic=clock.monotonic),
        failures=FailedLogins(settings.users.lockout, shared=shared, now=clock.now),
        rates=AccountRates(settings.users.recipients_per_hour, shared=shared, now=clock.now),
        randomness=lasting.world.randomness,
        counters=lasting.counters,
        log=lasting.log,
        bearer=tokens.check,
        integrated=integrated_logins(settings.users),
        guard=guard,
    )
    return tokens, log_in


def _pressure(ground: Ground) -> tuple[Pressure, PressureWatch]:
    settings, lasting = ground.settings, ground.lasting
    if kept := ground.kept("back_pressure"):
        return kept.desk.pressure, kept.watch
    pressure = Pressure(marks_of(settings.back_pressure))
    watch = watch_of(
        settings,
        lasting.world.resources(settings, lasting.number),
        pressure,
        lasting.store,
        clock=lasting.clock,
        counters=lasting.counters,
        log=lasting.log,
    )
    return pressure, watch
