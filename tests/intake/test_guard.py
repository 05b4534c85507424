"""Clients that guess, and clients nobody wants mail from: counted over sessions, slowed down, blocked."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.intake.clients import Client
from tests.intake.house import House, open_house, settings_with

from gatepost.adapters.address_lists import SharedAddressLists
from gatepost.adapters.tls import ServerTls, self_signed
from gatepost.agents.sender_reputation import SenderReputation, Settings
from gatepost.config.schema import frozen
from gatepost.facts.sender_reputation import SPACE, ReputationBook
from gatepost.model.conduct import Evidence
from gatepost.ports.lists import Entry
from gatepost.ports.memory_shared import MemoryShared

NOW = 1_800_000_000.0
BAD, GOOD = "198.51.100.7", "203.0.113.9"


@dataclass
class Guarded:
    """A house with its block list and what workers share."""

    house: House
    lists: SharedAddressLists
    shared: MemoryShared
    table: Any
    clients: list[Client] = field(default_factory=list)

    async def client(self, ip: str, helo: str = "peer.example") -> Client:
        client = await Client.to(self.house)
        self.clients.append(client)
        await client.reply()
        await client.ask(b"EHLO proxy.example")
        assert (await client.ask(f"XCLIENT ADDR={ip}".encode())).startswith("220")
        await client.ask(f"EHLO {helo}".encode())
        return client

    @property
    def blocked(self) -> list[Entry]:
        return list(self.lists.entries("block"))

    @property
    def book(self) -> ReputationBook:
        return ReputationBook(self.shared, self.table)

    def events(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.house.lines.written if name == event]


def guarded(
    scenario: Callable[[Guarded], Awaitable[None]],
    agent: dict[str, Any] | None = None,
    harvest: dict[str, Any] | None = None,
    tls: ServerTls | None = None,
    ranges: dict[str, Any] | None = None,
    relays: tuple[str, ...] = (),
) -> None:
    async def run() -> None:
        shared = MemoryShared(lambda: NOW)
        lists = SharedAddressLists(shared, lambda: NOW)
        table = SenderReputation.settings_type.model_validate(frozen(agent or {}))
        settings = settings_with(
            {
                "xclient-peers": ["127.0.0.1"],
                "internal-clients-by-proxy": True,
                "limits": {"errors-soft": 500, "errors-hard": 500},
                "ranges": ranges or {},
                **({"tls": "optional", "auth": True} if tls is not None else {}),
            },
            harvest={"first-delay": "0s", **(harvest or {})},
            server={"hostname": "mx.ours.example", "internal-relays": relays},
        )
        async with open_house(
            settings, agents={"sender-reputation": table}, shared=shared, lists=lists, tls=tls
        ) as house:
            here = Guarded(house, lists, shared, table)
            await scenario(here)
            for client in here.clients:
                await client.close()

    asyncio.run(run())


MAIL = b"MAIL FROM:<x@there.example>"


async def guess(client: Client, times: int) -> str:
    said = await client.ask(MAIL)
    for number in range(times):
        said = await client.ask(f"RCPT TO:<guess{number}@ours.example>".encode())
        if said.startswith("421"):
            break
    return said


async def mail(client: Client) -> str:
    await client.ask(MAIL)
    await client.ask(b"RCPT TO:<bob@ours.example>")
    await client.ask(b"DATA")
    return await client.ask(b"Subject: x\r\n\r\nx\r\n.")


@pytest.mark.threat("F28")
def test_a_client_that_guesses_recipients_is_blocked_over_its_sessions() -> None:
    async def scenario(here: Guarded) -> None:
        for _ in range(3):
            client = await here.client(BAD)
            assert (await guess(client, 6)).startswith("550 5.1.1")
            await client.close()
        assert here.blocked == []
        assert (await guess(await here.client(BAD), 6)).startswith("421 4.7.0 Too many guesses")
        (entry,) = here.blocked
        assert (entry.list_name, entry.network, entry.author) == ("block", BAD, "harvest")
        assert entry.expires_at == pytest.approx(NOW + 3600, abs=60)
        assert "block-at 20" in entry.comment
        assert [line["limit"] for line in here.events("session-closed")] == ["harvest.block-at"]
        assert [line["network"] for line in here.events("client-blocked")] == [BAD]
        assert ("clients_blocked", {"by": "harvest"}) in here.house.lines.labelled

    guarded(scenario, harvest={"block-at": 20})


def test_a_network_that_guesses_together_is_blocked() -> None:
    async def scenario(here: Guarded) -> None:
        for last in range(10):
            client = await here.client(f"198.51.100.{last}")
            await guess(client, 3)
        assert [entry.network for entry in here.blocked] == ["198.51.100.0/24"]

    guarded(scenario, harvest={"network-block-at": 30})


def test_a_list_with_old_addresses_is_not_blocked() -> None:
    async def scenario(here: Guarded) -> None:
        client = await here.client(GOOD)
        for number in range(15):
            await client.ask(MAIL)
            await client.ask(b"RCPT TO:<bob@ours.example>")
            await client.ask(b"RCPT TO:<ann@ours.example>")
            assert (await client.ask(f"RCPT TO:<old{number}@ours.example>".encode())).startswith("550")
            await client.ask(b"RSET")
        assert here.blocked == []

    guarded(scenario, harvest={"block-at": 10})


def test_refusals_wait_longer_with_every_guess() -> None:
    async def scenario(here: Guarded) -> None:
        held: list[float] = []

        async def hold(delay_s: float, network: str = "") -> bool:
            held.append(delay_s)
            return True

        (door,) = here.house.doors
        door.tarpit.hold = hold  # type: ignore[method-assign]
        await guess(await here.client(BAD), 9)
        assert held == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]

    guarded(scenario, harvest={"slow-from": 2, "first-delay": "1s", "longest-delay": "3s"})


def test_our_own_machines_and_exempt_networks_are_not_blocked() -> None:
    async def scenario(here: Guarded) -> None:
        assert (await guess(await here.client(GOOD), 8)).startswith("550")
        assert (await guess(await here.client("192.168.1.5"), 8)).startswith(
            "421"
        )  # the session ends all the same
        assert here.blocked == []

    guarded(scenario, harvest={"block-at": 5, "exempt-networks": ["203.0.113.0/24"]})


def test_what_a_session_showed_is_kept_at_its_end() -> None:
    async def scenario(here: Guarded) -> None:
        client = await here.client(GOOD, helo="mx.ours.example")
        assert (await mail(client)).startswith("250")
        await client.ask(MAIL)
        await client.ask(b"RCPT TO:<nobody@ours.example>")
        await client.ask(b"RCPT TO:<trap@ours.example>")
        await client.ask(b"RCPT TO:<x@elsewhere.example>")
        assert here.book.standing(GOOD, NOW).evidence.sessions == 0
        await client.close()
        while not (seen := here.book.standing(GOOD, NOW).evidence).sessions:
            await asyncio.sleep(0.01)
        assert (seen.good, seen.spam, seen.recipients, seen.unknown) == (1, 0, 1, 2)
        assert (seen.refused, seen.traps, seen.own_helo, seen.false_literal) == (1, 1, 1, 0)

    guarded(scenario, {"trap-recipients": ["trap@ours.example"]})


def test_a_client_with_a_bad_level_is_refused_once_and_begins_anew() -> None:
    async def scenario(here: Guarded) -> None:
        here.book.add(BAD, Evidence(sessions=30, spam=30, recipients=30), "h.test", NOW)
        said = await (await here.client(BAD)).ask(MAIL)
        assert said.startswith("550 5.7.1 Too much unwanted mail")
        (entry,) = here.blocked
        assert (entry.network, entry.author) == (BAD, "sender-reputation")
        assert "30 mails were spam" in entry.comment
        again = await here.client(BAD)
        assert (await again.ask(MAIL)).startswith("250")  # its level begins anew, behind the block list
        assert "has sent too much unwanted mail" in await again.ask(b"RCPT TO:<bob@ours.example>")
        assert (await mail(await here.client(GOOD))).startswith("250")

    guarded(scenario)


@pytest.mark.threat("G14")
def test_a_flood_of_clients_is_bounded() -> None:
    shared = MemoryShared(lambda: NOW, limits={SPACE: 1000})
    book = ReputationBook(shared, Settings())
    for number in range(3000):
        book.add(f"10.{number >> 8}.{number & 255}.1", Evidence(spam=1), "", NOW)
    assert len(shared.items(SPACE)) <= 1000 * 17 // 16 + 1


@pytest.mark.slow
@pytest.mark.threat("F28")
def test_ten_thousand_guesses_block_the_guessers_and_good_mail_passes() -> None:
    """40 addresses of 4 networks, from a proxy; behind the block list nobody is let in again."""
    guesses, answered = 10_000, [0]

    async def scenario(here: Guarded) -> None:
        def is_blocked(ip: str) -> bool:
            return any(ip_address(ip) in ip_network(entry.network) for entry in here.blocked)

        async def guesser(ip: str, first: int) -> None:
            number = first
            while number < first + guesses // 40 and not is_blocked(ip):
                client = await here.client(ip)
                said = await client.ask(MAIL)
                while said[:3] in ("250", "550") and number < first + guesses // 40:
                    said = await client.ask(f"RCPT TO:<guess{number}@ours.example>".encode())
                    number += 1
                    answered[0] += said.startswith("550")
                await client.close()

        async def good() -> list[str]:
            said = []
            for _ in range(100):
                client = await here.client(GOOD)
                said.append((await mail(client))[:3])
                await client.close()
            return said

        attacks = [
            guesser(f"198.51.{net}.{last}", (net * 10 + last) * 1000)
            for net in range(4)
            for last in range(10)
        ]
        said, *_ = await asyncio.gather(good(), *attacks)
        assert said == ["250"] * 100
        blocked = {entry.network for entry in here.blocked}
        assert blocked >= {f"198.51.{net}.0/24" for net in range(4)}
        assert GOOD not in blocked
        assert answered[0] < guesses // 2
        assert here.house.lines.counted.count("harvest_delays") > 100

    guarded(scenario, harvest={"first-delay": "10ms", "longest-delay": "100ms"})


def test_guessed_passwords_end_sessions_and_of_who_is_blocked_for_it_none_is_read(tmp_path: Path) -> None:
    tls = ServerTls(str(self_signed(tmp_path, "mx.ours.example", now=NOW)))

    async def log_in(here: Guarded, password: bytes) -> str:
        client = await Client.to(here.house)
        here.clients.append(client)
        await client.reply()
        await client.ask(b"EHLO client.example")
        await client.start_tls()
        await client.ask(b"EHLO client.example")
        return await client.ask(b"AUTH PLAIN " + b64encode(b"\0ann\0" + password))

    async def scenario(here: Guarded) -> None:
        said = [await log_in(here, b"wrong") for _ in range(3)]
        assert [reply[:9] for reply in said] == ["535 5.7.8", "535 5.7.8", "421 4.7.0"]
        assert here.blocked == []  # this machine is one of ours
        assert (await log_in(here, b"secret")).startswith("235")
        here.lists.add(
            "block", "127.0.0.1", expires_at=NOW + 60, author="harvest", comment="as if it were not"
        )
        assert (await log_in(here, b"secret")).startswith("421 4.7.0 Too many guesses")
        here.lists.add("block", "127.0.0.1", expires_at=NOW + 60, author="ann", comment="", by_person=True)
        assert (await log_in(here, b"secret")).startswith("235")  # a list of people is about mail

    guarded(scenario, harvest={"logins-block-at": 3}, tls=tls)


def test_a_relay_in_a_named_range_is_not_judged_by_the_mail_of_others() -> None:
    async def scenario(here: Guarded) -> None:
        relay = await here.client("203.0.113.25")
        assert (await guess(relay, 3)).startswith("550")
        await relay.close()
        stranger = await here.client(GOOD)
        await guess(stranger, 3)
        await stranger.close()
        while not here.book.standing(GOOD, NOW).evidence.sessions:
            await asyncio.sleep(0.01)
        assert not here.book.standing("203.0.113.25", NOW).evidence.sessions

    guarded(scenario, ranges={"mx2": {"addresses": ["203.0.113.25"]}})


@pytest.mark.threat("Q09")
def test_a_relay_of_ours_is_not_counted_for_what_it_brings() -> None:
    async def scenario(here: Guarded) -> None:
        for ip in ("203.0.113.25", GOOD):
            client = await here.client(ip)
            assert (await guess(client, 8)).startswith("550" if ip != GOOD else "421")
            await client.close()
        while not here.book.standing(GOOD, NOW).evidence.sessions:
            await asyncio.sleep(0.01)
        assert not here.book.standing("203.0.113.25", NOW).evidence.sessions
        assert [entry.network for entry in here.blocked] == [GOOD]

    guarded(scenario, harvest={"block-at": 5}, relays=("203.0.113.25",))


RELAY = "203.0.113.25"


async def brought(client: Client, origin: str, *, unknown: int = 0) -> str:
    """One mail that a relay of ours brings from an origin, after so many recipients that do not exist."""
    await client.ask(MAIL)
    for number in range(unknown):
        await client.ask(f"RCPT TO:<guess{number}@ours.example>".encode())
    await client.ask(b"RCPT TO:<bob@ours.example>")
    await client.ask(b"DATA")
    received = f"Received: from mx.ours.example (x.test [{origin}]) by relay.example with ESMTP; x"
    return await client.ask(received.encode() + b"\r\nSubject: x\r\n\r\nx\r\n.")


@pytest.mark.threat("Q09", "F28")
def test_what_a_relay_of_ours_brings_counts_for_the_origin() -> None:
    async def scenario(here: Guarded) -> None:
        relay = await here.client(RELAY)
        assert (await brought(relay, GOOD)).startswith("250")
        assert (await brought(relay, BAD, unknown=3)).startswith("250")
        assert here.blocked == []
        assert (await brought(relay, BAD, unknown=3)).startswith("250")
        good, bad = (here.book.standing(ip, NOW).evidence for ip in (GOOD, BAD))
        assert (good.sessions, good.good, good.recipients, good.unknown, good.own_helo) == (1, 1, 1, 0, 1)
        assert (bad.sessions, bad.good, bad.recipients, bad.unknown) == (2, 2, 2, 6)
        assert not here.book.standing(RELAY, NOW).evidence.sessions
        assert [(entry.network, entry.author) for entry in here.blocked] == [(BAD, "harvest")]

    guarded(scenario, harvest={"block-at": 5}, relays=(RELAY,))
