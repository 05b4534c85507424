"""The judge: compares what was promised with what arrived, for every recipient of every message.

When is a second copy allowed? A next hop that has taken a mail cannot tell us so after we
died (RFC 1047). So a further copy is allowed only when the delivery before it cannot have
been settled, which needs both:

1. the store holds no settlement of the earlier copy. Every settlement is committed in one
   transaction with a tracking record that repeats the sink's reply, and every reply of the
   sink is unique, so this is not guessed but looked up; and
2. there is a cause: the sink hung up without answering the earlier copy, or the worker
   that delivered it was killed after it arrived, before the next copy arrived, and not later than
   SETTLE_WITHIN_S after the answer. One kill excuses one copy.

Anything else is forbidden: a settled mail that is sent again, two deliveries at once, a
settlement that was forgotten or written too late.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from crash.ledger import Answer, Copy, Death, Evidence

SETTLE_WITHIN_S: Final = 1.0
"""A settlement is committed with the next transaction; far more than a busy disk needs for one."""
SEEN_LATE_S: Final = 0.5
"""The sink may read bytes that a worker wrote shortly before it died; later still when the harness was late itself."""


class Finding(Enum):
    """What became of one recipient of one message, or of one copy too many."""

    OK = "ok"
    ABSENT = "not promised, not delivered"
    RECOVERED = "unanswered, delivered"
    LOST = "lost"
    LEFT = "left in the queue"
    ALTERED = "altered"
    INVENTED = "invented"
    DUPLICATE_ALLOWED = "duplicate, allowed"
    DUPLICATE_FORBIDDEN = "duplicate, forbidden"

    @property
    def is_failure(self) -> bool:
        """One of these and the run has failed."""
        return self in _FAILURES


_FAILURES: Final = frozenset(
    {Finding.LOST, Finding.LEFT, Finding.ALTERED, Finding.INVENTED, Finding.DUPLICATE_FORBIDDEN}
)


@dataclass(frozen=True, slots=True)
class Found:
    """One finding with what it stands on."""

    finding: Finding
    message: str
    recipient: str
    because: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Every finding of a run."""

    found: tuple[Found, ...]

    @property
    def counts(self) -> Mapping[Finding, int]:
        """How often each was found."""
        return Counter(one.finding for one in self.found)

    @property
    def failures(self) -> tuple[Found, ...]:
        """What must not have happened."""
        return tuple(one for one in self.found if one.finding.is_failure)


def judge(evidence: Evidence) -> Judgement:
    """Every (message, recipient) once, and every copy beyond the first."""
    copies: dict[tuple[str, str], list[Copy]] = defaultdict(list)
    for copy in sorted(evidence.copies, key=lambda c: c.received_at):
        copies[copy.message, copy.recipient].append(copy)
    found: list[Found] = []
    for sending in evidence.sendings:
        for recipient, answer in sending.answers.items():
            key = (sending.message, recipient)
            mine = copies.pop(key, [])
            finding, because = _fate(answer, mine, sending.digest, left=key in evidence.left)
            found.append(Found(finding, *key, because))
            found.extend(_duplicates(mine, evidence))
    for (message, recipient), strangers in copies.items():
        found.extend(Found(Finding.INVENTED, message, recipient, "never sent") for _ in strangers)
    known = {(one.message, one.recipient) for one in found}
    found.extend(Found(Finding.LEFT, *key, "not of the ledger") for key in evidence.left - known)
    return Judgement(tuple(found))


def _fate(answer: Answer, copies: Sequence[Copy], digest: str, *, left: bool) -> tuple[Finding, str]:
    if any(copy.digest != digest for copy in copies):
        return Finding.ALTERED, "the part below our trace fields differs"
    if copies and answer in (Answer.REFUSED, Answer.STARTED):
        return Finding.INVENTED, f"delivered, although {answer.value}"
    if left:
        return Finding.LEFT, f"{answer.value}, {len(copies)} copies delivered"
    if copies:
        return (Finding.OK if answer is Answer.ACKNOWLEDGED else Finding.RECOVERED), ""
    if answer is Answer.ACKNOWLEDGED:
        return Finding.LOST, "acknowledged, and neither delivered nor in the queue"
    return Finding.ABSENT, ""


def _duplicates(copies: Sequence[Copy], evidence: Evidence) -> list[Found]:
    found = []
    used: set[int] = set()
    for earlier, later in pairwise(copies):
        fault = _why_forbidden(earlier, later, evidence, used)
        finding = Finding.DUPLICATE_FORBIDDEN if fault else Finding.DUPLICATE_ALLOWED
        found.append(Found(finding, later.message, later.recipient, fault))
    return found


def _why_forbidden(earlier: Copy, later: Copy, evidence: Evidence, used: set[int]) -> str:
    """ "" when the later copy is allowed. used: kills that have excused a copy of this recipient."""
    if evidence.settled is not None and earlier.token in evidence.settled:
        return f"{earlier.token} was settled, {later.token} came nevertheless"
    if earlier.answered_at is None:
        return ""
    for number, death in enumerate(evidence.deaths):
        if number not in used and _excuses(death, earlier, later, SEEN_LATE_S + evidence.lag_s):
            used.add(number)
            return ""
    return f"{earlier.token} was answered, nobody was killed before {later.token} came"


def _excuses(death: Death, earlier: Copy, later: Copy, seen_late_s: float) -> bool:
    if earlier.answered_at is None or not _same_worker(death, earlier):
        return False
    until = min(later.received_at, earlier.answered_at + SETTLE_WITHIN_S)
    return earlier.received_at - seen_late_s <= death.at <= until


def _same_worker(death: Death, copy: Copy) -> bool:
    return death.worker is None or copy.worker is None or death.worker == copy.worker
