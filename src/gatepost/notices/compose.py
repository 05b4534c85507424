"""The notices we write: from a mail and what became of its recipients to a new mail for the queue. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from gatepost.config.settings import Settings
from gatepost.message.dsn import Composed, Outcome, Report, ReportedRecipient, compose
from gatepost.message.words import printable
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import NULL_SENDER, Address
from gatepost.model.content import BodyForm, Content, SpooledBody
from gatepost.model.envelope import BodyType, Notify, Recipient, Ret
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import Accept, MailState, QueuedMail, QueuedRecipient
from gatepost.notices.policy import Kind, who_hears
from gatepost.notices.rate import NoticeRate
from gatepost.notices.words import SUBJECTS, text_for_people

SOURCE: Final = "DSN"
RETURNED_HEAD_LIMIT_BYTES: Final = 50 * 1024  # threats L10
_SUBJECT_LIMIT_CHARS: Final = 200

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


def compose_failure(
    mail: QueuedMail,
    failed: Sequence[RecipientReply],
    content: Content,
    *,
    settings: Settings,
    hostname: str,
    accepted: AcceptedDomains,
    router: Routes,
    now: float,
    mail_id: int,
    token: str,
    rate: NoticeRate | None = None,
) -> Accept | None:
    """The notice about recipients of one mail that have failed, ready for the transaction that settles them.

    failed:  all that failed in one attempt: the sender gets one notice for them (threats L11).
    content: a spooled body is not read: the notice returns the header section then.
    mail_id: a fresh id, the notice's.  token: 16 to 64 letters and digits nobody can guess.
    rate:    counts this notice against its domain's limit; None: no limit.
    None: nobody may be told (threats L04, L05) or wants to be; see notices.policy for which. The
    caller keeps the recipients that failed without anybody hearing of it as DEAD, when `wants_grave` says so.
    """
    writer = _Writer(settings, hostname, accepted, router, now, mail_id, token)
    notice = writer.notice(mail, [(r, reply, Outcome.FAILED) for r, reply in failed], content, Kind.FAILURE)
    if notice is not None and rate is not None and not rate.admits(mail.sender.domain, now):
        return None
    return notice


def compose_success(
    mail: QueuedMail,
    delivered: Sequence[RecipientReply],
    content: Content,
    *,
    relayed: bool,
    settings: Settings,
    hostname: str,
    accepted: AcceptedDomains,
    router: Routes,
    now: float,
    mail_id: int,
    token: str,
) -> Accept | None:
    """The notice for NOTIFY=SUCCESS (RFC 3461 §5.2.3): delivered into a mailbox, or relayed to a host without DSN.

    A next hop that announced DSN reports itself: the caller does not ask for a notice then.
    """
    outcome = Outcome.RELAYED if relayed else Outcome.DELIVERED
    writer = _Writer(settings, hostname, accepted, router, now, mail_id, token)
    return writer.notice(mail, [(r, reply, outcome) for r, reply in delivered], content, Kind.SUCCESS)


def compose_delay(
    mail: QueuedMail,
    waiting: Sequence[RecipientReply],
    content: Content,
    *,
    settings: Settings,
    hostname: str,
    accepted: AcceptedDomains,
    router: Routes,
    now: float,
    mail_id: int,
    token: str,
) -> Accept | None:
    """The notice that a mail is still waiting; when to send one is the caller's."""
    writer = _Writer(settings, hostname, accepted, router, now, mail_id, token)
    return writer.notice(mail, [(r, reply, Outcome.DELAYED) for r, reply in waiting], content, Kind.DELAY)


def wants_grave(recipient: QueuedRecipient) -> bool:
    """Whether a recipient that failed in silence is kept as a dead letter (state DEAD) for the administrator.

    Not when the sender said NOTIFY=NEVER: silence is then what was asked for.
    """
    return Notify.NEVER not in recipient.recipient.notify


def postmaster(settings: Settings, accepted: AcceptedDomains, hostname: str) -> Address:
    """Who our notices are from."""
    local, at, domain = settings.notices.postmaster.rpartition("@")
    if at and local:
        return Address(local.strip('"'), domain.lower())
    return Address("postmaster", accepted.default_domain or hostname)


class _Writer:
    """One notice's circumstances."""

    def __init__(
        self,
        settings: Settings,
        hostname: str,
        accepted: AcceptedDomains,
        router: Routes,
        now: float,
        mail_id: int,
        token: str,
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._sent_from = postmaster(settings, accepted, hostname)
        self._router = router
        self._now = now
        self._mail_id = mail_id
        self._token = token

    def notice(
        self,
        mail: QueuedMail,
        outcomes: Sequence[tuple[QueuedRecipient, str, Outcome]],
        content: Content,
        kind: Kind,
    ) -> Accept | None:
        """The notice as a change for the store, or None."""
        audience = who_hears(
            mail,
            [recipient for recipient, _, _ in outcomes],
            kind,
            head=content.head,
            spam_from_scl=self._settings.policy.tag_at,
        )
        told = {recipient.number for recipient in audience.recipients}
        reported = tuple(
            ReportedRecipient(
                address=recipient.recipient.address,
                orcpt=recipient.recipient.orcpt,
                outcome=outcome,
                reply=reply,
                last_attempt_at=self._now,
            )
            for recipient, reply, outcome in outcomes
            if recipient.number in told
        )
        if not reported:
            return None
        composed = compose(
            self._report(mail, reported, kind),
            content.head,
            self._returned_body(mail, content, kind),
            head_limit_bytes=RETURNED_HEAD_LIMIT_BYTES,
        )
        return self._accept(mail, composed, SUBJECTS[reported[0].outcome])

    def _report(self, mail: QueuedMail, reported: tuple[ReportedRecipient, ...], kind: Kind) -> Report:
        original_id = mail_id_text(mail.mail_id)
        text = text_for_people(
            reported,
            hostname=self._hostname,
            subject=printable(mail.subject, _SUBJECT_LIMIT_CHARS),
            footer=self._settings.notices.footer,
            mail_id=original_id,
        )
        return Report(
            to=mail.sender,
            sent_from=self._sent_from,
            subject=SUBJECTS[reported[0].outcome],
            text=text,
            recipients=reported,
            hostname=self._hostname,
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

    def _accept(self, mail: QueuedMail, composed: Composed, subject: str) -> Accept:
        hop = self._router.next_hop_for(mail.sender)
        content = Content(
            head=composed.head,
            body=composed.body,
            form=BodyForm(size_bytes=len(composed.body), has_8bit=composed.needs_8bit),
        )
        to = QueuedRecipient(
            number=0,
            recipient=Recipient(address=mail.sender, notify=Notify.NEVER),
            next_hop=hop.key,
            state=hop.first_state,
            due_at=self._now,
        )
        notice = QueuedMail(
            mail_id=self._mail_id,
            session_id=mail.session_id,
            received_at=self._now,
            expires_at=self._now + self._settings.queue.notice_expiry_s,
            sender=NULL_SENDER,
            body_type=BodyType.EIGHT_BIT_MIME if composed.needs_8bit else BodyType.SEVEN_BIT,
            smtputf8=not mail.sender.is_ascii,
            recipients=(to,),
            size_bytes=content.size_bytes,
            source=SOURCE,
            message_id=f"<{mail_id_text(self._mail_id)}@{self._hostname}>",
            subject=subject,
            is_notice=True,
        )
        return Accept(mail=notice, content=content)
