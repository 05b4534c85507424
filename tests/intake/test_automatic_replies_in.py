"""An automatic reply for two domains: one may see it, the other may not."""

from __future__ import annotations

import asyncio

from tests.intake.house import open_house, settings_with
from tests.intake.test_taking_in import send

from gatepost.ports.store import RecordFilter

ENVELOPE = b"MAIL FROM:<>\r\nRCPT TO:<bob@ours.example>\r\n"
REPLY = b"From: ann@client.example\r\nAuto-Submitted: auto-replied\r\nSubject: away\r\n\r\ntext\r\n"


def test_a_reply_that_is_dropped_is_answered_250_and_recorded() -> None:
    async def scenario() -> None:
        settings = settings_with(**{"remote-domains": {"*": {"automatic-replies": False}}})
        async with open_house(settings) as house:
            replies = await send(house, ENVELOPE, REPLY)
            assert replies[-1].startswith(b"250 2.0.0")
            assert house.accepted == []
            assert "DROP" in {record.event for record in house.store.records(RecordFilter(), limit=100)}
            # And an ordinary mail from nobody is taken
            await send(house, ENVELOPE, REPLY.replace(b"auto-replied", b"no"))
            assert len(house.accepted) == 1

    asyncio.run(scenario())
