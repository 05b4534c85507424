"""The life of one recipient in the queue, as a table: what may follow what, and what is on disk meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from gatepost.model.queued import MailState


class Event(Enum):
    """What happens to a recipient. A settlement names the state it wants; each such wish is one event."""

    LEASE = "lease"
    DELIVER = "deliver"
    DEFER = "defer"
    FAIL = "fail"
    FREE = "free"
    """Back to the queue: released from quarantine, resumed, or to be tried again at once."""
    SUSPEND = "suspend"
    LOSE_WAY = "lose-way"
    """Routing knows no next hop for it."""
    POISON = "poison"
    QUARANTINE = "quarantine"
    BURY = "bury"
    """Given up without telling anybody: a notice that cannot be delivered."""
    REMOVE = "remove"


# Read a cell as: a recipient in this state, and this happened; now it is there. A dash cannot be.
# The states suspended and poison keep the answers of an attempt that was under way when they began.
LIFE: Final = """
               lease   deliver    defer      fail    free   suspend    lose-way     poison  quarantine   bury  remove
  ready        leased  -          deferred   failed  ready  suspended  unreachable  poison  -            dead  removed
  leased       -       delivered  deferred   failed  ready  suspended  unreachable  poison  -            dead  -
  deferred     leased  -          deferred   failed  ready  suspended  unreachable  poison  -            dead  removed
  suspended    -       delivered  suspended  failed  ready  suspended  suspended    poison  -            dead  removed
  unreachable  -       -          deferred   failed  ready  suspended  unreachable  poison  -            dead  removed
  poison       -       delivered  poison     failed  ready  poison     poison       poison  -            dead  removed
  quarantined  -       -          -          -       ready  -          -            -       quarantined  -     removed
  dead         -       -          -          -       ready  -          -            -       -            dead  removed
  delivered    -       -          -          -       -      -          -            -       -            -     -
  failed       -       -          -          -       -      -          -            -       -            -     -
  removed      -       -          -          -       -      -          -            -       -            -     -
"""

ON_DISK: Final[Mapping[MailState, str]] = {
    MailState.READY: "Mail, content and recipient are stored; the recipient is due now.",
    MailState.LEASED: "As before the lease (ready or deferred): a lease is a mark in memory and dies with the worker.",
    MailState.DEFERRED: "As ready, with the time of the next attempt, the attempts so far and the last reply.",
    MailState.SUSPENDED: "As deferred; nobody tries it until an administrator resumes it.",
    MailState.UNREACHABLE: "As deferred; nobody tries it until the routing changes or an administrator retries it.",
    MailState.POISON: "As deferred; it was in work at too many crashes, or is damaged; an administrator decides.",
    MailState.QUARANTINED: "Mail, content and recipient with the original envelope; the last reply is the reason.",
    MailState.DEAD: "As deferred; given up without a notice, kept until an administrator retries or removes it.",
    MailState.DELIVERED: "Nothing but records, once every recipient of the mail is final.",
    MailState.FAILED: "Nothing but records; the notice about it was stored in the same transaction.",
    MailState.REMOVED: "Nothing but records, which say who removed it.",
}

EVENT_TO: Final[Mapping[MailState, Event]] = {
    MailState.READY: Event.FREE,
    MailState.LEASED: Event.LEASE,
    MailState.DEFERRED: Event.DEFER,
    MailState.SUSPENDED: Event.SUSPEND,
    MailState.UNREACHABLE: Event.LOSE_WAY,
    MailState.POISON: Event.POISON,
    MailState.QUARANTINED: Event.QUARANTINE,
    MailState.DEAD: Event.BURY,
    MailState.DELIVERED: Event.DELIVER,
    MailState.FAILED: Event.FAIL,
    MailState.REMOVED: Event.REMOVE,
}
"""What it means when a settlement asks for this state."""


def _read(table: str) -> dict[tuple[MailState, Event], MailState | None]:
    """Raises ValueError for a missing cell, an unknown name or a state without a row."""
    lines = [line.split() for line in table.strip().splitlines()]
    events = [Event(name) for name in lines[0]]
    steps: dict[tuple[MailState, Event], MailState | None] = {}
    for name, *cells in lines[1:]:
        for event, cell in zip(events, cells, strict=True):
            steps[MailState(name), event] = None if cell == "-" else MailState(cell)
    if len(steps) != len(MailState) * len(Event):
        raise ValueError("the life of a recipient has a row for each state and a column for each event")
    return steps


_STEPS: Final = _read(LIFE)


def step(state: MailState, event: Event) -> MailState | None:
    """The cell of the table; None where it has a dash."""
    return _STEPS[state, event]


def _on_disk(state: MailState, wish: MailState) -> MailState | None:
    event = EVENT_TO[wish]
    leased = step(state, Event.LEASE)
    follows = step(state, event)
    if follows is None and leased is not None:
        follows = step(leased, event)
    return None if MailState.LEASED in (state, wish) else follows


_SETTLED: Final = {(state, wish): _on_disk(state, wish) for state in MailState for wish in MailState}


def settled(state: MailState, wish: MailState) -> MailState | None:
    """What a stored state becomes when a settlement asks for `wish`; None when that cannot be.

    The store never sees LEASED, so a step that needs the lease is taken through it here.
    """
    return _SETTLED[state, wish]
