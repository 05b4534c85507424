"""A client that an agent wants gone: its connection is closed after the reply, at whatever stage that is."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.intake.house import open_house
from tests.intake.test_sessions import Client

from gatepost.agents.sender_filter import SenderFilter
from gatepost.config.schema import frozen

LISTED: dict[str, Any] = {"blocked-senders": ["eve@bad.example"], "hang-up": True}


def test_after_the_refusal_of_an_address_in_from_the_connection_is_closed() -> None:
    async def scene() -> None:
        table = SenderFilter.settings_type.model_validate(frozen(LISTED))
        async with open_house(agents={"sender-filter": table}) as house:
            client = await Client.to(house)
            await client.reply()
            await client.ask(b"EHLO peer.example")
            await client.ask(b"MAIL FROM:<x@there.example>")
            await client.ask(b"RCPT TO:<bob@ours.example>")
            await client.ask(b"DATA")
            assert (await client.ask(b"From: eve@bad.example\r\n\r\nx\r\n.")).startswith("554 5.1.0")
            assert await client.ask(b"NOOP") == ""
            await client.close()

    asyncio.run(scene())
