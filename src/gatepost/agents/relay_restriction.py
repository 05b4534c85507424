"""Agent: who may send what to whom: no mail for foreign domains without the right to relay (I5, threats F)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from gatepost.config.agent_table import AgentTable
from gatepost.config.schema import setting
from gatepost.facts.account_addresses import AccountAddresses
from gatepost.facts.recipient_domain import RecipientDomain
from gatepost.model.address import Address
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.sending_as import NOTHING_MORE, is_ours, may_send_as
from gatepost.model.session import ClientKind, Rights, Session
from gatepost.model.site import Site
from gatepost.model.verdict import Action, DelayReply, Effect, Finding, Stage, Verdict

RELAYING_DENIED: Final = Reply(550, "5.7.1", "Relaying denied")
NOT_A_MAILBOX: Final = Reply(553, "5.1.3", "A recipient has a local part and a domain")
NOT_ALLOWED: Final = Reply(550, "5.7.1", "You may not send mail here")
ONE_FOR_A_BOUNCE: Final = Reply(550, "5.7.1", "A bounce has one recipient")
LOG_IN_FIRST: Final = Reply(530, "5.7.0", "Authentication required")
REFUSED_DOMAINS: Final = {
    "reserved-top-level": Reply(550, "5.1.4", "Recipient address reserved by RFC 2606"),
    "reserved-second-level": Reply(550, "5.1.5", "Recipient address reserved by RFC 2606"),
    "single-label": Reply(550, "5.1.6", "Recipient addresses in single label domains not accepted"),
}
_RESERVED_TOP_LEVEL: Final = frozenset({"test", "example", "invalid", "localhost"})
_RESERVED_SECOND_LEVEL: Final = frozenset({"example.com", "example.net", "example.org"})
SENDER_NOT_YOURS: Final = Reply(550, "5.7.1", "You may not use this sender address")


class Settings(AgentTable):
    """[agents.relay-restriction]"""

    own_address_literals: bool = setting(
        "Take mail for user@[address] where the address is the one the client connected to; such "
        "recipients must be listed like any other",
        default=False,
    )
    null_sender_recipients: int = setting(
        "Most recipients of one mail from nobody (`<>`) of an anonymous client: a bounce has one",
        default=1,
        low=1,
    )


class RelayRestriction:
    """Refuse senders and recipients that the client has no right to."""

    name: ClassVar[str] = "relay-restriction"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: Mapping[Stage, tuple[type, ...]] = {Stage.MAIL: (), Stage.RCPT: (RecipientDomain,)}
    when_unknown: ClassVar[Action] = Action.DEFER
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, settings: Settings, site: Site) -> None:
        self._literals = settings.own_address_literals
        self._null_sender_recipients = settings.null_sender_recipients
        self._site = site
        self._silent = Verdict(agent=self.name)
        if site.knows_accounts:
            self.needs = {**self.needs, Stage.MAIL: (AccountAddresses,)}
        self._tarpit: tuple[Effect, ...] = (DelayReply(site.tarpit_s),) if site.tarpit_s else ()

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """At MAIL: the right to submit and the sender. At RCPT: the right to reach the recipient."""
        if mail.stage is Stage.MAIL:
            return self._sender(mail, known)
        return self._recipient(mail, known)

    def _recipient(self, mail: MailView, known: Known) -> Verdict:
        if mail.sender.is_null and self._is_more_than_a_bounce(mail):
            return Verdict.reject(
                self.name,
                ONE_FOR_A_BOUNCE,
                "a bounce is about one mail, which had one sender",
                effects=self._tarpit_for(mail.session),
                unless="agents.relay-restriction.null-sender-recipients were greater",
            )
        address = mail.recipient.address if mail.recipient is not None else Address("", "")
        if not address.domain:
            return self._without_domain(address)
        domain = known.of(address, RecipientDomain)
        # Nothing about the sender is asked: a local-looking return path gives no right (F03).
        if domain.type is not None or (domain.own_literal and self._literals):
            return self._silent
        if self._site.refused_domains and (kind := _kind_of(address)) in self._site.refused_domains:
            return Verdict.reject(
                self.name,
                REFUSED_DOMAINS[kind],
                f"{address.domain} is a {kind} domain, and the connector refuses these",
                because=(domain,),
                unless=f"the recipient's domain were an accepted domain, or {kind} were not among "
                "refused-recipient-domains",
            )
        if Rights.RELAY in mail.session.rights:
            return self._silent
        return Verdict.reject(
            self.name,
            RELAYING_DENIED,
            f"{address.domain} is no accepted domain, and the client may not relay",
            because=(domain,),
            effects=self._tarpit_for(mail.session),
            unless="the recipient's domain were an accepted domain, or the client had the right relay",
        )

    def _without_domain(self, address: Address) -> Verdict:
        if _is_postmaster(address):
            return self._silent
        return Verdict.reject(self.name, NOT_A_MAILBOX, "a recipient without a domain is only postmaster")

    def _sender(self, mail: MailView, known: Known) -> Verdict:
        session, sender = mail.session, mail.sender
        if Rights.SUBMIT not in session.rights:
            reply = LOG_IN_FIRST if self._site.offers_auth and not session.user else NOT_ALLOWED
            return Verdict.reject(
                self.name,
                reply,
                "the client may not submit mail",
                effects=self._tarpit_for(session),
                unless="the client had the right submit",
            )
        given = known.get(AccountAddresses)
        more = given.keys if given is not None else NOTHING_MORE
        if sender.is_null or may_send_as(sender, session, self._site, more):
            return self._silent
        right = "own-domain-sender" if is_ours(sender, self._site) else "any-sender"
        return Verdict.reject(
            self.name,
            SENDER_NOT_YOURS,
            f"the client may not send as {str(sender)[:320]}",
            effects=self._tarpit_for(session),
            unless=f"the client had the right {right}, or were the owner of the address",
        )

    def _is_more_than_a_bounce(self, mail: MailView) -> bool:
        accepted = len(mail.envelope.recipients) if mail.envelope is not None else 0
        return mail.session.kind is ClientKind.ANONYMOUS and accepted >= self._null_sender_recipients

    def _tarpit_for(self, session: Session) -> tuple[Effect, ...]:
        return self._tarpit if session.kind is ClientKind.ANONYMOUS else ()


def _kind_of(address: Address) -> str:
    """Of the settings' kinds of domains; "" for all others."""
    labels = address.domain.rsplit(".", 2)
    if address.is_literal:
        return ""
    if len(labels) == 1:
        return "single-label"
    if labels[-1] in _RESERVED_TOP_LEVEL:
        return "reserved-top-level"
    return "reserved-second-level" if ".".join(labels[-2:]) in _RESERVED_SECOND_LEVEL else ""


def _is_postmaster(address: Address) -> bool:
    """RFC 5321 §4.5.1: accepted without a domain, in any case."""
    return address.local.lower() == "postmaster"
