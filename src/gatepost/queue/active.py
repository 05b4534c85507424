"""What is in memory and leased: the mails a worker is delivering or about to, within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container
from dataclasses import dataclass, field

from gatepost.config.settings import Queue
from gatepost.model.content import Content
from gatepost.model.queued import MailState, Priority, QueuedMail, QueuedRecipient

_WAITING = (MailState.READY, MailState.DEFERRED)


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """The recipients of one mail that share a next hop: what one attempt carries.

    content: None when it was not kept in memory and must be read from the store.
    """

    mail: QueuedMail
    next_hop: str
    recipients: tuple[QueuedRecipient, ...]
    content: Content | None = field(default=None, repr=False)

    def turn(self, lead_s: float) -> tuple[float, int]:
        """What parcels of one next hop are ordered by: older mail first, of high priority as if lead_s older.

        So high mail overtakes what came shortly before it, and nothing waits for ever.
        """
        return self.mail.received_at - self.mail.priority * lead_s, self.mail.mail_id


@dataclass(slots=True)
class _Leased:
    """One mail in memory: how many of its parcels are not settled yet, and its octets of content."""

    open_parcels: int
    content_bytes: int


class ActiveMails:
    """The leases of one worker. A lease is this mark in memory and nothing else: it dies with the worker.

    No next hop may fill it: one that is dead or slow has at most half of the places (threats G11, G12). Nor may
    many that nobody knows to be quick: all of them together have three quarters (decision 0395).
    """

    def __init__(self, settings: Queue, known: Container[str] | None = None) -> None:
        """known: keys of next hops that are ours or quick; None: all are."""
        self._mails_limit = settings.active_mails
        self._memory_limit_bytes = settings.active_memory_bytes
        self._hop_limit = max(1, settings.active_mails // 2)
        self._high_limit = max(1, settings.active_mails * 3 // 4)
        self._leased: dict[int, _Leased] = {}
        self._of_hop: Counter[str] = Counter()
        self._known = known
        self._strange_limit = self._high_limit
        self._strange: dict[str, set[int]] = {}
        """By next hop that was not known when they came: mails whose parcels wait for it."""
        self._strange_parcels = 0
        self._content_bytes = 0

    def __len__(self) -> int:
        return len(self._leased)

    def __contains__(self, mail_id: int) -> bool:
        return mail_id in self._leased

    @property
    def room(self) -> int:
        """How many more mails may come."""
        return max(0, self._mails_limit - len(self._leased))

    @property
    def content_bytes(self) -> int:
        """Octets of content held in memory."""
        return self._content_bytes

    @property
    def mail_ids(self) -> frozenset[int]:
        """All of them, for `Store.due`."""
        return frozenset(self._leased)

    def open_parcels(self, mail_id: int) -> int:
        """How many parcels of the mail are not settled yet."""
        leased = self._leased.get(mail_id)
        return leased.open_parcels if leased is not None else 0

    def is_full_for(self, next_hop: str, priority: Priority = Priority.NORMAL) -> bool:
        """The hop has its half; mail of high priority still has a quarter more."""
        limit = self._high_limit if priority is Priority.HIGH else self._hop_limit
        if self._of_hop[next_hop] >= limit:
            return True
        return self._strange_parcels >= self._strange_limit and self._is_strange(next_hop)

    def is_known(self, next_hop: str) -> None:
        """From now on it is."""
        self._strange_parcels -= len(self._strange.pop(next_hop, ()))

    def _is_strange(self, next_hop: str) -> bool:
        return self._known is not None and next_hop not in self._known

    def lease(
        self, mail: QueuedMail, content: Content | None, put_off: Collection[str] = ()
    ) -> tuple[Parcel, ...]:
        """Take a mail in: its parcels, one a next hop. Empty when it is here already, or there is no room.

        put_off: next hops for which it will not wait here.
        Content beyond the limit of memory is let go; the mail is taken all the same.
        """
        if mail.mail_id in self._leased or not self.room:
            return ()
        octets = _octets(content) if content is not None else 0
        if self._content_bytes + octets > self._memory_limit_bytes:
            content, octets = None, 0
        parcels = _parcels(mail, content)
        if parcels:
            self._leased[mail.mail_id] = _Leased(len(parcels), octets)
            self._content_bytes += octets
            known = self._known
            for parcel in parcels:
                hop = parcel.next_hop
                self._of_hop[hop] += 1
                if known is not None and hop not in known and hop not in put_off:
                    self._strange.setdefault(hop, set()).add(mail.mail_id)
                    self._strange_parcels += 1
        return parcels

    def end_lease(self, parcel: Parcel) -> bool:
        """The parcel's settlement is durable. True when it was the mail's last one."""
        mail_id = parcel.mail.mail_id
        leased = self._leased[mail_id]
        leased.open_parcels -= 1
        self._of_hop[parcel.next_hop] -= 1
        if not self._of_hop[parcel.next_hop]:
            del self._of_hop[parcel.next_hop]
        if (waiting := self._strange.get(parcel.next_hop)) and mail_id in waiting:
            self._strange_parcels -= 1
            waiting.discard(mail_id)
            if not waiting:
                del self._strange[parcel.next_hop]
        if leased.open_parcels:
            return False
        del self._leased[mail_id]
        self._content_bytes -= leased.content_bytes
        return True


def _parcels(mail: QueuedMail, content: Content | None) -> tuple[Parcel, ...]:
    hops: dict[str, list[QueuedRecipient]] = {}
    for recipient in mail.recipients:
        if recipient.state in _WAITING:
            hops.setdefault(recipient.next_hop, []).append(recipient)
    return tuple([Parcel(mail, hop, tuple(recipients), content) for hop, recipients in hops.items()])


def _octets(content: Content) -> int:
    return len(content.head) + (len(content.body) if isinstance(content.body, bytes) else 0)
