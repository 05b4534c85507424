"""The notices we write: from a mail and what became of its recipients to a new mail for the queue. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gatepost.config.settings import Settings
from gatepost.message.dsn import Composed, Outcome, Report, ReportedRecipient, compose, status_of
from gatepost.message.headers import HeaderIndex, raw_fields
from gatepost.message.words import printable
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.content import BodyForm, Content, SpooledBody
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import Accept, MailState, QueuedMail, QueuedRecipient
from gatepost.notices.policy import Kind, Rules, Silence, who_hears
from gatepost.notices.rate import NoticeRate
from gatepost.notices.remote import RemoteDomains, refused_kinds
from gatepost.notices.words import BUILT_IN, SUBJECTS, language_of, text_for_people

SOURCE: Final = "DSN"
RETURNED_HEAD_LIMIT_BYTES: Final = 50 * 1024  # threats L10
_SUBJECT_LIMIT_CHARS: Final = 200
OWN_CODES: Final = ("451 4.4.3 ", "451 4.4.4 ", "451 4.4.6 ", "451 4.7.5 ")
"""How our own words about a next hop that was not reached begin, when they say more than 4.4.1 does."""
OUT_OF_TIME: Final = "550 4.4.7 Not delivered in time; the last answer was: "
OWN_WORDS: Final = ("451 4.4.1 ", "451 4.4.2 Conversations with the next hop ", OUT_OF_TIME, *OWN_CODES)
"""How a recipient's last reply begins when no server said it."""

RecipientReply = tuple[QueuedRecipient, str]
"""A recipient, and the words that decided about it: "550 5.1.1 No such user"."""


class Hop(Protocol):
    """What a notice needs of routing.NextHop."""

    @property
    def key(self) -> str:
        """What the queue keeps."""

    @property
    def first_state(self) -> MailState:
        """READY, or UNREACHABLE."""


class Routes(Protocol):
    """What a notice needs of routing.Router."""

    def next_hop_for(self, address: Address) -> Hop:
        """Where the notice goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What every notice of one gateway needs. hostname: our name.

    rate: counts against notices.hourly-limit.  sender_rate: against notices.hourly-limit-per-sender.
    """

    settings: Settings
    hostname: str
    accepted: AcceptedDomains
    router: Routes
    remote: RemoteDomains
    rate: NoticeRate | None = None
    sender_rate: NoticeRate | None = None

    def over_limit(self, sender: Address, now: float) -> Silence | None:
        """Counts one more notice to this sender; or why there may be none within this hour."""
        if self.sender_rate is not None and not self.sender_rate.admits(sender.key, now):
            return Silence.SENDER_RATE
        if self.rate is not None and not self.rate.admits(sender.domain, now):
            return Silence.RATE
        return None


def compose_failure(
    mail: QueuedMail,
    failed: Sequence[RecipientReply],
    content: Content,
    *,
    house: House,
    now: float,
    mail_id: int,
    token: str,
    is_ours: bool = False,
) -> Accept | Silence:
    """The notice about recipients of one mail that have failed, ready for the transaction that settles them.

    failed:  all that failed in one attempt: the sender gets one notice for them (threats L11).
    content: a spooled body is not read: the notice returns the header section then.
    mail_id: a fresh id, the notice's.  token: 16 to 64 letters and digits nobody can guess.
    is_ours: the gateway itself or its administrator refused them, and no server was asked.
    Silence: nobody may be told (threats L04, L05) or wants to be; see notices.policy for which. The
    caller keeps the recipients that failed without anybody hearing of it as DEAD, when `wants_grave` says so.
    """
    writer = _Writer(house, now, mail_id, token, is_ours=is_ours)
    return writer.notice(mail, [(r, reply, Outcome.FAILED) for r, reply in failed], content, Kind.FAILURE)


def compose_success(
    mail: QueuedMail,
    delivered: Sequence[RecipientReply],
    content: Content,
    *,
    relayed: bool,
    house: House,
    now: float,
    mail_id: int,
    token: str,
) -> Accept | Silence:
    """The notice for NOTIFY=SUCCESS (RFC 3461 §5.2.3): delivered into a mailbox, or relayed to a host without DSN.

    A next hop that announced DSN reports itself: the caller does not ask for a notice then.
    """
    outcome = Outcome.RELAYED if relayed else Outcome.DELIVERED
    writer = _Writer(house, now, mail_id, token)
    return writer.notice(mail, [(r, reply, outcome) for r, reply in delivered], content, Kind.SUCCESS)


def compose_delay(
    mail: QueuedMail,
    waiting: Sequence[RecipientReply],
    content: Content,
    *,
    house: House,
    now: float,
    mail_id: int,
    token: str,
) -> Accept | Silence:
    """The notice that a mail is still waiting; when to send one is the caller's."""
    writer = _Writer(house, now, mail_id, token)
    return writer.notice(mail, [(r, reply, Outcome.DELAYED) for r, reply in waiting], content, Kind.DELAY)


def wants_grave(mail: QueuedMail, recipient: QueuedRecipient) -> bool:
    """Whether a recipient that failed in silence is kept as a dead letter (state DEAD) for the administrator.

    Not when the sender said NOTIFY=NEVER: silence is then what was asked for. Of our own mail only the notice
    of a failure: without it nobody knows that a mail was lost.
    """
    if mail.is_notice:
        return mail.source == SOURCE and mail.subject == SUBJECTS[Outcome.FAILED]
    return Notify.NEVER not in recipient.recipient.notify


def postmaster(settings: Settings, accepted: AcceptedDomains, hostname: str) -> Address:
    """Who our notices are from."""
    local, at, domain = settings.notices.postmaster.rpartition("@")
    if at and local:
        return Address(local.strip('"'), domain.lower())
    return Address("postmaster", accepted.default_domain or hostname)


class _Writer:
    """One notice's circumstances."""

    def __init__(self, house: House, now: float, mail_id: int, token: str, *, is_ours: bool = False) -> None:
        self._house = house
        self._settings = house.settings
        self._sent_from = postmaster(house.settings, house.accepted, house.hostname)
        self._now = now
        self._mail_id = mail_id
        self._token = token
        self._is_ours = is_ours

    def notice(
        self,
        mail: QueuedMail,
        outcomes: Sequence[tuple[QueuedRecipient, str, Outcome]],
        content: Content,
        kind: Kind,
    ) -> Accept | Silence:
        """The notice as a change for the store, or why there is none."""
        remote = self._house.remote.entry_for(mail.sender.domain)
        notices = self._settings.notices
        rules = Rules(
            to_everyone=notices.to == "everyone",
            spam_from_scl=self._settings.policy.tag_at,
            refused=refused_kinds(remote),
        )
        audience = who_hears(mail, [r for r, _, _ in outcomes], kind, head=content.head, rules=rules)
        if audience.silence is not None:
            return audience.silence
        if not mail.authenticated and self._has_no_way(mail.sender):
            return Silence.NO_WAY
        over_limit = self._house.over_limit(mail.sender, self._now)
        if over_limit is not None:
            return over_limit
        told = {recipient.number for recipient in audience.recipients}
        reported = tuple(
            ReportedRecipient(
                address=recipient.recipient.address,
                orcpt=recipient.recipient.orcpt,
                outcome=outcome,
                reply=reply if remote.diagnostics else _code_of(reply),
                is_ours=self._is_ours or reply.startswith(OWN_WORDS),
                last_attempt_at=self._now,
            )
            for recipient, reply, outcome in outcomes
            if recipient.number in told
        )
        texts = self._own_texts(remote.language, content.head)
        composed = compose(
            self._report(mail, reported, kind, texts),
            content.head if remote.diagnostics else _without_trace(content.head),
            self._returned_body(mail, content, kind),
            head_limit_bytes=RETURNED_HEAD_LIMIT_BYTES,
        )
        return self._accept(mail, composed, SUBJECTS[reported[0].outcome], self._copy_to(reported, kind))

    def _has_no_way(self, sender: Address) -> bool:
        """A gateway that only takes mail in: notices to strangers would wait for ever."""
        return self._house.router.next_hop_for(sender).first_state is MailState.UNREACHABLE

    def _own_texts(self, language: str, head: bytes) -> Mapping[str, str]:
        """The domain's language, else the mail's, else the house's."""
        texts = self._settings.notices.texts
        if not texts:
            return BUILT_IN
        found = language or language_of(HeaderIndex.parse(head), texts) or self._settings.notices.language
        return texts.get(found, BUILT_IN)

    def _copy_to(self, reported: Sequence[ReportedRecipient], kind: Kind) -> Address | None:
        """Who besides the sender gets this notice (Exchange's GenerateCopyOfDSNFor)."""
        notices = self._settings.notices
        if kind is not Kind.FAILURE or not notices.copies_to:
            return None
        if not any(status_of(r.reply, r.outcome) in notices.copy_codes for r in reported):
            return None
        local, _, domain = notices.copies_to.rpartition("@")
        return Address(local, domain.lower())

    def _report(
        self,
        mail: QueuedMail,
        reported: tuple[ReportedRecipient, ...],
        kind: Kind,
        own_texts: Mapping[str, str],
    ) -> Report:
        original_id = mail_id_text(mail.mail_id)
        text = text_for_people(
            reported,
            hostname=self._house.hostname,
            subject=printable(mail.subject, _SUBJECT_LIMIT_CHARS),
            footer=self._settings.notices.footer,
            mail_id=original_id,
            own_texts=own_texts,
        )
        return Report(
            to=mail.sender,
            sent_from=self._sent_from,
            subject=SUBJECTS[reported[0].outcome],
            text=text,
            recipients=reported,
            hostname=self._house.hostname,
            mail_id=original_id,
            arrived_at=mail.received_at,
            envid=mail.envid,
            message_id=mail.message_id,
            will_retry_until_at=mail.expires_at if kind is Kind.DELAY else None,
            now=self._now,
            notice_id=mail_id_text(self._mail_id),
            boundary_token=self._token,
        )

    def _returned_body(self, mail: QueuedMail, content: Content, kind: Kind) -> bytes | None:
        """The body, when the whole mail goes back: only with a failure (RFC 3461 §4.3), and only a small mail."""
        too_large = content.size_bytes > self._settings.notices.return_size_bytes
        if (
            kind is not Kind.FAILURE
            or mail.ret is Ret.HDRS
            or too_large
            or isinstance(content.body, SpooledBody)
        ):
            return None
        return content.body

    def _accept(self, mail: QueuedMail, composed: Composed, subject: str, copy_to: Address | None) -> Accept:
        content = Content(
            head=composed.head,
            body=composed.body,
            form=BodyForm(size_bytes=len(composed.body), has_8bit=composed.needs_8bit),
        )
        readers = [mail.sender]
        if copy_to is not None and copy_to != mail.sender:
            readers.append(copy_to)
        notice = QueuedMail(
            mail_id=self._mail_id,
            session_id=mail.session_id,
            received_at=self._now,
            expires_at=self._now + self._settings.queue.notice_expiry_s,
            sender=NULL_SENDER,
            body_type=BodyType.EIGHT_BIT_MIME if composed.needs_8bit else BodyType.SEVEN_BIT,
            smtputf8=not mail.sender.is_ascii,
            recipients=tuple(self._reader(n, reader) for n, reader in enumerate(readers)),
            size_bytes=content.size_bytes,
            source=SOURCE,
            message_id=f"<{mail_id_text(self._mail_id)}@{self._house.hostname}>",
            subject=subject,
            is_notice=True,
        )
        return Accept(mail=notice, content=content)

    def _reader(self, number: int, address: Address) -> QueuedRecipient:
        hop = self._house.router.next_hop_for(address)
        return QueuedRecipient(
            number=number,
            recipient=Recipient(address=address, notify=Notify.NEVER),
            next_hop=hop.key,
            state=hop.first_state,
            due_at=self._now,
        )


_TRACE: Final = re.compile(
    rb"(?:received|received-spf|authentication-results|delivered-to|x-[^:]*)[ \t]*:", re.I
)
_CODES: Final = re.compile(r"[245][0-9]{2}(?: [245]\.[0-9]{1,3}\.[0-9]{1,3})?(?![0-9.])")


def _without_trace(head: bytes) -> bytes:
    """The header section without the fields that name hosts and filters."""
    kept = [raw for raw in raw_fields(head) if not _TRACE.match(raw)]
    return b"".join(kept) + b"\r\n"


def _code_of(reply: str) -> str:
    """Only the numbers of a reply."""
    match = _CODES.match(reply)
    return match[0] if match else ""
