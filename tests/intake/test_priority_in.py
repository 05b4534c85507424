"""Whose word about urgency counts: anybody may write X-Priority: 1 into spam."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.intake.house import open_house, settings_with
from tests.intake.test_taking_in import send

from gatepost.model.queued import Priority

INSIDE = {
    "ranges": {"office": {"addresses": ["127.0.0.1"], "rights": ["submit", "any-sender", "internal"]}},
}
URGENT = b"From: ann@client.example\r\nX-Priority: 1\r\nSubject: hello\r\n\r\ntext\r\n"
MASS = b"From: ann@client.example\r\nPrecedence: bulk\r\n\r\ntext\r\n"
CASES: list[tuple[str, dict[str, Any], dict[str, Any], bytes, Priority]] = [
    ("a stranger is not heard", {}, {}, URGENT, Priority.NORMAL),
    ("one of us is", INSIDE, {}, URGENT, Priority.HIGH),
    ("everybody, where that is set", {}, {"priority-from": "everyone"}, URGENT, Priority.HIGH),
    ("nobody, where that is set", INSIDE, {"priority-from": "nobody"}, URGENT, Priority.NORMAL),
    ("mass mail says so itself", INSIDE, {}, MASS, Priority.NONE),
    ("a large mail is not urgent", INSIDE, {"high-priority-size": "10B"}, URGENT, Priority.NORMAL),
    ("a large mass mail stays one", INSIDE, {"high-priority-size": "10B"}, MASS, Priority.NONE),
]


@pytest.mark.parametrize(
    ("connector", "delivery", "text", "priority"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_whose_priority_counts(
    connector: dict[str, Any], delivery: dict[str, Any], text: bytes, priority: Priority
) -> None:
    async def scenario() -> None:
        async with open_house(settings_with(connector, delivery=delivery)) as house:
            await send(house, text=text)
            assert house.accepted[0].mail.priority is priority

    asyncio.run(scenario())
