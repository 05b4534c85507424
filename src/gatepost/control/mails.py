"""Looking at mail over the stores of all workers: one list, whichever worker holds it."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from gatepost.control.commands import Target
from gatepost.model.content import Content
from gatepost.model.queued import QueuedMail, QueuedRecipient, StoredRecord
from gatepost.ports.store import HopSummary, MailFilter, RecordFilter, StoreReader

PAGE = 500


@dataclass(frozen=True, slots=True)
class Found:
    """A mail that fits, with the recipients that fit, and how a command names exactly these."""

    mail: QueuedMail
    target: Target


def each_mail(readers: Sequence[StoreReader], wanted: MailFilter) -> Iterator[Found]:
    """Every mail that fits, in the order of arrival, page by page: the queue may be longer than memory."""
    merged = heapq.merge(*(_pages(reader, wanted) for reader in readers), key=lambda mail: mail.mail_id)
    for mail in merged:
        who = matching_recipients(mail, wanted)
        if who:
            numbers = () if len(who) == len(mail.recipients) else tuple(r.number for r in who)
            yield Found(replace(mail, recipients=who), Target(mail.mail_id, numbers))


def matching_recipients(mail: QueuedMail, wanted: MailFilter) -> tuple[QueuedRecipient, ...]:
    """Those of a found mail that the filter's conditions about recipients hold for."""
    return tuple(
        r
        for r in mail.recipients
        if fits(r.next_hop, wanted.next_hop)
        and fits(str(r.recipient.address), wanted.recipient)
        and (wanted.state is None or r.state is wanted.state)
    )


def mail_of(readers: Sequence[StoreReader], mail_id: int) -> QueuedMail | None:
    """None when no store has it (any more)."""
    return next((mail for reader in readers if (mail := reader.mail(mail_id)) is not None), None)


def content_of(readers: Sequence[StoreReader], mail_id: int) -> tuple[StoreReader, Content] | None:
    """Its bytes, and the reader that knows where a spooled body is. Raises WorldFault when they are damaged."""
    for reader in readers:
        if reader.mail(mail_id) is not None:
            return reader, reader.content(mail_id)
    return None


def dossier_of(readers: Sequence[StoreReader], mail_id: int) -> bytes | None:
    """What was known and thought of a mail; None when it is not kept (any more)."""
    return next((found for reader in readers if (found := reader.dossier(mail_id)) is not None), None)


def summary_of(readers: Sequence[StoreReader]) -> list[HopSummary]:
    """One line a next hop, over all workers, longest queue first."""
    hops: dict[str, HopSummary] = {}
    for reader in readers:
        for hop in reader.summary():
            hops[hop.next_hop] = _joined(hops[hop.next_hop], hop) if hop.next_hop in hops else hop
    return sorted(hops.values(), key=lambda hop: (-hop.recipients, hop.next_hop))


def records_of(readers: Sequence[StoreReader], wanted: RecordFilter, *, limit: int) -> list[StoredRecord]:
    """The newest `limit` records that fit, newest first."""
    found = [reader.records(wanted, limit=limit) for reader in readers]
    merged = heapq.merge(*found, key=lambda record: -record.at)
    return list(islice(merged, limit))


def _pages(reader: StoreReader, wanted: MailFilter) -> Iterator[QueuedMail]:
    after = 0
    while page := reader.find(wanted, limit=PAGE, after=after):
        yield from page
        after = page[-1].mail_id


def _joined(one: HopSummary, other: HopSummary) -> HopSummary:
    due = [at for at in (one.next_due_at, other.next_due_at) if at]
    return HopSummary(
        next_hop=one.next_hop,
        recipients=one.recipients + other.recipients,
        mails=one.mails + other.mails,
        oldest_at=min(one.oldest_at, other.oldest_at),
        next_due_at=min(due, default=0.0),
        states=Counter(one.states) + Counter(other.states),
        last_reply=one.last_reply or other.last_reply,
    )


def fits(text: str, pattern: str) -> bool:
    """A whole text, or with * as wildcard, case ignored: what ports.store says about filters; "" fits any."""
    if not pattern:
        return True
    text, pattern = text.lower(), pattern.lower()
    first, star, rest = pattern.partition("*")
    if not star:
        return text == first
    if not text.startswith(first):
        return False
    at = len(first)
    *middle, last = rest.split("*")
    for part in middle:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(text) - at >= len(last) and text.endswith(last)
