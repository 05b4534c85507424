"""Mail from nobody is judged like anybody's: `<>` opens no door (threats L08)."""

from __future__ import annotations

import asyncio

import pytest
from tests.intake.house import open_house, settings_with
from tests.intake.test_taking_in import converse, send

from gatepost.policy import order

NOBODY = b"MAIL FROM:<>\r\n"
NUL = b"From: ann@client.example\r\nSubject: hello\r\n\r\nte\0xt\r\n"


@pytest.mark.threat("L08")
def test_unknown_recipients_and_foreign_domains_are_refused() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            for path in (b"<nobody@ours.example>", b"<u@foreign.example>"):
                replies = await converse(house, NOBODY, b"RCPT TO:" + path + b"\r\n")
                assert replies[-1].startswith(b"550 "), (path, replies)

    asyncio.run(scenario())


@pytest.mark.threat("L08")
@pytest.mark.parametrize("sender", [b"MAIL FROM:<ann@client.example>\r\n", NOBODY])
def test_content_is_judged_whoever_sends_it(sender: bytes) -> None:
    async def scenario() -> None:
        table = order.agent_settings()["message-form"].model_validate({"nul": "refuse"})
        async with open_house(settings_with(), agents={"message-form": table}) as house:
            replies = await send(house, sender + b"RCPT TO:<bob@ours.example>\r\n", NUL)
            assert replies[-1].startswith(b"554 5.6.0")
            assert house.accepted == []

    asyncio.run(scenario())
