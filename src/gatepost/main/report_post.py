"""Reports to other domains leave as mail of ours: written, put into the queue, delivered and signed like other mail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gatepost.config.settings import Settings
from gatepost.main.lasting import Lasting
from gatepost.model.address import Address
from gatepost.model.content import Content
from gatepost.model.envelope import Notify, Recipient
from gatepost.model.queued import Accept, QueuedMail, QueuedRecipient
from gatepost.notices.report_mail import ReportMail, compose_report_mail
from gatepost.ports.world import Randomness
from gatepost.routing.next_hop import Router

PostReport = Callable[[ReportMail], None]
"""Puts a report into the queue."""
PostContent = Callable[["Letter", Content], None]
"""The same of one that is composed already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """The envelope of a report. sender: the return path."""

    sender: Address
    reader: Address
    message_id: str


def report_post(
    settings: Settings, lasting: Lasting, router: Router, randomness: Randomness, *, kind: str
) -> PostReport:
    """kind: "tls" or "dmarc", in events; what the queue has as the mail's source comes from it."""
    post = content_post(settings, lasting, router, kind=kind)

    def composed(report: ReportMail) -> None:
        content = compose_report_mail(report, now=lasting.clock.now(), token=randomness.token_hex(16))
        post(Letter(sender=report.sender, reader=report.reader, message_id=report.message_id), content)

    return composed


def content_post(settings: Settings, lasting: Lasting, router: Router, *, kind: str) -> PostContent:
    """As report_post."""
    expiry_s = settings.queue.notice_expiry_s

    def post(letter: Letter, content: Content) -> None:
        reader, now = letter.reader, lasting.clock.now()
        hop = router.next_hop_for(reader)
        mail = QueuedMail(
            mail_id=lasting.ids.next(now),
            session_id="0" * 16,
            received_at=now,
            expires_at=now + expiry_s,
            sender=letter.sender,
            recipients=(
                QueuedRecipient(
                    number=0,
                    recipient=Recipient(address=reader, notify=Notify.NEVER),
                    next_hop=hop.key,
                    state=hop.first_state,
                    due_at=now,
                ),
            ),
            size_bytes=content.size_bytes,
            source=source_of(kind),
            message_id=letter.message_id,
            subject=f"{kind.upper()} report",
            is_notice=True,
        )

        def done(fault: BaseException | None) -> None:
            if fault is None:
                lasting.deliveries.offer(mail, content)
            else:
                lasting.log.write("error", f"{kind}-report-failed", domain=reader.domain, what=str(fault))

        lasting.store.commit([Accept(mail=mail, content=content)], done)

    return post


def source_of(kind: str) -> str:
    """The source of such mails in the queue and in records: TLSRPT, DMARCRPT, FAILURERPT."""
    return f"{kind.upper()}RPT"
