"""Every no of the engine leaves a record in the agent log: one a rule and session."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from tests.intake.house import House, open_house

from gatepost.ports.store import RecordFilter
from gatepost.records import agent_log
from gatepost.records.agent_log import AgentLogEntry, LoggedAction

HELLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<ann@client.example>\r\nRCPT TO:<bob@ours.example>\r\n"
ENGINE_COMMAND, ENGINE_DISCONNECT = LoggedAction.REJECT_COMMAND, LoggedAction.DISCONNECT


@dataclass(frozen=True)
class Case:
    """What a client says, in pieces it waits between, and (event, action, reply's beginning) of each record."""

    name: str
    said: tuple[bytes, ...]
    records: tuple[tuple[str, LoggedAction, str], ...]


CASES = [
    Case(
        "smuggling with a bare LF",
        (HELLO, MAIL + b"DATA\r\n", b"text\r\n\n.\nMAIL FROM:<x@y.example>\r\n"),
        (("OnReject", ENGINE_DISCONNECT, "521 5.5.2"),),
    ),
    Case("an unknown command", (HELLO, b"HACK\r\n"), (("OnReject", ENGINE_COMMAND, "500 5.5.2"),)),
    Case(
        "the same mistake a hundred times",
        (HELLO, b"HACK\r\n" * 9),
        (("OnReject", ENGINE_COMMAND, "500 5.5.2"),),
    ),
    Case(
        "two mistakes",
        (HELLO, b"DATA\r\n", b"MAIL FROM:<a b>\r\n"),
        (("OnReject", ENGINE_COMMAND, "503 5.5.1"), ("OnReject", ENGINE_COMMAND, "501 5.1.7")),
    ),
    Case("nothing wrong", (HELLO, MAIL, b"RSET\r\n", b"QUIT\r\n"), ()),
]


async def say(house: House, pieces: tuple[bytes, ...]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    await reader.readline()
    for piece in pieces:
        writer.write(piece)
        await asyncio.wait_for(reader.read(4096), 5)
        await asyncio.sleep(0.02)
    writer.close()
    await writer.wait_closed()


def entries(house: House) -> list[AgentLogEntry]:
    found = house.store.records(RecordFilter(kind="agent"), limit=100)
    return [agent_log.decode(r) for r in reversed(found)]


@pytest.mark.threat("A01", "B01")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_every_no_of_the_engine_is_on_record(case: Case) -> None:
    async def scenario() -> None:
        async with open_house() as house:
            await say(house, case.said)
            found = entries(house)
            assert [(e.event, e.action, e.smtp_response[:9]) for e in found] == list(case.records)
            assert all(e.agent == agent_log.ENGINE and e.reason and e.session_id for e in found)

    asyncio.run(scenario())


@pytest.mark.threat("A01")
def test_the_record_of_smuggling_names_the_mail_it_was_tried_with() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            await say(house, CASES[0].said)
            (entry,) = entries(house)
            assert (entry.p1_from_address, entry.recipient) == ("ann@client.example", ("bob@ours.example",))

    asyncio.run(scenario())


@pytest.mark.threat("C01")
def test_who_speaks_before_the_greeting_is_on_record() -> None:
    async def scenario() -> None:
        async with open_house() as house:
            refused = 0
            for _ in range(10):  # whether its bytes are there before our greeting is the system's to say
                reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
                writer.write(HELLO)
                refused += (await asyncio.wait_for(reader.readline(), 5)).startswith(b"554")
                writer.close()
                await writer.wait_closed()
            found = [(e.event, e.action) for e in entries(house)]
            assert found == [("OnConnect", LoggedAction.REJECT_CONNECTION)] * refused

    asyncio.run(scenario())
