"""Notices of the two rooms that write them, with everything a notice needs already at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gatepost.config.settings import Settings
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.content import Content
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import Accept, QueuedMail, QueuedRecipient
from gatepost.notices.compose import compose_failure, compose_success
from gatepost.notices.rate import NoticeRate
from gatepost.ports.world import Clock, Randomness
from gatepost.routing.next_hop import Router

TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeWriter:
    """Composes failure notices. One for each worker and configuration."""

    settings: Settings
    accepted: AcceptedDomains
    router: Router
    clock: Clock
    randomness: Randomness
    ids: MailIds
    rate: NoticeRate = field(default_factory=NoticeRate)

    def failure(self, mail: QueuedMail, failed: Sequence[QueuedRecipient], content: Content) -> Accept | None:
        """The notice about recipients whose last_reply says why; None when silence is right."""
        return self.failure_as(mail, failed, content, self.ids.next(self.clock.now()))

    def failure_as(
        self, mail: QueuedMail, failed: Sequence[QueuedRecipient], content: Content, mail_id: int
    ) -> Accept | None:
        """As `failure`, under an id that was taken already."""
        return compose_failure(
            mail,
            [(recipient, recipient.last_reply) for recipient in failed],
            content,
            settings=self.settings,
            hostname=self.settings.server.hostname,
            accepted=self.accepted,
            router=self.router,
            now=self.clock.now(),
            mail_id=mail_id,
            token=self.randomness.token_hex(TOKEN_BYTES),
            rate=self.rate,
        )

    def success(
        self, mail: QueuedMail, delivered: Sequence[QueuedRecipient], content: Content, relayed: bool
    ) -> Accept | None:
        """The report NOTIFY=SUCCESS asks for; relayed: to a next hop that reports nothing itself."""
        return compose_success(
            mail,
            [(recipient, recipient.last_reply) for recipient in delivered],
            content,
            relayed=relayed,
            settings=self.settings,
            hostname=self.settings.server.hostname,
            accepted=self.accepted,
            router=self.router,
            now=self.clock.now(),
            mail_id=self.ids.next(self.clock.now()),
            token=self.randomness.token_hex(TOKEN_BYTES),
        )

    def about_removed(
        self, content_of: Callable[[int], Content]
    ) -> Callable[[QueuedMail, Sequence[QueuedRecipient]], Accept | None]:
        """For control: the notice about mail an administrator removes, its content read where it lies."""

        def compose(mail: QueuedMail, removed: Sequence[QueuedRecipient]) -> Accept | None:
            return self.failure(mail, removed, content_of(mail.mail_id))

        return compose
