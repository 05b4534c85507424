"""Agent: clients that list providers list (DNS lists, and lists kept in memory)."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.dns_listings import DnsListings, ListedBy
from gatepost.model.exempt_recipients import ExemptRecipients
from gatepost.model.known import Known, MailView
from gatepost.model.list_answer import check_reply, reply_text
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, SkipFilters, Stage, Verdict
from gatepost.protocol.addresses import address_key

BELOW_THRESHOLD: Final = Finding(
    name="on-a-provider-list",
    means="Providers list the client, but what they are worth together is below the threshold.",
    points=2.0,
)


class Settings(FilterTable):
    """[agents.block-list-providers]"""

    threshold: float = setting(
        "A client is refused when the weights of the providers that list it reach this", default=1.0, low=0.01
    )
    reply: str = setting(
        "Words of the refusal after 550 5.7.1 for providers without words of their own; {ip}, {provider}, {zone}, "
        "{code} and {text} are replaced",
        default="Recipient not authorized, your IP has been found on a block list",
    )
    exempt_recipients: tuple[str, ...] = setting(
        'Recipients who get mail of listed clients all the same: "user@example.com", or "@example.com" for all of '
        "the domain",
        default=(),
    )

    @field_validator("reply")
    @classmethod
    def _is_a_reply(cls, text: str) -> str:
        return check_reply(text)

    @field_validator("exempt_recipients")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        ExemptRecipients(entries, address_key)
        return entries


class BlockListProviders:
    """Refuse clients that enough providers list; spare filters to those that an allow list provider lists."""

    name: ClassVar[str] = "block-list-providers"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.RCPT: (DnsListings,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    judges_origin: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (BELOW_THRESHOLD,)

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._exempt = ExemptRecipients(settings.exempt_recipients, address_key)
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """550 5.7.1 with the words of the listing provider that has the lowest priority number."""
        found = known[DnsListings]
        if found.allowed:
            return Verdict(
                agent=self.name,
                reason=f"{found.address} is on {_said(found.allowed)}, which vouches for it",
                because=(found,),
                effects=(SkipFilters(),),
            )
        if not found.listed:
            return self._silent
        weight = sum(one.weight for one in found.listed)
        reason = f"{found.address} is on {_said(found.listed)}"[:400]
        if weight < self._settings.threshold:
            return Verdict(agent=self.name, reason=reason, findings=(BELOW_THRESHOLD,), because=(found,))
        refused = self._exempt.others_of(mail)
        if refused == ():
            return Verdict(agent=self.name, reason=f"{reason}, and the recipient is exempt", because=(found,))
        return Verdict.reject(
            self.name,
            Reply(550, "5.7.1", self._words(found)),
            reason,
            because=(found,),
            recipients=refused,
            unless=f"{found.address} were on fewer lists, or on the allow list",
        )

    def _words(self, found: DnsListings) -> str:
        first = max(found.listed, key=lambda one: bool(one.weight))  # the first that has any weight
        return reply_text(
            first.reply or self._settings.reply,
            ip=found.address,
            provider=first.provider,
            zone=first.zone,
            code=first.codes[0] if first.codes else "",
            text=first.text,
        )


def _said(listed: tuple[ListedBy, ...]) -> str:
    return ", ".join(f"{one.provider} ({one.zone}: {' '.join(one.codes)})" for one in listed)
