"""What the command line needs of the gateway and of the machine, handed in by `main`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # so that `gatepost --help` does not load the gateway
    from gatepost.config.load import Configuration
    from gatepost.config.settings import Settings
    from gatepost.control.dns_history import DnsHistory
    from gatepost.control.dns_survey import Survey
    from gatepost.control.dns_wizard import Plan
    from gatepost.control.gateway import AnyGatewayCommand, AnyGatewayReply
    from gatepost.control.links import WorkerLink
    from gatepost.ports.store import StoreReader


class Account(Protocol):
    """One account, without its password."""

    @property
    def user(self) -> str:
        """Its name."""

    @property
    def disabled(self) -> bool:
        """Its password is refused."""

    @property
    def scram(self) -> object | None:
        """What SCRAM needs; None for an account whose password is too old for it."""


class AccountBook(Protocol):
    """The accounts, for the administrator. Every method raises WorldFault when the file is out of reach."""

    def read(self) -> Mapping[str, Account]:
        """All of them, by name."""

    def knows(self, user: str) -> bool:
        """Whether there is an account of this name, however it is written."""

    def put(self, user: str, password: str) -> None:
        """Add one, or give it a new password. Raises ValueError for a bad name or password."""

    def disable(self, user: str) -> bool:
        """False when there is none of the name."""

    def enable(self, user: str) -> bool:
        """Its password counts again. False when there is none of the name."""

    def remove(self, user: str) -> bool:
        """False when there is none of the name."""


class DnsDesk(Protocol):
    """The DNS, for the administrator. Every method raises WorldFault."""

    def survey(self, domain: str, *, selectors: Sequence[str], addresses: Sequence[str]) -> Survey:
        """What a domain publishes about its mail."""

    def spf_lookups(self, domain: str, record: str) -> tuple[int, list[str]]:
        """How many look-ups a record would cost, and what is wrong with those it includes."""

    def publish(self, plan: Plan, *, zone: str, server: str, key_file: str) -> list[str]:
        """Change the zone on its server; what was done, in words."""

    def history(self, domain: str) -> DnsHistory | None:
        """What the monitor has seen; None for a domain it never looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlWorld:
    """Factories, so that a command pays only for what it uses."""

    load: Callable[[str], Configuration]
    """Reads the configuration file. Raises ConfigurationErrors."""
    run: Callable[[str], int]
    """`gatepost run` with the configuration of this path; the exit status. Raises WorldFault, ConfigurationErrors."""
    lab: Callable[[Sequence[str]], int]
    """`gatepost lab` with these arguments; the exit status."""
    readers: Callable[[Settings], AbstractContextManager[Sequence[StoreReader]]]
    """The stores of all workers, for looking. No store yet: an empty sequence."""
    links: Callable[[Configuration], AbstractContextManager[Sequence[WorkerLink]]]
    """The workers, for changing: by their sockets while they run, else by opening their stores under the lock."""
    running: Callable[[Settings], Sequence[WorkerLink]]
    """Only the workers that run and answer now; empty when the gateway is down."""
    gateway: Callable[[Settings, AnyGatewayCommand], AnyGatewayReply]
    """Tell the running gateway something and wait for its answer. Raises WorldFault when there is none."""
    accounts: Callable[[Settings], AccountBook]
    """The accounts file."""
    dns: Callable[[Settings], DnsDesk]
    """Looks at the DNS, and changes zones."""
    now: Callable[[], float]
    """Seconds since the epoch, UTC."""
