"""Agent: which clients may talk to us at all: only the listed ones, or all but the listed ones."""

from __future__ import annotations

from enum import Enum
from typing import ClassVar, Final, Literal

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable
from gatepost.config.networks import Networks
from gatepost.config.schema import setting
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.protocol.domain_entries import host_domains

REFUSED: Final = Reply(554, "5.7.1", "Connection not accepted from your address")
NOT_VERIFIED: Final = Reply(421, "4.7.1", "Your host name cannot be verified now, try again later")


class Settings(AgentTable):
    """[agents.connection-control]"""

    mode: Literal["allow-only", "all-except"] = setting(
        "allow-only: the listed clients and nobody else; all-except: everybody but the listed clients",
        default="all-except",
    )
    addresses: Networks = setting(
        "Clients by address: addresses, networks (CIDR) or ranges a-b",
        default=(),
        example='["192.0.2.1", "198.51.100.0/24", "203.0.113.5-203.0.113.9"]',
    )
    domains: tuple[str, ...] = setting(
        'Clients by name: "example.com" is that host and every host below it; the name is taken from '
        "reverse DNS and must lead back to the address. Every client then waits for the DNS",
        default=(),
    )
    when_name_unknown: Literal["defer", "skip"] = setting(
        "What becomes of a client when the DNS does not answer and only `domains` could tell: "
        "defer: 421, try again later; skip: as if it had no name",
        default="defer",
    )

    @field_validator("domains")
    @classmethod
    def _are_domains(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        host_domains(entries)
        return entries


class _Match(Enum):
    LISTED = "listed"
    NOT_LISTED = "not listed"
    UNKNOWN = "unknown"


class ConnectionControl:
    """Refuse clients at the greeting."""

    name: ClassVar[str] = "connection-control"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.CONNECT: ()}
    when_unknown: ClassVar[Action] = Action.DEFER
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._addresses = IpRanges(settings.addresses)
        self._domains = host_domains(settings.domains)
        # An address may decide without any name, so the name is wanted and not needed.
        self.wants: dict[Stage, tuple[type, ...]] = {Stage.CONNECT: (ReverseDns,) if self._domains else ()}
        self._idle = settings.mode == "all-except" and not self._addresses and not self._domains
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """554 5.7.1 for a client that may not talk to us; 421 4.7.1 when nobody can tell."""
        if self._idle:
            return self._silent
        match, because = self._look_up(mail.session.client_ip, known)
        if match is _Match.UNKNOWN:
            return self._undecided(because)
        wanted = _Match.LISTED if self._settings.mode == "allow-only" else _Match.NOT_LISTED
        if match is wanted:
            return self._silent
        return Verdict.reject(
            self.name,
            REFUSED,
            f"{mail.session.client_ip} is {match.value} (mode {self._settings.mode})",
            because=because,
            unless=f"the client's address or confirmed name were {wanted.value} in addresses or domains",
        )

    def _look_up(self, client_ip: str, known: Known) -> tuple[_Match, tuple[object, ...]]:
        if client_ip in self._addresses:
            return _Match.LISTED, ()
        if not self._domains:
            return _Match.NOT_LISTED, ()
        if unknown := known.unknown_among((ReverseDns,)):
            return _Match.UNKNOWN, unknown
        found = known[ReverseDns]
        if any(self._lists(name) for name in found.confirmed):
            return _Match.LISTED, (found,)
        undecided = any(self._lists(name) for name in found.unanswered)
        return (_Match.UNKNOWN if undecided else _Match.NOT_LISTED), (found,)

    def _lists(self, host: str) -> bool:
        return any(host == domain or host.endswith(f".{domain}") for domain in self._domains)

    def _undecided(self, because: tuple[object, ...]) -> Verdict:
        skip = self._settings.when_name_unknown == "skip"
        if skip and self._settings.mode == "all-except":
            return Verdict(agent=self.name, reason="the client's name is unknown", because=because)
        if skip:
            return Verdict.reject(
                self.name,
                REFUSED,
                "the client's name is unknown, and no other rule allows it",
                because=because,
                unless="the DNS had answered, or the client's address were in addresses",
            )
        return Verdict.defer(
            self.name,
            NOT_VERIFIED,
            "the client's name is unknown",
            because=because,
            unless="the DNS had answered, or when-name-unknown were skip",
        )
