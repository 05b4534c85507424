"""Reports to other domains leave as mail of ours: written, put into the queue, delivered and signed like other mail."""

from __future__ import annotations

from collections.abc import Callable

from gatepost.config.settings import Settings
from gatepost.main.lasting import Lasting
from gatepost.model.envelope import Notify, Recipient
from gatepost.model.queued import Accept, QueuedMail, QueuedRecipient
from gatepost.notices.report_mail import ReportMail, compose_report_mail
from gatepost.ports.world import Randomness
from gatepost.routing.next_hop import Router

PostReport = Callable[[ReportMail], None]
"""Puts a report into the queue."""


def report_post(
    settings: Settings, lasting: Lasting, router: Router, randomness: Randomness, *, kind: str
) -> PostReport:
    """kind: "tls" or "dmarc", in events; what the queue has as the mail's source comes from it."""
    expiry_s = settings.queue.notice_expiry_s

    def post(report: ReportMail) -> None:
        reader, now = report.reader, lasting.clock.now()
        content = compose_report_mail(report, now=now, token=randomness.token_hex(16))
        hop = router.next_hop_for(reader)
        mail = QueuedMail(
            mail_id=lasting.ids.next(now),
            session_id="0" * 16,
            received_at=now,
            expires_at=now + expiry_s,
            sender=report.sender,
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
            message_id=report.message_id,
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
    """The source of such mails in the queue and in records: TLSRPT, DMARCRPT."""
    return f"{kind.upper()}RPT"
