"""Agent: clients whose addresses have earned a bad level: they are refused, and blocked for a time."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import field_validator

from gatepost.config import guard_settings
from gatepost.config.agent_table import AgentTable
from gatepost.facts.ip_lists import IpListing
from gatepost.facts.sender_reputation import Reputation
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import Known, MailView
from gatepost.model.origin import origin_of
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, BlockClient, Effect, Finding, HangUp, Stage, Verdict
from gatepost.protocol.domain_entries import host_domains
from gatepost.protocol.recipient_entry import RecipientEntries

REFUSED: Final = Reply(550, "5.7.1", "Too much unwanted mail came from your address lately")
POOR_REPUTATION: Final = Finding(
    name="poor-sender-reputation",
    means="The client's level is at block-at, and nobody is to be blocked (block-for is 0s).",
    points=0.0,
)


class Settings(guard_settings.SenderReputation):
    """[agents.sender-reputation]"""

    @field_validator("trap_recipients")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        RecipientEntries(entries)
        return entries

    @field_validator("exempt_domains")
    @classmethod
    def _are_domains(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        host_domains(entries)
        return entries


class SenderReputation:
    """Refuse and block clients that sent mostly what nobody wanted."""

    name: ClassVar[str] = "sender-reputation"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.MAIL: (Reputation,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (POOR_REPUTATION,)

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._exempt = IpRanges(settings.exempt_networks)
        self._domains = host_domains(settings.exempt_domains)
        self.wants: dict[Stage, tuple[type, ...]] = {Stage.MAIL: (IpListing,)}
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """550 5.7.1 at MAIL, where a client that logs in has done so."""
        found = known[Reputation]
        settings = self._settings
        if found.level < settings.block_at:
            return self._silent
        if spared := self._why_spared(found, known):
            reason = f"level {found.level} of {found.judged_by}, but {spared}"
            return Verdict(agent=self.name, reason=reason, because=(found,))
        reason = f"level {found.level} of {found.judged_by}, blocked from {settings.block_at}"
        if not settings.block_for_s:
            return Verdict(agent=self.name, findings=(POOR_REPUTATION,), reason=reason, because=(found,))
        effects: tuple[Effect, ...] = (
            BlockClient(
                network=origin_of(mail.session.origin_ip).source,
                for_s=settings.block_for_s,
                author=self.name,
                why=f"level {found.level}: {'; '.join(found.reasons)}"[:200],
            ),
        )
        if mail.session.origin_ip == mail.session.client_ip:  # not a relay of ours
            effects = (*effects, HangUp())
        return Verdict.reject(
            self.name,
            REFUSED,
            reason,
            because=(found,),
            effects=effects,
            unless=f"its level were below {settings.block_at} (`gatepost reputation reset` forgets it)",
        )

    def _why_spared(self, found: Reputation, known: Known) -> str:
        """Why a bad level blocks nobody; "" when it does."""
        if not known.unknown_among((IpListing,)) and known[IpListing].allowed_by:
            return f"{known[IpListing].allowed_by} is on the allow list"
        if found.address in self._exempt:
            return "it is in exempt-networks"
        if found.names_unknown:
            return "the DNS does not say whose it is"
        provider = next((name for name in found.names if self._is_providers(name)), "")
        return f"{provider} is a provider's of exempt-domains" if provider else ""

    def _is_providers(self, host: str) -> bool:
        return any(host == domain or host.endswith(f".{domain}") for domain in self._domains)
