"""After the run: each accepted recipient has exactly one end, each copy a reason; nothing refused was delivered."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from gatepost.model.envelope import Notify
from gatepost.model.mail_id import worker_of
from gatepost.model.queued import MailState, QueuedMail
from sim.journal import Answer, Copy, Journal, Kept, Sent
from sim.plan import BOXES, Plan

SETTLE_WITHIN_S = 6.0
"""A recipient whose mail was taken is settled by then, whoever else is waited for."""
SETTLE_LATE_S = 300.0
"""A settlement waits for a disk in trouble."""
SETTLE_REPORTED_S = 4000.0
"""A recipient whose sender is to be told of success waits for the others, which may be silent one after another."""


def judge(journal: Journal, plan: Plan, left: Sequence[QueuedMail]) -> None:
    """Adds what it finds to the journal. left: what the store still holds."""
    still = {(mail.mail_id, r.number): r.state for mail in left for r in mail.recipients}
    for kept in journal.kept.values():
        for number in range(len(kept.addresses)):
            _judge_end(journal, plan, kept, number, still.pop((kept.mail.mail_id, number), None))
    for (mail_id, number), state in still.items():
        journal.find(f"mail {mail_id}/{number} is {state.value} in the store, and was never kept")
    for copies in journal.copies.values():
        _judge_copies(journal, plan, copies)
    by_name: dict[str, list[Kept]] = {}
    for kept in journal.kept.values():
        if kept.name:
            by_name.setdefault(kept.name, []).append(kept)
    for name, sent in journal.sent.items():
        _judge_sent(journal, sent, by_name.get(name, []))


def _judge_end(journal: Journal, plan: Plan, kept: Kept, number: int, state: MailState | None) -> None:
    who = f"{kept.mail.mail_id}/{number} {kept.name or 'notice'} for {kept.addresses[number]}"
    ends = kept.ends.get(number, [])
    if len(ends) > 1:
        journal.find(f"{who} has {len(ends)} ends: {[end.value for end in ends]}")
    if state is None:
        if not ends:
            journal.find(f"{who} is lost: no end, and not in the store")
    elif ends:
        journal.find(f"{who} is {ends[0].value} on record and {state.value} in the store")
    elif state is MailState.POISON:
        if kept.held_for_crashes < plan.limits.crash_limit:
            journal.find(f"{who} is held after {kept.held_for_crashes} deaths, not {plan.limits.crash_limit}")
        journal.count("recipients poison")
    elif state is not MailState.DEAD:
        journal.find(f"{who} is left: {state.value}")
    else:
        journal.count("recipients dead")
    copies = journal.copies.get((kept.digest, kept.addresses[number]), [])
    if ends and ends[0] in (MailState.FAILED, MailState.DEAD) and kept.addresses[number] in BOXES and copies:
        journal.find(f"{who} is {ends[0].value} on record, and lies in the maildir")
    if ends[:1] == [MailState.DELIVERED] and not copies:
        journal.find(f"{who} is delivered on record, and nobody got it")


def _judge_copies(journal: Journal, plan: Plan, copies: Sequence[Copy]) -> None:
    first = copies[0]
    mail_id = journal.by_digest.get(first.digest)
    if mail_id is None:
        journal.find(f"invented or altered: {first.recipient} got {first.digest[:12]}, which was never kept")
        return
    kept, worker = journal.kept[mail_id], worker_of(mail_id)
    who = f"{mail_id} {kept.name or 'notice'} for {first.recipient}"
    if first.recipient.lower() not in {address.lower() for address in kept.addresses}:
        journal.find(f"invented: {who} is not a recipient of it")
    for earlier, later in pairwise(copies):
        journal.count("duplicates")
        if fault := _why_forbidden(journal, earlier, later, worker, _settled_within_s(plan, kept, earlier)):
            journal.find(f"duplicate of {who}: {fault}")
    last = copies[-1]
    if (
        _should_be_settled(journal, last, worker, _settled_within_s(plan, kept, last))
        and not kept.held_for_crashes
    ):
        journal.find(f"{who}: the 2xx {last.token} was heard and never settled")


def _settled_within_s(plan: Plan, kept: Kept, copy: Copy) -> float:
    wants_report = any(
        Notify.SUCCESS in one.recipient.notify
        for one in kept.mail.recipients
        if str(one.recipient.address).lower() == copy.recipient.lower()
    )
    trouble = any(
        at <= copy.at + SETTLE_WITHIN_S <= at + length_s + SETTLE_LATE_S
        for at, length_s, _ in plan.disk_troubles
    )
    if wants_report:
        return SETTLE_REPORTED_S
    return SETTLE_LATE_S if trouble else SETTLE_WITHIN_S


def _why_forbidden(journal: Journal, earlier: Copy, later: Copy, worker: int, within_s: float) -> str:
    if not later.was_answered and later.wire is not None and later.wire.opened_at < earlier.at:
        return ""  # the next hop read late what an attempt before had left there
    settled_at = journal.settled.get(earlier.token)
    if settled_at is not None and settled_at < later.at:
        return f"{earlier.token} was settled {later.at - settled_at:.3f} s before the next copy"
    if not earlier.was_answered:
        return ""
    until = min(later.at, earlier.at + within_s)
    if journal.died(earlier.at, until, worker):
        return ""
    return f"{earlier.token} was heard at {earlier.at:.3f}, and nobody died before {later.at:.3f}"


def _should_be_settled(journal: Journal, copy: Copy, worker: int, within_s: float) -> bool:
    if not copy.was_answered or copy.token in journal.settled:
        return False
    return not journal.died(copy.at, copy.at + within_s, worker)


def _judge_sent(journal: Journal, sent: Sent, kept: Sequence[Kept]) -> None:
    recipients = [address for one in kept for address in one.addresses]
    if len(recipients) != len(set(recipients)):
        journal.find(f"{sent.name} was kept twice for a recipient: {recipients}")
    if sent.answer is Answer.ACKNOWLEDGED and set(recipients) != sent.taken:
        journal.find(f"{sent.name} was acknowledged for {sorted(sent.taken)}, kept for {sorted(recipients)}")
    elif sent.answer in (Answer.STARTED, Answer.REFUSED) and kept:
        journal.find(f"{sent.name} was {sent.answer.value}, and is kept")
    elif not set(recipients) <= sent.taken | sent.unanswered:
        journal.find(f"{sent.name} is kept for a recipient that was refused: {sorted(recipients)}")
