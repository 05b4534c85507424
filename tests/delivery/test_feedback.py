"""How many lanes a next hop gets follows its answers: more after each success, half as many when it puts mail off."""

from __future__ import annotations

import pytest
from tests.delivery.fakes import FakeHost, Yard, mail_to, settings_of
from tests.delivery.playing import play, state_of, to

from gatepost.delivery.hop import Hop
from gatepost.delivery.outcome import Attempt, Fate, all_alike

WHO = mail_to("b@b.example", "c@b.example").recipients
TAKEN = Attempt(outcomes=all_alike(WHO, Fate.DELIVERED, "250 2.0.0 OK"))
REFUSED = Attempt(outcomes=all_alike(WHO, Fate.FAILED, "550 5.1.1 No"))
PUT_OFF = Attempt(outcomes=all_alike(WHO, Fate.DEFERRED, "451 4.7.1 Later"))
PARTLY = Attempt(outcomes=(*all_alike(WHO[:1], Fate.DEFERRED, "450 4.2.2 Full"), *TAKEN.outcomes[1:]))
CASES = [
    ("a success opens one more", 4, [TAKEN], 5),
    ("so does a refusal for good", 4, [REFUSED], 5),
    ("the connector's limit holds", 20, [TAKEN], 20),
    ("put off: half as many", 8, [PUT_OFF], 4),
    ("again and again: one is left", 8, [PUT_OFF] * 9, 1),
    ("one recipient of two says nothing of the host", 8, [PARTLY], 9),
    ("it recovers slowly", 8, [PUT_OFF, TAKEN, TAKEN], 6),
]


@pytest.mark.threat("N08")
@pytest.mark.parametrize(("lanes", "attempts", "left"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_lanes_follow_the_answers(lanes: int, attempts: list[Attempt], left: int) -> None:
    hop = Hop("b", lanes_wanted=lanes)
    for attempt in attempts:
        hop.spoke(attempt, hung_up=False)
    assert hop.lanes_wanted == left


@pytest.mark.threat("N08")
def test_lanes_beyond_the_wanted_end_and_the_mail_is_delivered_all_the_same() -> None:
    async def test(made: Yard, hosts: dict[str, FakeHost]) -> None:
        # Given a next hop that had enough of us for a while
        host = hosts["b.example"]
        host.state = "defers"
        for mail_id in range(1, 40):
            made.put(to("b@b.example", mail_id=mail_id))
        await made.settle(lambda: all(state_of(made, n) == [("deferred", 1)] for n in range(1, 40)))
        await made.settle(lambda: made.scheduler.status()[0].connections == 0)
        # When it takes mail again
        host.state = "well"
        await made.pass_time(2000)
        # Then all of it arrives
        await made.settle(lambda: len(host.taken) == 39)

    play(test, "b.example", settings=settings_of({"connections": 10}))


@pytest.mark.parametrize(
    ("lanes", "wanted", "too_many"), [(4, 2, True), (2, 2, False), (1, 1, False), (1, 0, False)]
)
def test_which_lanes_end(lanes: int, wanted: int, too_many: bool) -> None:
    assert Hop("b", lanes=lanes, lanes_wanted=wanted).has_too_many_lanes is too_many
