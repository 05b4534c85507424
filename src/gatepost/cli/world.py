"""What the command line needs of the gateway and of the machine, handed in by `main`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:  # so that `gatepost --help` does not load the gateway
    from gatepost.config.load import Configuration
    from gatepost.config.settings import Settings
    from gatepost.control.dns_history import DnsHistory
    from gatepost.control.dns_survey import Survey
    from gatepost.control.dns_wizard import Plan
    from gatepost.control.gateway import AnyGatewayCommand, AnyGatewayReply
    from gatepost.control.links import WorkerLink
    from gatepost.control.played import Played
    from gatepost.control.scenario import Script
    from gatepost.facts.provider_desk import ProviderAnswer
    from gatepost.ports.lists import AddressLists
    from gatepost.ports.report_book import ReportBook
    from gatepost.ports.resolver import LookedUp, Lookup, RecordType
    from gatepost.ports.shared import SharedState
    from gatepost.ports.store import StoreReader
    from gatepost.standards.dkim import NoAnswer
    from gatepost.standards.dkim_sign import SigningKey


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

    def granted(self) -> Mapping[str, frozenset[str]]:
        """What users may send as besides themselves."""

    def grant(self, user: str, keys: AbstractSet[str]) -> None:
        """Let it send as these, too. Raises ValueError for a bad name and for too many."""

    def revoke(self, user: str, keys: AbstractSet[str]) -> frozenset[str]:
        """No longer as these. Those of them that it had not been given."""


class DnsDesk(Protocol):
    """The DNS, for the administrator. Every method raises WorldFault."""

    def survey(self, domain: str, *, selectors: Sequence[str], addresses: Sequence[str]) -> Survey:
        """What a domain publishes about its mail."""

    def spf_lookups(self, domain: str, record: str) -> tuple[int, list[str]]:
        """How many look-ups a record would cost, and what is wrong with those it includes."""

    def publish(self, plan: Plan, *, zone: str, server: str, key_file: str, kerberos: str = "") -> list[str]:
        """Change the zone on its server; what was done, in words. kerberos: the server's name, instead of a key."""

    def history(self, domain: str) -> DnsHistory | None:
        """What the monitor has seen; None for a domain it never looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryState:
    """One source of recipients. synced_at: seconds since the epoch, 0.0: never. problem: "" when there is none."""

    name: str
    type: str
    recipients: int
    synced_at: float
    problem: str


@dataclass(frozen=True, slots=True)
class DirectoryAnswer:
    """What one source says. answer: listed, listed for authenticated senders, not listed, unknown."""

    directory: str
    answer: str
    reason: str = ""


class Copied(Protocol):
    """What a copy brought."""

    @property
    def entries(self) -> int:
        """All recipients."""

    @property
    def added(self) -> int:
        """Those that were not there before."""

    @property
    def dropped(self) -> int:
        """Those that are not there any more."""

    @property
    def skipped(self) -> int:
        """Values that are no mail address."""

    @property
    def examples(self) -> tuple[str, ...]:
        """The first of them."""


class DirectoryDesk(Protocol):
    """The sources of recipients, for the administrator. Every method raises WorldFault."""

    def states(self) -> Sequence[DirectoryState]:
        """All of them."""

    def sync(self, name: str, *, accept_loss: bool) -> Copied | None:
        """Copy one now; None: somebody else does."""

    def ask(self, address: str) -> Sequence[DirectoryAnswer]:
        """Every source of the address's domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDesk:
    """Reports of others, for the administrator. own_domain: whether a domain is one of ours."""

    book: ReportBook
    own_domain: Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlWorld:
    """Factories, so that a command pays only for what it uses."""

    load: Callable[[str], Configuration]
    """Reads the configuration file. Raises ConfigurationErrors."""
    in_force: Callable[[str], Configuration | None]
    """Of a file with mistakes: what the gateway that runs with it goes on with; None when none does."""
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
    look_up: Callable[[Settings, str, RecordType], LookedUp]
    """Ask the configured name servers. Raises WorldFault when the answer is unknown, PeerFault for a bad name."""
    shared: Callable[[Settings], AbstractContextManager[SharedState]]
    """What all workers know together. Raises WorldFault when it cannot be read or, at the end, written."""
    lists: Callable[[Settings], AbstractContextManager[AddressLists]]
    """The IP lists; leaving it raises WorldFault when changes could not be kept."""
    ask_providers: Callable[[Settings, str, str], Sequence[ProviderAnswer]]
    """What list providers say of an address; of the one of this name only, "" for all. Raises WorldFault."""
    directories: Callable[[Settings], DirectoryDesk]
    """The sources of recipients."""
    ask_dns: Callable[[Settings, Callable[[Lookup], Coroutine[Any, Any, Any]]], Any]
    """What a coroutine finds out from the configured name servers. Raises WorldFault as it does."""
    ask_zone: Callable[[str, Callable[[Lookup], Coroutine[Any, Any, Any]]], Any]
    """As ask_dns, of a DNS that is a text: lines NAME TYPE DATA. Raises ValueError for a line that is none."""
    monotonic: Callable[[], float]
    """Seconds of a clock that does not jump."""
    dkim_keys: Callable[[Settings], Sequence[tuple[str, SigningKey]]]
    """State and key of every selector of [dkim-signing]. Raises WorldFault when a file cannot be read."""
    texts: Callable[[Settings, Sequence[str]], Mapping[str, Sequence[bytes] | NoAnswer]]
    """TXT records by name."""
    dns: Callable[[Settings], DnsDesk]
    """Looks at the DNS, and changes zones."""
    reports: Callable[[Settings], ReportDesk]
    """Reports that others sent us."""
    now: Callable[[], float]
    """Seconds since the epoch, UTC."""
    play: Callable[[str, Script, Mapping[str, Any]], Played]
    """A scenario by the configuration of this path ("": a first one), with what the options say otherwise.

    Raises ConfigurationErrors and WorldFault.
    """
