"""A whole conversation through a relay of ours: the mail is recorded and judged with its origin."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.intake.house import House, open_house, settings_with

from gatepost.agents.helo_check import HeloCheck
from gatepost.model.queued import KeepRecords

HEAD = (
    b"Received: from gate.test ([127.0.0.9]) by relay.ours.example with ESMTP; Fri, 27 Nov 2026 03:00:00 +0000\r\n"
    b"Received: from mx.ours.example (evil.test [203.0.113.9]) by gate.test with ESMTP;\r\n"
    b"\tFri, 27 Nov 2026 03:00:00 +0000\r\n"
    b"From: a@b.example\r\nDate: Fri, 27 Nov 2026 03:00:00 +0000\r\n\r\n"
)


async def sent(house: House) -> list[bytes]:
    """The replies to one mail."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    replies = [await reader.readline()]
    for line in (
        b"HELO relay.ours.example",
        b"MAIL FROM:<a@b.example>",
        b"RCPT TO:<bob@ours.example>",
        b"DATA",
        HEAD + b"text\r\n.",
    ):
        writer.write(line + b"\r\n")
        replies.append(await reader.readline())
    writer.close()
    return replies


def scene(*relays: str, refuse: bool = True) -> tuple[bytes, dict[str, Any]]:
    """The reply to the mail, and what was recorded of the client."""

    async def play() -> tuple[bytes, dict[str, Any]]:
        server = {"hostname": "mx.ours.example", "internal-relays": list(relays)}
        agents = {"helo-check": HeloCheck.settings_type.model_validate({"refuse-own-name": refuse})}
        async with open_house(settings_with(server=server), agents=agents) as house:
            reply = (await sent(house))[-1]
            kept = [c for changes in house.store.transactions for c in changes if isinstance(c, KeepRecords)]
            records = [json.loads(r.data) for one in kept for r in one.records if r.event == "RECEIVE"]
            return reply, records[0] if records else {}

    return asyncio.run(play())


@pytest.mark.threat("Q08", "Q09")
def test_the_origin_s_helo_is_judged_when_its_relay_is_ours() -> None:
    # Given a stranger behind our relay, which called itself by our name
    reply, _ = scene("127.0.0.0/8")
    assert reply.startswith(b"550 5.7.1 The name in your HELO is ours")


def test_the_origin_is_recorded_beside_the_client() -> None:
    reply, record = scene("127.0.0.0/8", refuse=False)
    assert reply.startswith(b"250")
    assert (record["client-ip"], record["original-client-ip"]) == ("127.0.0.1", "203.0.113.9")


@pytest.mark.threat("Q08")
def test_a_relay_that_is_not_listed_is_judged_itself() -> None:
    reply, record = scene("198.51.100.7")
    assert reply.startswith(b"250")
    assert (record["client-ip"], record["original-client-ip"]) == ("127.0.0.1", "127.0.0.1")
