"""Agent: senders that nobody, or one recipient, wants mail from; and strangers who write in our own name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final, Literal

from pydantic import field_validator

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.author import Author
from gatepost.facts.recipient_status import Listing
from gatepost.facts.sender_status import SenderStatus
from gatepost.model.accepted_domains import DomainType
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.session import ClientKind, Rights
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Effect, Finding, HangUp, Stage, Verdict
from gatepost.protocol.address_patterns import FORMS, AddressPatterns, check_patterns
from gatepost.protocol.addresses import canonical_domain, parse_mailbox

SENDER_DENIED: Final = Reply(554, "5.1.0", "Sender denied")
LISTED_SENDER: Final = Finding(
    name="listed-sender", means="The sender is in stamped-senders of the sender filter.", points=3.0
)
LISTED_AUTHOR: Final = Finding(
    name="listed-author", means="An address in From is in stamped-senders of the sender filter.", points=3.0
)
NULL_SENDER: Final = Finding(name="null-sender", means="The return path is empty.", points=0.5)
OWN_DOMAIN_SENDER: Final = Finding(
    name="own-domain-sender",
    means="A stranger's return path is in an authoritative domain of ours.",
    points=1.0,
)
UNKNOWN_OWN_SENDER: Final = Finding(
    name="unknown-own-sender",
    means="A stranger's return path is in a domain of ours, and no directory lists it.",
    points=3.0,
)

Answer = Literal["accept", "stamp", "block"]
Blocking = Literal["reject", "quarantine", "discard"]
_KEPT: Final = {"quarantine": Action.QUARANTINE, "discard": Action.DISCARD}


class Settings(FilterTable):
    """[agents.sender-filter]"""

    blocked_senders: tuple[str, ...] = setting(
        f"Senders whose mail is blocked: {FORMS}; there is no limit to whole addresses and domains",
        default=(),
    )
    action: Blocking = setting(
        "What becomes of blocked mail: reject, 554 5.1.0; quarantine, taken and kept for a person; discard, taken "
        "and dropped with nothing but a record: whoever was blocked by mistake never hears of it",
        default="reject",
    )
    stamped_senders: tuple[str, ...] = setting(
        "Senders whose mail gets a finding and goes on, written in the same way", default=()
    )
    exceptions: tuple[str, ...] = setting(
        "Senders that are on no list, whatever the lists say; written in the same way", default=()
    )
    recipients: dict[str, tuple[str, ...]] = setting(
        'Senders that single recipients ("bob@example.com") or domains ("@example.com") get no mail from; other '
        "recipients of the same mail get it",
        default={},
    )
    recipients_action: Blocking = setting(
        "What becomes of mail that `recipients` blocks, for these recipients alone; as action",
        default="reject",
    )
    check_author: bool = setting(
        "Look for the addresses in From, too, and not only the return path", default=True
    )
    null_sender: Answer = setting(
        "Mail from nobody (`<>`): block refuses every report of delivery, also those about mail of ours",
        default="accept",
    )
    own_domain_senders: Answer = setting(
        "Strangers whose return path is in an authoritative domain of ours: mailing lists and forwarders send such "
        "mail, too",
        default="stamp",
    )
    hang_up: bool = setting("Close the connection after a refusal by blocked-senders", default=False)

    def dangers(self) -> Iterator[tuple[str, str]]:
        """Dropping in silence."""
        for name, value in (("action", self.action), ("recipients-action", self.recipients_action)):
            if value == "discard":
                yield (
                    name,
                    "drops mail and tells nobody: quarantine keeps it for a person, reject tells the sender",
                )

    @field_validator("blocked_senders", "stamped_senders", "exceptions")
    @classmethod
    def _are_patterns(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        return check_patterns(entries)

    @field_validator("recipients")
    @classmethod
    def _are_lists(cls, lists: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for recipient, entries in lists.items():
            recipient_key(recipient)
            check_patterns(entries)
        return lists


class SenderFilter:
    """Refuse or mark mail of listed senders, for everybody or for single recipients, and forged senders of ours."""

    name: ClassVar[str] = "sender-filter"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: Mapping[Stage, tuple[type, ...]] = {
        Stage.MAIL: (),
        Stage.RCPT: (),
        Stage.END_OF_HEADERS: (Author,),
    }
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = (
        LISTED_SENDER,
        LISTED_AUTHOR,
        NULL_SENDER,
        OWN_DOMAIN_SENDER,
        UNKNOWN_OWN_SENDER,
    )

    def __init__(self, settings: Settings, site: Site) -> None:
        self._blocked = AddressPatterns(settings.blocked_senders)
        self._stamped = AddressPatterns(settings.stamped_senders)
        self._exceptions = AddressPatterns(settings.exceptions)
        self._of_recipient = {
            recipient_key(recipient): AddressPatterns(entries)
            for recipient, entries in settings.recipients.items()
        }
        self._null_sender, self._own = settings.null_sender, settings.own_domain_senders
        self._action, self._recipients_action = settings.action, settings.recipients_action
        self._accepted = site.accepted_domains
        self._silent = Verdict(agent=self.name)
        self._effects: tuple[Effect, ...] = (HangUp(),) if settings.hang_up else ()
        # What is not configured is not asked for: the header section is read only for lists.
        lists = bool(self._blocked or self._stamped)
        self.needs = {
            stage: SenderFilter.needs[stage]
            for stage, wanted in (
                (Stage.MAIL, lists or self._null_sender != "accept" or self._own != "accept"),
                (Stage.RCPT, bool(self._of_recipient)),
                (Stage.END_OF_HEADERS, settings.check_author and (lists or bool(self._of_recipient))),
            )
            if wanted
        }
        self.wants = {Stage.MAIL: (SenderStatus,)} if self._own == "stamp" else {}

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """At MAIL the return path, at RCPT the recipient's own list, at END_OF_HEADERS the addresses in From."""
        if mail.stage is Stage.MAIL:
            return self._return_path(mail, known)
        if mail.stage is Stage.RCPT:
            return self._for_recipient(mail)
        return self._authors(mail, known[Author])

    def _return_path(self, mail: MailView, known: Known) -> Verdict:
        sender = mail.sender
        if sender.is_null:
            return self._said(self._null_sender, NULL_SENDER, "the return path is empty", "null-sender")
        if self._exceptions.match(sender):
            return self._silent
        if entry := self._blocked.match(sender):
            return self._refuse(f"{sender} is blocked by {entry}", _UNLESS_LISTED)
        found: tuple[Finding, ...] = ()
        reasons = []
        if entry := self._stamped.match(sender):
            found, reasons = (LISTED_SENDER,), [f"{sender} is listed by {entry}"]
        if self._own != "accept" and self._is_forged(mail, sender):
            if self._own == "block":
                return self._refuse(
                    f"a stranger sends as {sender}",
                    "the client had authenticated, or own-domain-senders were not block",
                )
            status = _known_status(known)
            is_unknown = status is not None and status.listing is Listing.NOT_LISTED
            found = (*found, UNKNOWN_OWN_SENDER if is_unknown else OWN_DOMAIN_SENDER)
            reasons.append(f"a stranger sends as {sender}" + (", whom nobody knows" if is_unknown else ""))
            if status is not None:
                return self._stamp(found, reasons, (status,))
        return self._stamp(found, reasons) if found else self._silent

    def _is_forged(self, mail: MailView, sender: Address) -> bool:
        session = mail.session
        return (
            session.kind is ClientKind.ANONYMOUS
            and Rights.INTERNAL not in session.rights
            and self._accepted.type_of(sender.domain) is DomainType.AUTHORITATIVE
        )

    def _for_recipient(self, mail: MailView) -> Verdict:
        assert mail.recipient is not None, "RCPT has a recipient"
        entry = self._unwanted(mail.recipient.address, (mail.sender,))
        if not entry:
            return self._silent
        return self._keep_from(None, f"{mail.recipient.address} wants no mail of {mail.sender} ({entry})", ())

    def _authors(self, mail: MailView, author_field: Author) -> Verdict:
        # Whoever a reader may take for the author counts, with nothing but its domain where no address is read.
        claimed = [Address(_ANYBODY, domain) for domain in author_field.claimed]
        authors = [a for a in (*author_field.addresses, *claimed) if not self._exceptions.match(a)]
        if not authors or mail.envelope is None:
            return self._silent
        for author in authors:
            if entry := self._blocked.match(author):
                return self._refuse(
                    f"{author} in From is blocked by {entry}", _UNLESS_LISTED, (author_field,)
                )
        recipients = [r.address for r in mail.envelope.recipients] if self._of_recipient else []
        unwanted = tuple(r for r in recipients if self._unwanted(r, authors))
        if unwanted:
            return self._keep_from(
                unwanted, f"{len(unwanted)} recipients want no mail of {authors[0]} in From", (author_field,)
            )
        for author in authors:
            if entry := self._stamped.match(author):
                return self._stamp(
                    (LISTED_AUTHOR,), [f"{author} in From is listed by {entry}"], (author_field,)
                )
        return self._silent

    def _unwanted(self, recipient: Address, senders: tuple[Address, ...] | list[Address]) -> str:
        """The entry of the recipient's list, or of its domain's, that one of the senders is on."""
        for key in (recipient.key, f"@{recipient.domain}"):
            patterns = self._of_recipient.get(key)
            if patterns is None:
                continue
            for sender in senders:
                if not self._exceptions.match(sender) and (entry := patterns.match(sender)):
                    return entry
        return ""

    def _said(self, answer: Answer, finding: Finding, reason: str, name: str) -> Verdict:
        if answer == "block":
            return self._refuse(reason, f"{name} were not block")
        return self._stamp((finding,), [reason]) if answer == "stamp" else self._silent

    def _stamp(
        self, found: tuple[Finding, ...], reasons: list[str], because: tuple[object, ...] = ()
    ) -> Verdict:
        return Verdict(agent=self.name, findings=found, reason="; ".join(reasons)[:400], because=because)

    def _refuse(self, reason: str, unless: str, because: tuple[object, ...] = ()) -> Verdict:
        if self._action != "reject":
            return self._kept(self._action, reason, unless, because)
        return Verdict.reject(
            self.name,
            SENDER_DENIED,
            reason[:400],
            because=because,
            effects=self._effects,
            unless=unless,
        )

    def _keep_from(
        self, recipients: tuple[Address, ...] | None, reason: str, because: tuple[object, ...]
    ) -> Verdict:
        """By lists of these recipients; None: of the one in question. Others of the same mail are not touched."""
        if self._recipients_action != "reject":
            return self._kept(self._recipients_action, reason, _UNLESS_OF_RECIPIENT, because, recipients)
        return Verdict.reject(
            self.name,
            SENDER_DENIED,
            reason[:400],
            because=because,
            recipients=recipients,
            unless=_UNLESS_OF_RECIPIENT,
        )

    def _kept(
        self,
        action: Blocking,
        reason: str,
        unless: str,
        because: tuple[object, ...],
        recipients: tuple[Address, ...] | None = None,
    ) -> Verdict:
        return Verdict(
            agent=self.name,
            action=_KEPT[action],
            reason=reason[:400],
            because=because,
            recipients=recipients,
            unless=unless,
        )


_ANYBODY: Final = "?"
_UNLESS_LISTED: Final = "the sender were not in blocked-senders, or were among the exceptions"
_UNLESS_OF_RECIPIENT: Final = "the sender were not in the recipient's own list, or were among the exceptions"


def recipient_key(text: str) -> str:
    """Whose list it is, as it is looked up. Raises ValueError."""
    try:
        return f"@{canonical_domain(text[1:])}" if text.startswith("@") else parse_mailbox(text).key
    except PeerFault as fault:
        raise ValueError(f'{text[:320]!r} is neither "user@example.com" nor "@example.com"') from fault


def _known_status(known: Known) -> SenderStatus | None:
    try:
        return known[SenderStatus]
    except KeyError:  # the directory cannot tell now: then only the domain is known
        return None
