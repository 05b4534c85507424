"""XCLIENT in a session: who may say it, what the client it names may do, and what is left when it is named."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.intake.clients import PLAIN, Client, in_house
from tests.intake.house import House, open_house, settings_with

from gatepost.adapters.tls import ServerTls
from gatepost.agents.connection_control import Settings as ConnectionControl
from gatepost.config.schema import frozen
from gatepost.model.queued import KeepRecords

PEERS: dict[str, Any] = {"xclient-peers": ["127.0.0.1"]}
CLIENT = "192.0.2.7"
MAIL = b"MAIL FROM:<you@there.example>"
OURS, ELSEWHERE = b"RCPT TO:<bob@ours.example>", b"RCPT TO:<x@elsewhere.example>"


async def greeted(house: House) -> Client:
    client = await Client.to(house)
    assert (await client.reply()).startswith("220")
    return client


async def code(client: Client, *lines: bytes) -> str:
    """Of the reply to the last line."""
    said = ""
    for line in lines:
        said = await client.ask(line)
    return said[:3]


async def send(client: Client) -> None:
    assert await code(client, b"EHLO peer.example", MAIL, OURS, b"DATA") == "354"
    assert (await client.ask(b"Subject: x\r\n\r\nx\r\n.")).startswith("250")


@pytest.mark.threat("Q07")
def test_the_mail_is_the_clients_and_the_peer_is_on_record() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert "XCLIENT NAME ADDR PORT PROTO HELO DESTADDR DESTPORT" in await client.ask(b"EHLO peer.example")
        said = await client.ask(
            b"XCLIENT ADDR=192.0.2.7 PORT=4711 PROTO=SMTP HELO=client.example DESTADDR=198.51.100.25 DESTPORT=25"
        )
        assert said.startswith("220 mx.ours.example")
        await send(client)
        await client.close()
        (accept,) = house.accepted
        assert accept.mail.client_ip == CLIENT
        head = accept.content.head.decode()
        # The peer's own EHLO is not its client's
        assert f"from client.example ([{CLIENT}])" in head.replace("\r\n\t", " ").replace("\r\n ", " ")
        assert "with SMTP" in head
        kept = [c for changes in house.store.transactions for c in changes if isinstance(c, KeepRecords)]
        (record,) = [json.loads(r.data) for one in kept for r in one.records if r.event == "RECEIVE"]
        assert record["original-server-ip"] == "127.0.0.1"
        assert record["server-ip"] == "198.51.100.25"

    in_house(scenario, PEERS)


@pytest.mark.threat("Q06", "B31")
def test_nobody_else_may_name_a_client() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert "XCLIENT" not in await client.ask(b"EHLO client.example")
        assert (await client.ask(b"XCLIENT ADDR=192.0.2.7")).startswith("550 5.7.0")
        await send(client)
        await client.close()
        assert house.accepted[0].mail.client_ip == "127.0.0.1"

    in_house(scenario, {"xclient-peers": ["192.0.2.200"]})


@pytest.mark.threat("Q06")
def test_the_peer_stays_the_one_whose_connection_it_is() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert (
            await code(client, b"XCLIENT ADDR=192.0.2.7", b"XCLIENT ADDR=192.0.2.8 NAME=b.example") == "220"
        )
        await send(client)
        await client.close()
        assert house.accepted[0].mail.client_ip == "192.0.2.8"

    in_house(scenario, PEERS)


def test_rights_are_the_clients() -> None:
    async def scenario(house: House) -> None:
        # Given a peer that may relay itself
        client = await greeted(house)
        assert await code(client, b"EHLO peer.example", MAIL, ELSEWHERE) == "250"
        await client.ask(b"RSET")
        # Then its clients may not, but for the one that may
        await client.ask(b"XCLIENT ADDR=192.0.2.7")
        assert await code(client, b"EHLO peer.example", MAIL, ELSEWHERE) == "550"
        await client.ask(b"RSET")
        await client.ask(b"XCLIENT ADDR=203.0.113.9")
        assert await code(client, b"EHLO peer.example", MAIL, ELSEWHERE) == "250"
        await client.close()

    rights = ["submit", "relay", "any-sender"]
    in_house(
        scenario, {**PEERS, "ranges": {"a": {"addresses": ["127.0.0.1", "203.0.113.9"], "rights": rights}}}
    )


@pytest.mark.threat("Q05", "Q07")
@pytest.mark.parametrize(("allowed", "reply"), [(False, "550 5.7.0"), (True, "220")])
def test_an_internal_address_is_believed_only_where_that_is_allowed(allowed: bool, reply: str) -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert (await client.ask(b"XCLIENT ADDR=10.0.0.1")).startswith(reply)
        assert (await client.ask(b"XCLIENT HELO=x.example")).startswith("220")
        await client.close()

    in_house(scenario, {**PEERS, "internal-clients-by-proxy": allowed})


def test_a_client_whom_the_connector_does_not_serve_is_refused() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert (await client.ask(b"XCLIENT ADDR=192.0.2.7")).startswith("550 5.7.0")
        assert (await client.ask(b"XCLIENT ADDR=203.0.113.9")).startswith("220")
        await client.close()

    in_house(scenario, {**PEERS, "remote-ranges": ["127.0.0.1", "203.0.113.0/24"]})


@pytest.mark.threat("Q07")
def test_tls_of_the_peer_is_not_its_clients(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        await client.ask(b"EHLO peer.example")
        await client.start_tls()
        assert "AUTH" in await client.ask(b"EHLO peer.example")
        await client.ask(b"XCLIENT ADDR=192.0.2.7")
        told = await client.ask(b"EHLO peer.example")
        assert "AUTH" not in told
        assert "STARTTLS" not in told
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("502")
        await send(client)
        await client.close()
        assert b"with ESMTP " in house.accepted[0].content.head.replace(b"\r\n\t", b" ")

    in_house(scenario, {**PEERS, "tls": "optional", "auth": True}, tls)


@pytest.mark.threat("Q07", "D03")
def test_what_was_said_in_the_clear_is_forgotten_at_starttls(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        await client.ask(b"XCLIENT ADDR=192.0.2.7 HELO=client.example LOGIN=ann")
        await client.ask(b"EHLO peer.example")
        await client.start_tls()
        await client.ask(b"EHLO peer.example")
        await send(client)
        await client.close()
        mail = house.accepted[0].mail
        assert (mail.client_ip, mail.authenticated) == ("127.0.0.1", False)

    in_house(scenario, {**PEERS, "tls": "optional", "auth": True}, tls)


def test_a_login_is_believed_where_one_could_log_in(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert "LOGIN" in await client.ask(b"EHLO peer.example")
        await client.ask(b"XCLIENT ADDR=192.0.2.7 LOGIN=ann")
        assert await code(client, b"EHLO peer.example", MAIL, ELSEWHERE) == "250"
        await client.ask(b"RSET")
        # Another client is not the one who logged in
        await client.ask(b"XCLIENT ADDR=192.0.2.8")
        assert await code(client, b"EHLO peer.example", MAIL, ELSEWHERE) == "550"
        await client.ask(b"RSET")
        # And somebody who is shut out stays so
        house.accounts.disabled.add("eve")
        assert (await client.ask(b"XCLIENT ADDR=192.0.2.7 LOGIN=eve")).startswith("550 5.7.0")
        house.accounts.broken = True
        assert (await client.ask(b"XCLIENT ADDR=192.0.2.7 LOGIN=ann")).startswith("4")
        await client.close()

    in_house(scenario, {**PEERS, "tls": "optional", "auth": True}, tls)


def test_without_auth_there_is_no_login_to_believe() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert (await client.ask(b"XCLIENT ADDR=192.0.2.7 LOGIN=ann")).startswith("501")
        await client.close()

    in_house(scenario, PEERS)


REFUSED = {
    "by its address": ({"addresses": ["192.0.2.0/24"]}, b"ADDR=192.0.2.7"),
    "by the name that was told, which nobody looks up": (
        {"domains": ["client.example"]},
        b"NAME=a.client.example ADDR=203.0.113.9",
    ),
}


@pytest.mark.parametrize(("table", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_a_client_that_agents_refuse_ends_the_session(table: dict[str, Any], said: bytes) -> None:
    async def run() -> None:
        agents = {"connection-control": ConnectionControl.model_validate(frozen(table))}
        async with open_house(settings_with(PEERS), agents=agents) as house:
            client = await greeted(house)
            assert (await client.ask(b"XCLIENT ADDR=203.0.113.9 NAME=[UNAVAILABLE]")).startswith("220")
            assert (await client.ask(b"XCLIENT " + said)).startswith("554 5.7.1")
            assert await client.is_closed()
            await client.close()

    asyncio.run(run())


def test_the_protocol_log_says_what_was_told() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        await client.ask(b"XCLIENT ADDR=192.0.2.7 HELO=client.example NAME=[UNAVAILABLE]")
        await client.close()
        assert any(",XCLIENT ADDR=192.0.2.7 NAME= HELO=client.example," in line for line in house.lines.said)

    in_house(scenario, {**PEERS, "protocol-log": True})
