"""The life of a recipient: every cell of the table, and what the store makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.model.queued import MailState
from gatepost.queue import states
from gatepost.queue.states import EVENT_TO, LIFE, ON_DISK, Event, settled, step

MANUAL = Path(__file__).parents[2] / "docs" / "queue.md"
FINAL = {s for s in MailState if s.is_final}
HELD = {MailState.SUSPENDED, MailState.POISON}


@pytest.mark.parametrize("state", MailState)
@pytest.mark.parametrize("event", Event)
def test_every_cell(state: MailState, event: Event) -> None:
    """What the rules in words say of each cell, against the table."""
    after = step(state, event)
    if state in FINAL:
        assert after is None, "nothing happens to what is over"
    elif event is Event.LEASE:
        waiting = state in (MailState.READY, MailState.DEFERRED)
        assert after is (MailState.LEASED if waiting else None), "only what waits is leased"
    elif event is Event.FREE:
        assert after is MailState.READY, "everything that is not over can be tried again"
    elif event is Event.DELIVER:
        delivered = state is MailState.LEASED or state in HELD
        assert after is (MailState.DELIVERED if delivered else None), "only an attempt delivers"
    elif event is Event.QUARANTINE:
        assert after is (state if state is MailState.QUARANTINED else None), "only at the door"
    elif event is Event.REMOVE:
        assert after is (None if state is MailState.LEASED else MailState.REMOVED)
    elif state in (MailState.QUARANTINED, MailState.DEAD):
        assert after is (state if event is EVENT_TO[state] else None), "it waits for a person"
    elif state in HELD and event in (Event.DEFER, Event.SUSPEND, Event.LOSE_WAY):
        assert after is state, "a held recipient stays held"
    else:
        assert after is not None
        assert EVENT_TO[after] is event


def test_no_way_leads_back_from_the_end() -> None:
    assert all(settled(end, wish) is None for end in FINAL for wish in MailState)


def test_a_lease_is_never_stored() -> None:
    assert all(settled(state, MailState.LEASED) is None for state in MailState)
    assert all(settled(MailState.LEASED, wish) is None for wish in MailState)


def test_the_store_takes_the_step_through_the_lease() -> None:
    assert settled(MailState.READY, MailState.DELIVERED) is MailState.DELIVERED
    assert settled(MailState.DEFERRED, MailState.DELIVERED) is MailState.DELIVERED
    assert settled(MailState.QUARANTINED, MailState.DELIVERED) is None
    assert settled(MailState.SUSPENDED, MailState.DEFERRED) is MailState.SUSPENDED


def test_every_state_can_be_reached_from_the_door_and_has_a_way_out() -> None:
    reached = {MailState.READY, MailState.QUARANTINED}
    for _ in MailState:
        steps = {step(state, event) for state in reached for event in Event}
        reached |= {state for state in steps if state is not None}
    assert reached == set(MailState)
    for state in set(MailState) - FINAL:
        assert {step(state, event) for event in Event} & ({MailState.READY} | FINAL)


def test_every_state_says_what_is_on_disk() -> None:
    assert set(ON_DISK) == set(MailState)
    assert set(EVENT_TO) == set(MailState)


def test_the_manual_prints_the_same_table() -> None:
    text = MANUAL.read_text(encoding="utf-8")
    assert LIFE.strip("\n") in text
    for state, line in ON_DISK.items():
        assert f"| `{state.value}` | {line} |" in text


MISTAKES = {
    "a missing cell": LIFE.replace("  dead         -  ", "  dead    ", 1),
    "an unknown state": LIFE.replace("leased  -", "leesed  -", 1),
    "an unknown event": LIFE.replace("bury ", "burn ", 1),
    "a missing row": "\n".join(line for line in LIFE.splitlines() if "poison       " not in line),
    "a cell too many": LIFE.replace("dead  removed", "dead  removed  -", 1),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_table_with_a_mistake_stops_the_program(mistake: str) -> None:
    assert MISTAKES[mistake] != LIFE
    with pytest.raises(ValueError):
        states._read(MISTAKES[mistake])
