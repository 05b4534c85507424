"""What TLS means for a session: what came before it, other protocols inside it, and clients that show who they are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.certificates import ca_file, client, in_file, leaf
from tests.intake.clients import MAIL, Client, in_house
from tests.intake.house import House

from gatepost.adapters.certificates import ServerOptions
from gatepost.adapters.tls import ServerTls

INJECTED = b"EHLO evil.example\r\n" + MAIL + b"DATA\r\nSubject: injected\r\n\r\n.\r\n"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    return ServerTls(in_file(tmp_path_factory.mktemp("tls") / "mx.pem", leaf("mx.ours.example")))


@pytest.mark.threat("D01", "D02")
@pytest.mark.parametrize("rest", [INJECTED, b"QUIT\r\n"])
def test_nothing_that_came_before_the_handshake_is_read_after_it(tls: ServerTls, rest: bytes) -> None:
    """The clear text behind STARTTLS comes in two segments, cut at each of its bytes, with a handshake behind it."""
    before = b"STARTTLS\r\n" + rest

    async def cut_at(house: House, place: int) -> None:
        client_side = await Client.to(house)
        await client_side.reply()
        await client_side.ask(b"EHLO client.example")
        client_side.writer.write(before[:place])
        said = await client_side.reply() if place == len(b"STARTTLS\r\n") else ""
        await asyncio.sleep(0)
        client_side.writer.write(before[place:])
        said = said or await client_side.reply()
        if said.startswith("220"):
            with pytest.raises((ssl.SSLError, OSError)):
                await client_side.writer.start_tls(client(), server_hostname="mx.ours.example")
        else:
            assert said.startswith("554")
        with contextlib.suppress(OSError, ssl.SSLError):
            assert b"250" not in await asyncio.wait_for(client_side.reader.read(), 10)
        await client_side.close()

    async def scenario(house: House) -> None:
        for place in range(1, len(before)):
            await cut_at(house, place)
        assert not house.accepted

    in_house(scenario, {"tls": "optional", "limits": {"connections-per-source": 1000}}, tls)


@pytest.mark.threat("C15", "C16", "D16")
@pytest.mark.parametrize("mode", ["implicit", "optional", "required"])
@pytest.mark.parametrize(
    "request_line",
    ["GET / HTTP/1.1", "POST /x HTTP/1.1", "CONNECT a:25 HTTP/1.1", "PRI * HTTP/2.0", "Host: x"],
)
def test_http_inside_tls_ends_the_session(tls: ServerTls, mode: str, request_line: str) -> None:
    body = request_line.encode() + b"\r\nHost: mx.ours.example\r\nX: <script>\r\n\r\n" + INJECTED
    web = client()
    web.set_alpn_protocols(["h2", "http/1.1"])

    async def scenario(house: House) -> None:
        if mode == "implicit":
            browser = await Client.to(house, ssl=web, server_hostname="mx.ours.example")
            await browser.reply()
        else:
            browser = await Client.to(house)
            await browser.reply()
            await browser.ask(b"EHLO client.example")
            assert (await browser.ask(b"STARTTLS")).startswith("220")
            await browser.writer.start_tls(web, server_hostname="mx.ours.example")
        browser.writer.write(body)
        said = await asyncio.wait_for(browser.reader.read(), 10)
        assert said[:3] in (b"221", b"421", b"554")
        assert said.count(b"\r\n") == 1
        assert b"script" not in said
        assert not house.accepted
        await browser.close()

    in_house(scenario, {"tls": mode}, tls)


# Clients that show who they are.

RELAY = leaf("relay.partner.example", "ann@partner.example", common_name="relay", by="partner")
IDENTITIES: dict[str, Any] = {
    "relay": {
        "match": ["dns:Relay.Partner.example"],
        "rights": ["submit", "relay", "any-sender"],
        "user": "ann",
    }
}
SHOWN: dict[str, Any] = {
    "tls": "required",
    "auth": True,
    "client-certificates": {"ask": "optional", "identities": IDENTITIES},
}


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    place = tmp_path_factory.mktemp("asking")
    options = ServerOptions(ask="optional", ca_file=ca_file(place / "ca.pem", "partner"))
    return ServerTls(in_file(place / "mx.pem", leaf("mx.ours.example")), options=options)


async def showing(house: House, shows: trustme.LeafCert | None) -> tuple[Client, str]:
    """A session under TLS, and what EHLO announces."""
    made = await Client.to(house)
    await made.reply()
    await made.ask(b"EHLO client.example")
    assert (await made.ask(b"STARTTLS")).startswith("220")
    await made.writer.start_tls(client(shows=shows), server_hostname="mx.ours.example")
    return made, await made.ask(b"EHLO client.example")


def test_a_certificate_has_the_rights_of_its_identity(asking: ServerTls) -> None:
    async def scenario(house: House) -> None:
        known, _ = await showing(house, RELAY)
        assert (await known.ask(b"MAIL FROM:<a@partner.example>")).startswith("250")
        assert (await known.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("250")
        await known.close()
        fields = next(fields for event, fields in house.lines.written if event == "client-certificate")
        assert fields["identity"] == "relay"
        assert "CN=relay" in str(fields["subject"])

    in_house(scenario, SHOWN, asking)


@pytest.mark.parametrize(
    "shows", [None, leaf("other.partner.example", by="partner")], ids=["none", "another"]
)
def test_without_an_identity_a_client_is_as_any_other(
    asking: ServerTls, shows: trustme.LeafCert | None
) -> None:
    async def scenario(house: House) -> None:
        stranger, offers = await showing(house, shows)
        assert "EXTERNAL" not in offers
        assert (await stranger.ask(b"MAIL FROM:<a@partner.example>")).startswith("250")
        assert (await stranger.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("550")
        assert (await stranger.ask(b"RCPT TO:<bob@ours.example>")).startswith("250")
        assert (await stranger.ask(b"AUTH EXTERNAL ="))[:1] == "5"
        await stranger.close()

    in_house(scenario, SHOWN, asking)


def test_a_certificate_goes_before_the_range_of_the_address(asking: ServerTls) -> None:
    """The range would let it relay: the identity does not."""
    settings = {
        **SHOWN,
        "ranges": {"here": {"addresses": ["127.0.0.1"], "rights": ["submit", "relay", "any-sender"]}},
        "client-certificates": {
            "ask": "optional",
            "identities": {
                "relay": {"match": ["email:ann@PARTNER.example"], "rights": ["submit", "any-sender"]}
            },
        },
    }

    async def scenario(house: House) -> None:
        for shows, said in ((None, "250"), (RELAY, "550")):
            made, _ = await showing(house, shows)
            await made.ask(b"MAIL FROM:<a@partner.example>")
            assert (await made.ask(b"RCPT TO:<x@elsewhere.example>")).startswith(said)
            await made.close()

    in_house(scenario, settings, asking)


@pytest.mark.parametrize("wanted", [b"AUTH EXTERNAL =", b"AUTH EXTERNAL " + base64.b64encode(b"Ann")])
def test_external_lets_in_whom_the_certificate_names(asking: ServerTls, wanted: bytes) -> None:
    async def scenario(house: House) -> None:
        known, offers = await showing(house, RELAY)
        assert "250-AUTH EXTERNAL SCRAM" in offers
        assert (await known.ask(wanted)).startswith("235")
        await known.ask(b"EHLO client.example")
        assert (await known.ask(b"MAIL FROM:<ann@ours.example>")).startswith("250")
        assert (await known.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("250")
        await known.ask(b"DATA")
        assert (await known.ask(b"From: ann@ours.example\r\n\r\nhi\r\n.")).startswith("250")
        assert b"with ESMTPSA" in house.message()
        assert house.accepted[0].mail.authenticated
        await known.close()

    in_house(scenario, SHOWN, asking)


def test_external_may_be_asked_for_the_name(asking: ServerTls) -> None:
    async def scenario(house: House) -> None:
        known, _ = await showing(house, RELAY)
        assert (await known.ask(b"AUTH EXTERNAL")).startswith("334")
        assert (await known.ask(base64.b64encode(b"ann"))).startswith("235")
        await known.close()

    in_house(scenario, SHOWN, asking)


@pytest.mark.threat("E05")
@pytest.mark.parametrize("name", ["bob", "ann\0bob", "ann@ours.example", "x" * 2000])
def test_external_is_nobody_else(asking: ServerTls, name: str) -> None:
    async def scenario(house: House) -> None:
        known, _ = await showing(house, RELAY)
        assert (await known.ask(b"AUTH EXTERNAL " + base64.b64encode(name.encode()))).startswith("535")
        await known.close()

    in_house(scenario, SHOWN, asking)


def test_a_disabled_account_is_not_opened_by_a_certificate(asking: ServerTls) -> None:
    async def scenario(house: House) -> None:
        house.accounts.disabled.add("ann")
        known, _ = await showing(house, RELAY)
        assert (await known.ask(b"AUTH EXTERNAL =")).startswith("535 5.7.8")
        house.accounts.broken = True
        assert (await known.ask(b"AUTH EXTERNAL =")).startswith("454 4.7.0")
        await known.close()

    in_house(scenario, SHOWN, asking)


def test_external_is_offered_only_where_it_is_wanted(asking: ServerTls) -> None:
    async def scenario(house: House) -> None:
        known, offers = await showing(house, RELAY)
        assert "250-AUTH PLAIN\r\n" in offers
        assert (await known.ask(b"AUTH EXTERNAL =")).startswith("504")
        await known.close()

    in_house(scenario, {**SHOWN, "auth-mechanisms": ["PLAIN"]}, asking)


@pytest.mark.threat("D18")
def test_a_bad_certificate_is_told_in_the_log(asking: ServerTls, tmp_path: Path) -> None:
    async def scenario(house: House) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, AssertionError):
            await showing(house, leaf("relay.partner.example", by="stranger"))
        while not any(event == "tls-failed" for event, _ in house.lines.written):
            await asyncio.sleep(0.01)
        assert "tls_failures" in house.lines.counted

    in_house(scenario, SHOWN, asking)


@pytest.mark.slow
@pytest.mark.threat("C06", "D13")
@pytest.mark.parametrize("mode", ["none", "implicit"])
def test_what_a_client_sends_that_does_not_read_is_left_with_it(tls: ServerTls, mode: str) -> None:
    """Neither commands nor whatever TLS answers by itself fill our memory: we stop reading."""
    commands = b"RSET\r\n" * 10000

    async def scenario(house: House) -> None:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", house.port))
        how: dict[str, Any] = (
            {"ssl": client(), "server_hostname": "mx.ours.example"} if mode == "implicit" else {}
        )
        deaf = Client(*await asyncio.open_connection(sock=small, limit=1024, **how))
        await deaf.reply()
        await deaf.ask(b"EHLO client.example")
        transport: Any = deaf.writer.transport
        transport.pause_reading()
        taken = 0
        while house.listener.session_count and taken < 64 << 20:
            if transport.get_write_buffer_size() < len(commands) and not transport.is_closing():
                deaf.writer.write(commands)
                taken += len(commands)
            await asyncio.sleep(0)
        assert taken < 12 << 20  # what the sockets hold
        transport.abort()

    in_house(scenario, {"tls": mode, "limits": {"command-timeout": "3s", "junk-commands": 1 << 30}}, tls)
