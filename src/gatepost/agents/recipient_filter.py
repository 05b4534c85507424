"""Agent: recipients that do not exist, get no mail from outside, or none of strangers (threats F26-F29)."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable
from gatepost.config.schema import setting
from gatepost.facts.recipient_status import Listing, RecipientStatus
from gatepost.model.address import Address
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.session import ClientKind, Rights
from gatepost.model.site import Site
from gatepost.model.verdict import Action, DelayReply, Effect, Finding, Stage, Verdict
from gatepost.protocol.address_patterns import FORMS, AddressPatterns, check_patterns

UNKNOWN_RECIPIENT: Final = Reply(550, "5.1.1", "No such recipient here")
AUTHENTICATION_REQUIRED: Final = Reply(
    550, "5.7.1", "This recipient takes mail of authenticated senders only"
)
CANNOT_TELL: Final = Reply(451, "4.3.0", "Recipients cannot be verified now, try again later")


class Settings(AgentTable):
    """[agents.recipient-filter]"""

    blocked_recipients: tuple[str, ...] = setting(
        f"Recipients that get no mail from outside: {FORMS}; answered as if they did not exist. Clients with the right "
        "internal still reach them",
        default=(),
    )
    exceptions: tuple[str, ...] = setting(
        "Recipients that blocked-recipients does not block, written in the same way", default=()
    )
    authenticated_only: tuple[str, ...] = setting(
        "Recipients and groups that only authenticated and internal clients may write to, written in the same way; "
        "others are answered 550 5.7.1. A directory may mark more of them",
        default=(),
    )

    @field_validator("blocked_recipients", "exceptions", "authenticated_only")
    @classmethod
    def _are_patterns(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return check_patterns(entries)


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
        self._blocked = AddressPatterns(settings.blocked_recipients)
        self._exceptions = AddressPatterns(settings.exceptions)
        self._authenticated_only = AddressPatterns(settings.authenticated_only)
        self._has_lists = bool(self._blocked or self._authenticated_only)
        self._silent = Verdict(agent=self.name)
        self._tarpit: tuple[Effect, ...] = (DelayReply(site.tarpit_s),) if site.tarpit_s else ()

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """550 5.1.1 for blocked and unknown alike, so that nobody learns which recipients are blocked."""
        address = mail.recipient.address if mail.recipient is not None else Address("", "")
        if address.local.lower() == "postmaster":
            return (
                self._silent
            )  # RFC 5321 §4.5.1: every domain of ours has one; which are ours is not asked here
        status = known.of(address, RecipientStatus)
        if (self._has_lists or status.needs_authentication) and (
            refused := self._by_lists(address, mail, status)
        ):
            return refused
        if status.listing is not Listing.NOT_LISTED:
            return self._silent
        return self._refuse(
            mail, status, UNKNOWN_RECIPIENT, f"{address} is not listed", "the recipient source listed it"
        )

    def _by_lists(self, address: Address, mail: MailView, status: RecipientStatus) -> Verdict | None:
        session = mail.session
        if Rights.INTERNAL in session.rights:
            return None
        blocked = self._blocked.match(address) if self._blocked else ""
        if blocked and not self._exceptions.match(address):
            return self._refuse(
                mail,
                status,
                UNKNOWN_RECIPIENT,
                f"{address} is blocked by {blocked}",
                "it were not in blocked-recipients, or were among the exceptions",
            )
        if session.user or status.listing is Listing.NOT_LISTED:
            return None
        entry = self._authenticated_only.match(address)
        if not entry and not status.needs_authentication:
            return None
        says = f"by {entry} of authenticated-only" if entry else f"as the directory {status.source} says"
        return self._refuse(
            mail,
            status,
            AUTHENTICATION_REQUIRED,
            f"{address} takes mail of authenticated senders only, {says}",
            "the client had authenticated",
        )

    def _refuse(
        self, mail: MailView, status: RecipientStatus, reply: Reply, reason: str, unless: str
    ) -> Verdict:
        anonymous = mail.session.kind is ClientKind.ANONYMOUS
        return Verdict.reject(
            self.name,
            reply,
            reason[:400],
            because=(status,),
            effects=self._tarpit if anonymous else (),
            unless=unless,
        )
