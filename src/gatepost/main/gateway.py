"""`gatepost run`: checks that it can, prepares the state directory, then supervises."""

from __future__ import annotations

import os
import pwd
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gatepost.adapters.tls import self_signed
from gatepost.adapters.world import SystemClock
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.main.configuration import load_configuration
from gatepost.main.control_process import run_control
from gatepost.main.logs import open_direct_log, reopen_log
from gatepost.main.places import state_directory, tls_directory, workers_of
from gatepost.main.preload import import_everything
from gatepost.main.stores import former_workers
from gatepost.main.supervisor import Supervisor, prepare_state
from gatepost.main.worker import run_worker
from gatepost.model.fault import WorldFault

UMASK = 0o077


def run_gateway(path: str) -> int:
    """Run in the foreground until told to stop; the exit status. Raises ConfigurationErrors, WorldFault."""
    os.umask(UMASK)
    configuration = load_configuration(path)
    settings = configuration.settings
    log = open_direct_log(settings.log, "supervisor")
    for warning in configuration.warnings:
        log.write("warning", "configuration", text=str(warning))
    import_everything(settings.server.event_loop)
    prepare_state(state_directory(settings), settings.server.user)
    _prepare_certificates(settings)
    former = former_workers(settings, workers_of(settings))
    supervisor = Supervisor(
        configuration=configuration,
        load=partial(load_configuration, path),
        worker=run_worker,
        control=partial(_control, (*range(workers_of(settings)), *former)),
        log=log,
        workers=workers_of(settings),
        former=former,
        reopen_log=partial(reopen_log, log, settings.log),
    )
    return supervisor.run()


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
