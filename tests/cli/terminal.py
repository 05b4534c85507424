"""The command line against two fake workers: what is typed, what is answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from click.testing import CliRunner, Result
from tests.control.mailroom import NOW, Worker
from tests.standards.zones import Zones

from gatepost.adapters.accounts import AccountsFile
from gatepost.cli import build
from gatepost.cli.world import ControlWorld
from gatepost.config.load import Configuration, load
from gatepost.control.dns_history import DnsHistory
from gatepost.control.dns_survey import Survey
from gatepost.control.dns_wizard import Plan
from gatepost.control.gateway import AnyGatewayCommand, AnyGatewayReply, Reloaded
from gatepost.facts.provider_desk import ProviderAnswer
from gatepost.main.directory_desk import Desk
from gatepost.main.list_book import open_lists
from gatepost.main.mail_test import play
from gatepost.main.questions import ask_zone
from gatepost.main.report_keeping import report_desk
from gatepost.main.signing_keys import all_keys
from gatepost.policy.order import agent_settings, finding_names
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.resolver import LookedUp, RecordType
from gatepost.standards.dkim import NoAnswer


def load_real(path: str) -> Configuration:
    return load(path, agent_settings=agent_settings, finding_names=finding_names)


@dataclass
class FakeDesk:
    """cli.world.DnsDesk: what a survey finds, and what was published."""

    found: Survey = field(default_factory=lambda: Survey(domain="b.example"))
    lookups: int = 1
    held: DnsHistory | None = None
    published: list[tuple[Plan, str, str]] = field(default_factory=list)
    signed_by: str = ""

    def survey(self, domain: str, *, selectors: Sequence[str], addresses: Sequence[str]) -> Survey:
        return self.found

    def spf_lookups(self, domain: str, record: str) -> tuple[int, list[str]]:
        return self.lookups, []

    def publish(self, plan: Plan, *, zone: str, server: str, key_file: str, kerberos: str = "") -> list[str]:
        self.published.append((plan, zone, server))
        self.signed_by = key_file or kerberos
        return ["added something"]

    def history(self, domain: str) -> DnsHistory | None:
        return self.held


@dataclass
class Terminal:
    """A directory with a configuration, two workers, and somebody who types."""

    directory: Path
    workers: tuple[Worker, Worker] = field(default_factory=lambda: (Worker(0), Worker(1)))
    up: bool = True
    zones: Zones = field(default_factory=lambda: Zones({}))
    txt: dict[str, Sequence[bytes] | NoAnswer] = field(default_factory=dict)
    ran: list[str] = field(default_factory=list)
    lab: list[Sequence[str]] = field(default_factory=list)
    orders: list[AnyGatewayCommand] = field(default_factory=list)
    in_force: Configuration | None = None
    providers_say: Sequence[ProviderAnswer] = ()
    gateway_says: AnyGatewayReply = field(default_factory=lambda: Reloaded(revision="abc", workers=(0, 1)))

    names: dict[tuple[str, RecordType], LookedUp] = field(default_factory=dict)
    shared: MemoryShared = field(default_factory=lambda: MemoryShared(lambda: NOW))
    desk: FakeDesk = field(default_factory=FakeDesk)

    def __post_init__(self) -> None:
        self.configure()

    @property
    def file(self) -> Path:
        return self.directory / "gatepost.toml"

    def configure(self, more: str = "") -> None:
        self.file.write_text(
            f'[server]\nhostname = "mx.example.com"\nstate-directory = "{self.directory}"\n'
            f'[users]\nfile = "{self.directory}/users"\n{more}'
        )
        self.file.chmod(0o600)

    @property
    def world(self) -> ControlWorld:
        def run(path: str) -> int:
            load_real(path)
            self.ran.append(path)
            return 0

        def lab(arguments: Sequence[str]) -> int:
            self.lab.append(arguments)
            return 7

        return ControlWorld(
            load=load_real,
            in_force=lambda path: self.in_force,
            run=run,
            lab=lab,
            readers=lambda settings: contextlib.nullcontext([w.store for w in self.workers]),
            links=lambda configuration: contextlib.nullcontext(list(self.workers)),
            running=lambda settings: list(self.workers) if self.up else [],
            gateway=lambda settings, command: self.gateway(command),
            accounts=lambda settings: AccountsFile(settings.users.file),
            look_up=lambda settings, name, kind: self.names[name, kind],
            shared=lambda settings: contextlib.nullcontext(self.shared),
            ask_providers=lambda settings, address, name: self.providers_say,
            lists=lambda settings: open_lists(settings, now=lambda: NOW),
            directories=Desk,
            ask_dns=lambda settings, asker: asyncio.run(asker(self.zones)),
            ask_zone=ask_zone,
            monotonic=lambda: 0.0,
            dkim_keys=lambda settings: all_keys(settings.dkim_signing),
            texts=lambda settings, names: {name: self.txt.get(name, ()) for name in names},
            dns=lambda settings: self.desk,
            reports=report_desk,
            now=lambda: NOW,
            play=play,
        )

    def gateway(self, command: AnyGatewayCommand) -> AnyGatewayReply:
        self.orders.append(command)
        return self.gateway_says

    def type(self, *words: str, said: str = "") -> Result:
        """Without a terminal: what a script would get."""
        arguments = ["--config", str(self.file), *words]
        return CliRunner().invoke(build(self.world), arguments, input=said, prog_name="gatepost")
