"""The `gatepost` command: the command line joined to the world it controls."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from gatepost.cli import build
from gatepost.cli.world import AccountBook, ControlWorld, DnsDesk
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.ports.store import StoreReader

if TYPE_CHECKING:
    from gatepost.control.gateway import AnyGatewayCommand, AnyGatewayReply
    from gatepost.control.links import WorkerLink

# Each function imports what it needs when it is called: `gatepost version` must not pay for a mail server.


def main() -> None:
    """The console script. Exits with the command's status."""
    build(
        ControlWorld(
            load=_load,
            run=_run,
            lab=_lab,
            readers=_readers,
            links=_links,
            running=_running,
            gateway=_gateway,
            accounts=_accounts,
            dns=_dns,
            now=time.time,
        )
    )()


def _load(path: str) -> Configuration:
    from gatepost.main.configuration import load_configuration

    return load_configuration(path)


def _run(path: str) -> int:
    from gatepost.main.gateway import run_gateway

    return run_gateway(path)


def _lab(arguments: Sequence[str]) -> int:
    from gatepost.lab import run

    return run(arguments)


def _readers(settings: Settings) -> AbstractContextManager[Sequence[StoreReader]]:
    from gatepost.main.stores import readers

    return readers(settings)


def _links(configuration: Configuration) -> AbstractContextManager[Sequence[WorkerLink]]:
    from gatepost.main.stores import links

    return links(configuration)


def _running(settings: Settings) -> Sequence[WorkerLink]:
    from gatepost.main.stores import running

    return running(settings)


def _gateway(settings: Settings, command: AnyGatewayCommand) -> AnyGatewayReply:
    from gatepost.main.stores import tell_gateway

    return tell_gateway(settings, command)


def _dns(settings: Settings) -> DnsDesk:
    from gatepost.main.dns_desk import DnsAtHand

    return DnsAtHand(settings)


def _accounts(settings: Settings) -> AccountBook:
    from gatepost.adapters.accounts import AccountsFile
    from gatepost.main.places import accounts_file

    return AccountsFile(str(accounts_file(settings)))
