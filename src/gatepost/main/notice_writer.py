"""Notices of the two rooms that write them, with everything a notice needs already at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gatepost.config.settings import Settings
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.content import Content
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import Accept, QueuedMail, QueuedRecipient
from gatepost.notices.compose import House, compose_delay, compose_failure, compose_success
from gatepost.notices.policy import Kind, Silence
from gatepost.notices.rate import NoticeRate
from gatepost.notices.remote import RemoteDomains
from gatepost.ports.log import Counters
from gatepost.ports.world import Clock, Randomness
from gatepost.routing.accepted import canonical_pattern
from gatepost.routing.next_hop import Router

TOKEN_BYTES = 16


def house_of(settings: Settings, accepted: AcceptedDomains, router: Router) -> House:
    """What the notices of one configuration need."""
    return House(
        settings=settings,
        hostname=settings.server.hostname,
        accepted=accepted,
        router=router,
        remote=RemoteDomains({canonical_pattern(n): d for n, d in settings.remote_domains.items()}),
        rate=NoticeRate(limit=settings.notices.hourly_limit),
        sender_rate=NoticeRate(limit=settings.notices.hourly_limit_per_sender),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeWriter:
    """Composes notices. One for each worker and configuration. counters: None counts nothing."""

    house: House
    clock: Clock
    randomness: Randomness
    ids: MailIds
    counters: Counters | None = None

    def failure(
        self, mail: QueuedMail, failed: Sequence[QueuedRecipient], content: Content
    ) -> Accept | Silence:
        """The notice about recipients whose last_reply says why, or why silence is right."""
        return self._failure(mail, failed, content, self._next_id())

    def failure_as(
        self, mail: QueuedMail, failed: Sequence[QueuedRecipient], content: Content, mail_id: int
    ) -> Accept | None:
        """As `failure`, under an id that was taken already, about recipients that we ourselves refused."""
        notice = self._failure(mail, failed, content, mail_id, is_ours=True)
        return None if isinstance(notice, Silence) else notice

    def success(
        self, mail: QueuedMail, delivered: Sequence[QueuedRecipient], content: Content, relayed: bool
    ) -> Accept | None:
        """The report NOTIFY=SUCCESS asks for; relayed: to a next hop that reports nothing itself."""
        notice = compose_success(
            mail,
            [(recipient, recipient.last_reply) for recipient in delivered],
            content,
            relayed=relayed,
            house=self.house,
            now=self.clock.now(),
            mail_id=self._next_id(),
            token=self.randomness.token_hex(TOKEN_BYTES),
        )
        return self._counted(notice, Kind.SUCCESS)

    def delay(self, mail: QueuedMail, waiting: Sequence[QueuedRecipient], content: Content) -> Accept | None:
        """The notice that a mail still waits."""
        notice = compose_delay(
            mail,
            [(recipient, recipient.last_reply) for recipient in waiting],
            content,
            house=self.house,
            now=self.clock.now(),
            mail_id=self._next_id(),
            token=self.randomness.token_hex(TOKEN_BYTES),
        )
        return self._counted(notice, Kind.DELAY)

    def about_removed(
        self, content_of: Callable[[int], Content]
    ) -> Callable[[QueuedMail, Sequence[QueuedRecipient]], Accept | None]:
        """For control: the notice about mail an administrator removes, its content read where it lies."""

        def compose(mail: QueuedMail, removed: Sequence[QueuedRecipient]) -> Accept | None:
            # A person asked for this notice by name: notices.to speaks of those we send by ourselves.
            asked = replace(mail, authenticated=True)
            return self.failure_as(asked, removed, content_of(mail.mail_id), self._next_id())

        return compose

    def _next_id(self) -> int:
        return self.ids.next(self.clock.now())

    def _failure(
        self,
        mail: QueuedMail,
        failed: Sequence[QueuedRecipient],
        content: Content,
        mail_id: int,
        *,
        is_ours: bool = False,
    ) -> Accept | Silence:
        notice = compose_failure(
            mail,
            [(recipient, recipient.last_reply) for recipient in failed],
            content,
            house=self.house,
            now=self.clock.now(),
            mail_id=mail_id,
            token=self.randomness.token_hex(TOKEN_BYTES),
            is_ours=is_ours,
        )
        self._counted(notice, Kind.FAILURE)
        return notice

    def _counted(self, notice: Accept | Silence, kind: Kind) -> Accept | None:
        if isinstance(notice, Silence):
            if self.counters is not None:
                self.counters.add("notices_suppressed", 1, why=notice.name.lower().replace("_", "-"))
            return None
        if self.counters is not None:
            self.counters.add("notices", 1, kind=kind.value)
        return notice
