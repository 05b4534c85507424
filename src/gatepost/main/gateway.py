"""`gatepost run`: checks that it can, prepares the state directory, then supervises."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gatepost.adapters.control_socket import ask
from gatepost.adapters.tls import self_signed
from gatepost.adapters.world import SystemClock
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.control.commands import AnyCommand, Refused, decode_reply, encode
from gatepost.main.configuration import load_to_run
from gatepost.main.control_process import run_control
from gatepost.main.logs import change_log, open_direct_log, reopen_log
from gatepost.main.orders import Orders
from gatepost.main.places import control_socket, state_directory, tls_directory, workers_of
from gatepost.main.preload import import_everything
from gatepost.main.privileges import close_the_room
from gatepost.main.refusals import GatewayLock, prepare_state, refuse_to_start
from gatepost.main.scan_worker import run_scan, scan_workers_of
from gatepost.main.sockets import bindings_of
from gatepost.main.stores import former_workers
from gatepost.main.supervisor import Supervisor
from gatepost.main.systemd import Notifier, handed_over, matched
from gatepost.main.worker_life import run_worker
from gatepost.model.fault import WorldFault

ASK_TIMEOUT_S = 30.0
"""Patience with a worker that is told something."""


def run_gateway(path: str) -> int:
    """Run in the foreground until told to stop; the exit status. Raises ConfigurationErrors, WorldFault."""
    notifier, sockets = Notifier(os.environ), handed_over(os.environ)
    close_the_room(os.environ)
    configuration = load_to_run(path)
    settings = configuration.settings
    handed = matched(sockets, bindings_of(settings.receive_connectors))
    log = open_direct_log(settings.log, "supervisor")
    for warning in configuration.warnings:
        log.write("warning", "configuration", text=str(warning))
    import_everything(settings.server.event_loop)
    refuse_to_start(settings)
    prepare_state(state_directory(settings), settings.server.user)
    lock = GatewayLock(settings)
    _prepare_certificates(settings)
    former = former_workers(settings, workers_of(settings))
    orders = Orders(
        configuration=configuration,
        load=partial(load_to_run, path),
        ask=partial(_ask_worker, settings),
        log=log,
        change_log=partial(change_log, log),
        notifier=notifier,
        now=SystemClock().now,
    )
    supervisor = Supervisor(
        orders=orders,
        worker=run_worker,
        control=partial(_control, (*range(workers_of(settings)), *former)),
        log=log,
        scan=run_scan,
        scan_workers=scan_workers_of,
        workers=workers_of(settings),
        former=former,
        notifier=notifier,
        handed=handed,
        reopen_log=lambda: reopen_log(log, orders.configuration.settings.log),
        leave=lock.leave,
    )
    return supervisor.run()


def _ask_worker(settings: Settings, worker: int, command: AnyCommand) -> str:
    path = str(control_socket(settings, worker))
    try:
        reply = decode_reply(ask(path, encode(command), timeout_s=ASK_TIMEOUT_S))
    except ValueError as error:
        raise WorldFault(f"worker {worker} answered something else: {error}") from error
    return reply.reason if isinstance(reply, Refused) else ""


def _control(workers: Sequence[int], configuration: Configuration) -> int:
    return run_control(configuration, workers)


def _prepare_certificates(settings: Settings) -> None:
    """Make the certificate of our own once, before workers would make one each. Raises WorldFault."""
    needed = [c for c in settings.receive_connectors.values() if c.enabled and c.tls != "none"]
    if all(connector.certificate_file for connector in needed):
        return
    try:
        path = self_signed(tls_directory(settings), settings.server.hostname, now=SystemClock().now())
        _give_to(path, settings.server.user)
    except OSError as error:
        raise WorldFault(f"a certificate cannot be made in {tls_directory(settings)}: {error}") from error


def _give_to(path: Path, user: str) -> None:
    if user and os.getuid() == 0:
        account = pwd.getpwnam(user)
        for place in (path.parent, path):
            os.chown(place, account.pw_uid, account.pw_gid)
