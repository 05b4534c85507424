"""Rate limits of the administrator: what is counted together, over sessions, and what happens beyond."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from tests.intake.clients import Client
from tests.intake.house import House, open_house, settings_with
from tests.intake.test_guard import NOW

from gatepost.adapters.address_lists import SharedAddressLists
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import load_text
from gatepost.policy.order import agent_settings
from gatepost.ports.memory_shared import MemoryShared


async def deliver(
    house: House, sender: str = "x@there.example", to: str = "bob@ours.example", size: int = 1
) -> str:
    """The reply to the first command that is refused, or to the end of the data."""
    client = await Client.to(house)
    await client.reply()
    said = ""
    body = b"x\r\n" * size
    lines = (
        b"EHLO peer.example",
        f"MAIL FROM:<{sender}>".encode(),
        f"RCPT TO:<{to}>".encode(),
        b"DATA",
        b"Subject: x\r\n\r\n" + body + b".",
    )
    for line in lines:
        said = await client.ask(line)
        if said[0] in "45":
            break
    await client.close()
    return said


@dataclass(frozen=True)
class Case:
    name: str
    limit: dict[str, Any]
    mails: tuple[dict[str, Any], ...]
    """Taken but the last, which is beyond the limit."""
    says: str = "451 4.7.1 Rate limit"
    event: bool = True


CASES = [
    Case("mails of a client", {"by": ["client"], "amount": 2}, ({}, {}, {})),
    Case("mails of a sender", {"by": ["sender"], "amount": 1}, ({}, {"sender": "y@there.example"}, {})),
    Case("mails of a domain", {"by": ["sender-domain"], "amount": 1}, ({}, {"sender": "y@there.example"})),
    Case("mails of nobody", {"by": ["sender"], "amount": 1}, ({"sender": ""}, {"sender": ""})),
    Case(
        "recipients",
        {"by": ["recipient"], "count": "recipients", "amount": 1},
        ({}, {"to": "ann@ours.example"}, {}),
    ),
    Case(
        "a client at a domain",
        {"by": ["client", "recipient-domain"], "count": "recipients", "amount": 1},
        ({}, {"to": "ann@ours.example"}),
    ),
    Case("octets", {"by": ["network"], "count": "bytes", "amount": 2000}, ({"size": 500}, {"size": 500})),
    Case(
        "refused for good",
        {"by": ["client"], "amount": 1, "action": "reject"},
        ({}, {}),
        "550 5.7.1 Rate limit",
    ),
    Case("marked", {"by": ["client"], "amount": 1, "action": "tag"}, ({}, {}), "250 2.0.0"),
    Case("nobody logged in", {"by": ["user"], "amount": 1}, ({}, {}), "250 2.0.0", event=False),
    Case(
        "exempt",
        {"by": ["client"], "amount": 1, "exempt-networks": ["127.0.0.0/8"]},
        ({}, {}),
        "250 2.0.0",
        event=False,
    ),
    Case(
        "another connector's",
        {"by": ["client"], "amount": 1, "connectors": ["other"]},
        ({}, {}),
        "250 2.0.0",
        event=False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_beyond_the_limit(case: Case) -> None:
    async def run() -> None:
        settings = settings_with(**{"rate-limits": {"mine": {"per": "1h", **case.limit}}})
        async with open_house(
            settings, lists=SharedAddressLists(MemoryShared(lambda: NOW), lambda: NOW)
        ) as house:
            for mail in case.mails[:-1]:
                assert (await deliver(house, **mail)).startswith("250 2.0.0")
            assert (await deliver(house, **case.mails[-1])).startswith(case.says)
            told = [fields for event, fields in house.lines.written if event == "rate-limit"]
            assert [line["limit"] for line in told] == ["mine"] * case.event
            assert house.lines.counted.count("rate_limited") == case.event

    asyncio.run(run())


def test_what_is_beyond_the_limit_is_not_counted_and_time_makes_room() -> None:
    async def run() -> None:
        settings = settings_with(**{"rate-limits": {"mine": {"by": ["client"], "amount": 2, "per": "1h"}}})
        async with open_house(
            settings, lists=SharedAddressLists(MemoryShared(lambda: NOW), lambda: NOW)
        ) as house:
            said = [(await deliver(house))[:20] for _ in range(20)]
            assert said == ["250 2.0.0 Queued as "] * 2 + ["451 4.7.1 Rate limit"] * 18
            house.clock.advance(1800)  # half of it has run out
            said = [(await deliver(house))[:3] for _ in range(3)]
            assert said == ["250", "451", "451"]

    asyncio.run(run())


BUCKETS: list[tuple[str, dict[str, Any], list[tuple[float, int]]]] = [
    (
        "all of it at once, then one each ten minutes",
        {"amount": 6},
        [(0, 6), (599, 0), (1, 1), (600, 1), (599, 0)],
    ),
    ("after one `per` all of it again", {"amount": 6}, [(0, 6), (3600, 6), (3600, 6)]),
    ("what is not used is not saved up for ever", {"amount": 6}, [(0, 6), (36000, 6)]),
    ("a smaller burst", {"amount": 6, "burst": 2}, [(0, 2), (600, 1), (1200, 2), (3600, 2)]),
    ("a larger burst", {"amount": 6, "burst": 12}, [(0, 12), (600, 1), (3600, 6), (7200, 12)]),
    ("a third of a mail in a second", {"amount": 1, "per": "3s"}, [(0, 1), (2, 0), (1, 1), (3, 1), (2.9, 0)]),
]


@pytest.mark.parametrize(("name", "limit", "steps"), BUCKETS, ids=[row[0] for row in BUCKETS])
def test_a_limit_is_a_bucket_and_exact(
    name: str, limit: dict[str, Any], steps: list[tuple[float, int]]
) -> None:
    async def run() -> None:
        settings = settings_with(**{"rate-limits": {"mine": {"by": ["client"], "per": "1h", **limit}}})
        lists = SharedAddressLists(MemoryShared(lambda: NOW), lambda: NOW)
        async with open_house(settings, lists=lists) as house:
            for wait_s, taken in steps:
                house.clock.advance(wait_s)
                said = [(await deliver(house))[:3] for _ in range(taken + 1)]
                assert said == ["250"] * taken + ["451"]

    asyncio.run(run())


def test_the_steady_rate_is_the_one_that_was_set() -> None:
    async def run() -> None:
        settings = settings_with(**{"rate-limits": {"mine": {"by": ["client"], "amount": 10, "per": "1h"}}})
        async with open_house(
            settings, lists=SharedAddressLists(MemoryShared(lambda: NOW), lambda: NOW)
        ) as house:
            taken = 0
            for _ in range(120):  # one in two minutes: three times too often, for four hours
                house.clock.advance(120)
                taken += (await deliver(house)).startswith("250")
            assert taken == 39 + 10  # 10 an hour since the first, and 10 that may come at once

    asyncio.run(run())


def test_a_mail_with_many_recipients_counts_its_octets_once() -> None:
    async def run() -> None:
        settings = settings_with(
            **{"rate-limits": {"mine": {"by": ["client"], "count": "bytes", "amount": 2000, "per": "1h"}}}
        )
        async with open_house(
            settings, lists=SharedAddressLists(MemoryShared(lambda: NOW), lambda: NOW)
        ) as house:
            for _ in range(2):
                client = await Client.to(house)
                await client.reply()
                said = ""
                for line in (
                    b"EHLO a.example",
                    b"MAIL FROM:<x@y.example>",
                    b"RCPT TO:<bob@ours.example>",
                    b"RCPT TO:<ann@ours.example>",
                    b"DATA",
                    b"Subject: x\r\n\r\n" + b"x\r\n" * 250 + b".",
                ):
                    said = await client.ask(line)
                assert said.startswith("250")
                await client.close()

    asyncio.run(run())


WRONG = [
    ("by nothing", "by = []\namount = 1", "by is empty"),
    ("twice", 'by = ["client", "client"]\namount = 1', "something twice"),
    ("recipients of mails", 'by = ["recipient"]\namount = 1', 'count = "recipients"'),
    ("an unknown part", 'by = ["ip"]\namount = 1', "client"),
    ("no amount", 'by = ["client"]', "amount"),
    ("an unknown door", 'by = ["client"]\namount = 1\nconnectors = ["in"]', "there is no receive connector"),
    ("no network", 'by = ["client"]\namount = 1\nexempt-networks = ["x"]', "x"),
]


@pytest.mark.parametrize(("name", "lines", "says"), WRONG, ids=[row[0] for row in WRONG])
def test_a_limit_that_makes_no_sense_is_refused(name: str, lines: str, says: str) -> None:
    text = f'[server]\nhostname = "mx.ours.example"\n[rate-limits.mine]\n{lines}\n'
    with pytest.raises(ConfigurationErrors) as refused:
        load_text(text, file="gatepost.toml", agent_settings=agent_settings)
    assert says in "\n".join(map(str, refused.value.errors))
    assert all(error.line >= 3 for error in refused.value.errors)


def test_a_name_that_is_no_metric_is_refused() -> None:
    text = '[server]\nhostname = "mx.ours.example"\n[rate-limits."My limit"]\nby = ["client"]\namount = 1\n'
    with pytest.raises(ConfigurationErrors, match="lower-case"):
        load_text(text, file="gatepost.toml", agent_settings=agent_settings)
