"""Agent: recipients that do not exist, and recipients that get no mail from outside (threats F26-F29)."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable
from gatepost.config.schema import setting
from gatepost.facts.recipient_status import Listing, RecipientStatus
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.session import ClientKind, Rights
from gatepost.model.site import Site
from gatepost.model.verdict import Action, DelayReply, Effect, Finding, Stage, Verdict
from gatepost.protocol.addresses import canonical_domain, parse_mailbox

UNKNOWN_RECIPIENT: Final = Reply(550, "5.1.1", "No such recipient here")
CANNOT_TELL: Final = Reply(451, "4.3.0", "Recipients cannot be verified now, try again later")


class Settings(AgentTable):
    """[agents.recipient-filter]"""

    blocked_recipients: tuple[str, ...] = setting(
        'Recipients that get no mail from outside: "user@example.com", or "@example.com" for the whole '
        "domain; answered as if they did not exist. Clients with the right internal still reach them",
        default=(),
    )

    @field_validator("blocked_recipients")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        for entry in entries:
            blocked_key(entry)
        return entries


class RecipientFilter:
    """Refuse recipients that are blocked or that the directory does not list."""

    name: ClassVar[str] = "recipient-filter"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.RCPT: (RecipientStatus,)}
    when_unknown: ClassVar[Action] = Action.DEFER
    unknown_reply: ClassVar[Reply] = CANNOT_TELL
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, settings: Settings, site: Site) -> None:
        self._blocked = frozenset(blocked_key(entry) for entry in settings.blocked_recipients)
        self._silent = Verdict(agent=self.name)
        self._tarpit: tuple[Effect, ...] = (DelayReply(site.tarpit_s),) if site.tarpit_s else ()

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """550 5.1.1 for both, so that nobody learns which recipients are blocked."""
        address = mail.recipient.address if mail.recipient is not None else Address("", "")
        if address.local.lower() == "postmaster":
            return self._silent  # RFC 5321 §4.5.1: whether a domain is ours is not asked here
        status = known.of(address, RecipientStatus)
        if self._blocked and self._is_blocked(address) and Rights.INTERNAL not in mail.session.rights:
            return self._refuse(mail, status, f"{address} is blocked", "it were not in blocked-recipients")
        if status.listing is not Listing.NOT_LISTED or address.local.lower() == "postmaster":
            return self._silent  # RFC 5321 §4.5.1: every domain of ours has a postmaster
        return self._refuse(mail, status, f"{address} is not listed", "the recipient source listed it")

    def _is_blocked(self, address: Address) -> bool:
        return address.key in self._blocked or f"@{address.domain}" in self._blocked

    def _refuse(self, mail: MailView, status: RecipientStatus, reason: str, unless: str) -> Verdict:
        anonymous = mail.session.kind is ClientKind.ANONYMOUS
        return Verdict.reject(
            self.name,
            UNKNOWN_RECIPIENT,
            reason[:400],
            because=(status,),
            effects=self._tarpit if anonymous else (),
            unless=unless,
        )


def blocked_key(entry: str) -> str:
    """An entry of the list as it is looked up. Raises ValueError when it is no address."""
    try:
        if entry.startswith("@"):
            return f"@{canonical_domain(entry[1:])}"
        return parse_mailbox(entry).key
    except PeerFault as fault:
        raise ValueError(f"{entry[:320]!r} is no address: {fault.reason}") from fault
