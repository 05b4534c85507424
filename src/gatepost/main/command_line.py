"""The `gatepost` command: the command line joined to the world it controls."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from gatepost.cli import build
from gatepost.cli.world import AccountBook, ControlWorld, DirectoryDesk, DnsDesk, ReportDesk
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.ports.lists import AddressLists
from gatepost.ports.resolver import Lookup
from gatepost.ports.shared import SharedState
from gatepost.ports.store import StoreReader

if TYPE_CHECKING:
    from gatepost.control.gateway import AnyGatewayCommand, AnyGatewayReply
    from gatepost.control.links import WorkerLink
    from gatepost.control.played import Played
    from gatepost.control.scenario import Script
    from gatepost.facts.provider_desk import ProviderAnswer
    from gatepost.ports.resolver import LookedUp, RecordType
    from gatepost.standards.dkim import NoAnswer
    from gatepost.standards.dkim_sign import SigningKey

# Each function imports what it needs when it is called: `gatepost version` must not pay for a mail server.


def main() -> None:
    """The console script. Exits with the command's status."""
    if sys.stdout is None:  # closed by whoever called us: what nobody wants to read
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, TextIOWrapper
        ):  # what a terminal of another alphabet cannot show, it shows as \u...
            stream.reconfigure(errors="backslashreplace")
    build(
        ControlWorld(
            load=_load,
            in_force=_in_force,
            run=_run,
            lab=_lab,
            readers=_readers,
            links=_links,
            running=_running,
            gateway=_gateway,
            accounts=_accounts,
            look_up=_look_up,
            shared=_shared,
            lists=_lists,
            ask_providers=_ask_providers,
            directories=_directories,
            ask_dns=_ask_dns,
            ask_zone=_ask_zone,
            monotonic=time.monotonic,
            dkim_keys=_dkim_keys,
            texts=_texts,
            dns=_dns,
            reports=_reports,
            now=time.time,
            play=_play,
        )
    )()


def _load(path: str) -> Configuration:
    from gatepost.main.configuration import load_configuration

    return load_configuration(path)


def _in_force(path: str) -> Configuration | None:
    from gatepost.main.in_force import in_force

    return in_force(path)


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


def _lists(settings: Settings) -> AbstractContextManager[AddressLists]:
    from gatepost.main.list_book import open_lists

    return open_lists(settings)


def _ask_providers(settings: Settings, address: str, name: str) -> Sequence[ProviderAnswer]:
    from gatepost.main.list_sources import ask_providers

    return ask_providers(settings, address, name)


def _dns(settings: Settings) -> DnsDesk:
    from gatepost.main.dns_desk import DnsAtHand

    return DnsAtHand(settings)


def _reports(settings: Settings) -> ReportDesk:
    from gatepost.main.report_keeping import report_desk

    return report_desk(settings)


def _accounts(settings: Settings) -> AccountBook:
    from gatepost.adapters.accounts import AccountsFile
    from gatepost.main.places import accounts_file

    return AccountsFile(str(accounts_file(settings)))


def _look_up(settings: Settings, name: str, kind: RecordType) -> LookedUp:
    from gatepost.main.questions import ask_dns

    return ask_dns(settings, lambda resolver: resolver.look_up(name, kind, timeout_s=settings.dns.timeout_s))


def _directories(settings: Settings) -> DirectoryDesk:
    from gatepost.main.directory_desk import Desk

    return Desk(settings)


def _shared(settings: Settings) -> AbstractContextManager[SharedState]:
    from gatepost.main.stores import shared

    return shared(settings)


def _ask_dns(settings: Settings, asker: Callable[[Lookup], Coroutine[Any, Any, Any]]) -> Any:
    from gatepost.main.questions import ask_dns

    return ask_dns(settings, asker)


def _ask_zone(text: str, asker: Callable[[Lookup], Coroutine[Any, Any, Any]]) -> Any:
    from gatepost.main.questions import ask_zone

    return ask_zone(text, asker)


def _dkim_keys(settings: Settings) -> Sequence[tuple[str, SigningKey]]:
    from gatepost.main.signing_keys import all_keys

    return all_keys(settings.dkim_signing)


def _texts(settings: Settings, names: Sequence[str]) -> Mapping[str, Sequence[bytes] | NoAnswer]:
    from gatepost.facts.signed_content import find_keys
    from gatepost.main.questions import ask_dns

    return ask_dns(settings, lambda resolver: find_keys(names, resolver, timeout_s=settings.dns.timeout_s))


def _play(path: str, script: Script, flags: Mapping[str, Any]) -> Played:
    from gatepost.main.mail_test import play

    return play(path, script, flags)
