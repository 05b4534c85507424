"""Behind a proxy: its header decides who the client is, and everything that depends on that; nobody else's does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.intake.house import House, open_house, settings_with
from tests.protocol.test_proxy import BAD, CLIENT, SERVER, V4, block_of, v2

from gatepost.adapters.tls import ServerTls, client_pump, self_signed
from gatepost.intake.listener import INTRODUCTIONS_LIMIT
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.model.queued import KeepRecords, StoredRecord

PROXIES: dict[str, Any] = {"proxies": ["127.0.0.1"]}
V1 = f"PROXY TCP4 {CLIENT} {SERVER} 4711 25\r\n".encode()
HEADERS = {"version 1": V1, "version 2": v2(V4)}
A_MAIL = (
    b"HELO client.example\r\n",
    b"MAIL FROM:<you@there.example>\r\n",
    b"RCPT TO:<ann@ours.example>\r\n",
    b"DATA\r\n",
    b"Subject: hello\r\n\r\ntext\r\n.\r\n",
)
RELAY = (b"HELO client.test\r\n", b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<x@away.example>\r\n")


def run(work: Callable[[House], Coroutine[Any, Any, None]], **connector: Any) -> None:
    async def with_house() -> None:
        async with open_house(settings_with({**PROXIES, **connector})) as house:
            await work(house)

    asyncio.run(with_house())


def records_of(house: House) -> list[StoredRecord]:
    house.store.sync()
    kept = [c for changes in house.store.transactions for c in changes if isinstance(c, KeepRecords)]
    return [record for one in kept for record in one.records]


async def talk(house: House, header: bytes, *commands: bytes, cut: int = 0) -> bytes:
    """Connect, send the header (in pieces of `cut` octets), wait for the greeting, then say the commands."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    for at in range(0, len(header), cut or len(header) or 1):
        writer.write(header[at : at + (cut or len(header))])
        await writer.drain()
        await asyncio.sleep(0)
    heard = await asyncio.wait_for(reader.readline(), 60)
    for command in commands:
        writer.write(command)
        heard += await asyncio.wait_for(reader.readline(), 60)
    writer.write_eof()
    heard += await asyncio.wait_for(reader.read(), 60)
    writer.close()
    return heard


async def closed_upon(house: House, beginning: bytes) -> dict[str, object]:
    """What is logged when a proxy begins so and is closed without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    writer.write(beginning)
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 60) == b""
    writer.close()
    (said,) = [fields for event, fields in house.lines.written if event == "connection-refused"]
    return said


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("cut", [0, 1])
def test_the_mail_is_the_clients_and_the_proxy_is_on_record(header: bytes, cut: int) -> None:
    async def work(house: House) -> None:
        heard = await talk(house, header, *A_MAIL, cut=cut)
        assert heard.startswith(b"220 mx.ours.example")
        (accept,) = house.accepted
        assert accept.mail.client_ip == CLIENT
        assert f"from client.example ([{CLIENT}])".encode() in accept.content.head
        (record,) = [json.loads(r.data) for r in records_of(house) if r.event == "RECEIVE"]
        assert (record["client-ip"], record["server-ip"]) == (CLIENT, SERVER)
        assert record["original-server-ip"] == "127.0.0.1"

    run(work)


def test_a_refusal_names_the_proxy() -> None:
    async def work(house: House) -> None:
        await talk(house, V1, *RELAY)
        (record,) = [json.loads(r.data) for r in records_of(house) if r.kind == "agent"]
        assert record["RemoteEndpoint"] == f"{CLIENT}:4711"
        assert record["LocalEndpoint"] == f"{SERVER}:25"
        assert record["Diagnostics"] == "proxy=127.0.0.1"

    run(work)


def test_rights_and_limits_are_the_clients() -> None:
    async def work(house: House) -> None:
        # Given a client with a right of its own, the others behind the same proxy do not have it
        assert b"550 5.7.1" in await talk(house, V1, *RELAY)
        partner = b"PROXY TCP4 203.0.113.9 198.51.100.25 4711 25\r\n"
        assert b"550 5.7.1" not in await talk(house, partner, *RELAY)
        # And one client may be here twice, another is not kept out by that
        held = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(2)]
        for reader, writer in held:
            writer.write(V1)
            assert (await reader.readline()).startswith(b"220")
        assert (await talk(house, V1)).startswith(b"421 4.3.2")
        assert (await talk(house, partner)).startswith(b"220")
        for _, writer in held:
            writer.close()

    run(
        work,
        ranges={"partner": {"addresses": ["203.0.113.9"], "rights": ["submit", "relay", "any-sender"]}},
        limits={"connections-per-source": 2},
    )


def test_the_door_is_the_clients_and_trusts_the_proxy() -> None:
    # Given two more doors at the same address: one for the client that trusts the proxy, one that does not
    doors = {
        "internet": {"listen": ["127.0.0.1:25"], "banner": "internet", "tls": "none", **PROXIES},
        "partner": {
            "listen": ["127.0.0.1:25"],
            "banner": "partner",
            "tls": "none",
            "remote-ranges": ["192.0.2.0/24"],
            **PROXIES,
        },
        "trusting": {
            "listen": ["127.0.0.1:25"],
            "banner": "trusting",
            "tls": "none",
            "remote-ranges": ["192.0.2.7"],
        },
    }

    async def work() -> None:
        async with open_house(settings_with(**{"receive-connectors": doors})) as house:
            assert b"partner" in await talk(house, V1)
            assert b"internet" in await talk(house, b"PROXY TCP4 203.0.113.9 198.51.100.25 4711 25\r\n")

    asyncio.run(work())


LOCAL = {"1: UNKNOWN": b"PROXY UNKNOWN\r\n", "2: LOCAL": v2(V4, command=0x20), "2: unspecified": v2(family=0)}


@pytest.mark.parametrize("header", LOCAL.values(), ids=LOCAL.keys())
def test_a_proxy_that_speaks_for_itself_is_the_client(header: bytes) -> None:
    async def work(house: House) -> None:
        await talk(house, header, *RELAY)
        (record,) = [json.loads(r.data) for r in records_of(house) if r.kind == "agent"]
        assert record["RemoteEndpoint"].startswith("127.0.0.1:")
        assert record["Diagnostics"] == ""

    run(work)


@pytest.mark.threat("Q02", "Q03")
@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_a_broken_header_is_closed_without_a_word(header: bytes) -> None:
    async def work(house: House) -> None:
        said = await closed_upon(house, header)
        assert said["client_ip"] == "127.0.0.1"
        assert said["limit"] == "proxy-header"
        assert str(said["reason"]).startswith("bad PROXY header: ")
        assert house.listener.session_count == 0

    run(work)


@pytest.mark.threat("Q02")
@pytest.mark.parametrize(
    "beginning", [b"", b"PROXY TCP4 192.0.2.7", v2(V4)[:-1]], ids=["nothing", "half", "almost"]
)
def test_a_header_that_does_not_come_ends_the_connection(beginning: bytes) -> None:
    async def work(house: House) -> None:
        said = await closed_upon(house, beginning)
        assert said["reason"] == "no PROXY header within 0.1 s"

    run(work, **{"proxy-timeout": "100ms"})


def test_a_look_whether_we_are_alive_is_nothing_to_tell() -> None:
    async def work(house: House) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.close()
        await writer.wait_closed()
        assert (await talk(house, V1)).startswith(b"220")  # by then the other one is gone
        assert house.lines.written == []

    run(work)


@pytest.mark.threat("Q01")
@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("when", ["at once", "after the greeting"])
def test_nobody_else_may_say_who_the_client_is(header: bytes, when: str) -> None:
    async def work(house: House) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        heard = await asyncio.wait_for(reader.readline(), 60) if when == "after the greeting" else b""
        writer.write(header + b"EHLO client.test\r\n")
        heard += await asyncio.wait_for(reader.read(), 60)
        writer.close()
        assert heard.splitlines()[-1][:3] in (b"421", b"500", b"554")
        assert b"250" not in heard
        for line in records_of(house):
            assert CLIENT not in str(line.data)

    run(work, proxies=["192.0.2.200"])


@pytest.mark.threat("Q04")
@pytest.mark.parametrize("second", HEADERS.values(), ids=HEADERS.keys())
@pytest.mark.parametrize("together", [True, False], ids=["in one piece", "after the greeting"])
def test_a_second_header_ends_the_session(second: bytes, together: bool) -> None:
    async def work(house: House) -> None:
        heard = (
            await talk(house, V1 + second)
            if together
            else await talk(house, V1, second + b"EHLO client.test\r\n")
        )
        assert heard.splitlines()[-1][:3] in (b"421", b"500", b"554")
        assert b"250" not in heard

    run(work)


@pytest.mark.threat("C01", "Q04")
def test_what_a_client_says_behind_the_header_is_said_too_early() -> None:
    async def work(house: House) -> None:
        assert (await talk(house, V1 + b"EHLO client.test\r\n")).startswith(b"554 5.5.1")

    run(work)


INTERNAL = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "172.16.0.1"]


@pytest.mark.threat("Q05")
@pytest.mark.parametrize("address", INTERNAL)
def test_an_internal_address_is_believed_only_where_that_is_allowed(address: str) -> None:
    office = {"office": {"addresses": INTERNAL, "rights": ["submit", "relay", "any-sender"]}}
    header = v2(block_of(address, SERVER))

    async def refused(house: House) -> None:
        assert (await talk(house, header)).startswith(b"421 4.3.5")
        (said,) = [fields for event, fields in house.lines.written if event == "connection-refused"]
        assert (said["limit"], said["proxy_ip"]) == ("internal-clients-by-proxy", "127.0.0.1")

    async def served(house: House) -> None:
        assert b"550" not in await talk(house, header, *RELAY)

    run(refused, ranges=office)
    run(served, ranges=office, **{"internal-clients-by-proxy": True})


def test_connections_without_header_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert INTRODUCTIONS_LIMIT > 100
    monkeypatch.setattr("gatepost.intake.listener.INTRODUCTIONS_LIMIT", 1)

    async def work(house: House) -> None:
        first, first_writer = await asyncio.open_connection("127.0.0.1", house.port)
        second, second_writer = await asyncio.open_connection("127.0.0.1", house.port)
        assert (await asyncio.wait_for(second.readline(), 60)).startswith(b"421 4.3.2")
        first_writer.write(V1)
        assert (await asyncio.wait_for(first.readline(), 60)).startswith(b"220")
        # And where one has been introduced there is room for another
        assert (await talk(house, V1)).startswith(b"220")
        first_writer.close()
        second_writer.close()

    run(work)


@pytest.mark.threat("Q04")
def test_the_header_comes_before_tls_and_not_inside(tmp_path: Path) -> None:
    tls = ServerTls(str(self_signed(tmp_path, "mx.ours.example", now=time.time())))

    async def work() -> None:
        async with open_house(settings_with({**PROXIES, "tls": "implicit"}), tls=tls) as house:
            pump = client_pump("mx.ours.example", LinkTls(mode=LinkMode.REQUIRED))
            reader, writer = await asyncio.open_connection("127.0.0.1", house.port)

            async def hear() -> bytes:
                heard = b""
                while not heard:
                    heard, answer = pump.receive(await asyncio.wait_for(reader.read(65536), 60))
                    writer.write(answer)
                return heard

            # When header and handshake come in one piece
            writer.write(v2(V4) + pump.start())
            # Then the greeting is encrypted, and another header inside is a breach
            assert (await hear()).startswith(b"220")
            writer.write(pump.send(V1))
            assert (await hear()).startswith(b"421")
            writer.close()

    asyncio.run(work())
