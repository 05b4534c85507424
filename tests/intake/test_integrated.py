"""NTLM and GSSAPI as conversations: who comes in, what a failure costs, and that no exchange goes on for ever."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from tests.intake.clients import Client
from tests.intake.house import House, open_house, settings_with
from tests.protocol.test_ntlm import HASH, message

from gatepost.adapters.tls import ServerTls, self_signed
from gatepost.intake.integrated import OCTETS_LIMIT, ROUNDS_LIMIT, Integrated, user_of_principal
from gatepost.model.fault import WorldFault
from gatepost.ports.gssapi import GssStep
from gatepost.protocol import ntlm

OPENING = b"NTLMSSP\0\1\0\0\0" + bytes(20)
Scenario = Callable[[House, Client], Awaitable[None]]


@dataclass
class Hashes:
    """ann's password is "Password"."""

    broken: bool = False

    def nt_hash(self, user: str) -> bytes | None:
        if self.broken:
            raise WorldFault("the hashes are away")
        return HASH if user.lower() == "ann" else None


@dataclass
class Kerberos:
    """An acceptor whose tokens are words: "more", "good" and "last"; and its own only context."""

    principal: str = "ann@OURS.EXAMPLE"
    wrapped: list[bytes] = field(default_factory=list)

    def begin(self) -> Kerberos:
        return self

    async def step(self, token: bytes) -> GssStep:
        if token == b"away":
            raise WorldFault("too many wait")
        if token.startswith(b"more"):
            return GssStep(b"go on", "")
        if token in (b"good", b"last"):
            return GssStep(b"me, too" if token == b"good" else b"", self.principal)
        raise ValueError("no token")

    async def wrap(self, data: bytes) -> bytes:
        self.wrapped.append(data)
        return b"wrapped:" + data

    async def unwrap(self, data: bytes) -> bytes:
        if not data.startswith(b"wrapped:"):
            raise ValueError("not wrapped")
        return data.removeprefix(b"wrapped:")


def converse(
    tmp_path: Path, scenario: Scenario, *, hashes: Hashes | None = None, kerberos: Kerberos | None = None
) -> None:
    tls = ServerTls(str(self_signed(tmp_path, "mx.ours.example", now=1_800_000_000.0)))
    door = {"tls": "optional", "auth": True, "auth-mechanisms": ["GSSAPI", "NTLM"]}
    integrated = Integrated(
        nt_hashes=hashes or Hashes(),
        ntlm_domain="OURS",
        gssapi=kerberos or Kerberos(),
        user_of=partial(user_of_principal, realms=("OURS.EXAMPLE",), keep_realm=False),
    )

    async def run() -> None:
        settings = settings_with(door, users={"lockout": {"account-failures": 2}})
        async with open_house(settings, tls=tls, integrated=integrated) as house:
            client = await Client.to(house)
            await client.reply()
            assert "AUTH" not in await client.ask(b"EHLO client.example")
            await client.start_tls()
            assert "250-AUTH GSSAPI NTLM\r" in await client.ask(b"EHLO client.example")
            await scenario(house, client)
            await client.close()

    asyncio.run(run())


async def say(client: Client, *words: bytes) -> str:
    """The reply to the last of some responses, the first of which goes with AUTH GSSAPI."""
    first, *others = words
    said = await client.ask(b"AUTH GSSAPI " + (base64.b64encode(first) or b"="))
    for word in others:
        assert said.startswith("334 "), said
        said = await client.ask(base64.b64encode(word))
    return said


LAYER = b"wrapped:\x01\0\0\0"
GSSAPI = [
    ("mutual", (b"good", b"", LAYER), "235 "),
    ("in more rounds", (b"more", b"more", b"good", b"", LAYER), "235 "),
    ("not mutual", (b"last", LAYER), "235 "),
    ("one's own name", (b"last", LAYER + b"ANN"), "235 "),
    ("one's own principal", (b"last", LAYER + b"ann@OURS.EXAMPLE"), "235 "),
    ("somebody else's name", (b"last", LAYER + b"boss"), "535 5.7.8"),
    ("a layer", (b"last", b"wrapped:\x02\0\x10\0"), "501 5.5.2"),
    ("no choice", (b"last", b"wrapped:\x01\0\0"), "501 5.5.2"),
    ("a name in no letters", (b"last", LAYER + b"\xff"), "501 5.5.2"),
    ("not wrapped", (b"last", b"\x01\0\0\0"), "535 5.7.8"),
    ("more after the end", (b"good", b"good"), "501 5.5.2"),
    ("no token", (b"x",), "535 5.7.8"),
    ("nothing", (b"",), "535 5.7.8"),
    ("away", (b"away",), "454 4.7.0"),
    ("as many rounds as may be", (b"more",) * (ROUNDS_LIMIT - 2) + (b"last", LAYER), "235 "),
    ("rounds without end", (b"more",) * (ROUNDS_LIMIT + 1), "535 5.7.8"),
]


@pytest.mark.threat("E04", "E05", "E08", "E10")
@pytest.mark.parametrize(("name", "words", "reply"), GSSAPI, ids=[row[0] for row in GSSAPI])
def test_gssapi(tmp_path: Path, name: str, words: tuple[bytes, ...], reply: str) -> None:
    async def scenario(house: House, client: Client) -> None:
        assert (await say(client, *words)).startswith(reply)
        let_in = await client.ask(b"AUTH GSSAPI")
        assert let_in.startswith("503 " if reply == "235 " else "334 ")

    converse(tmp_path, scenario)


def test_gssapi_without_an_initial_response(tmp_path: Path) -> None:
    kerberos = Kerberos()

    async def scenario(house: House, client: Client) -> None:
        assert await client.ask(b"AUTH GSSAPI") == "334 \r\n"
        assert (await client.ask(base64.b64encode(b"last"))).startswith("334 ")
        assert (await client.ask(base64.b64encode(LAYER))).startswith("235 ")
        # No security layer is offered but none
        assert kerberos.wrapped == [b"\x01\0\0\0"]
        assert house.lines.counted.count("authentications") == 1

    converse(tmp_path, scenario, kerberos=kerberos)


@pytest.mark.threat("E04")
def test_octets_without_end(tmp_path: Path) -> None:
    async def scenario(house: House, client: Client) -> None:
        # Auth lines of 12 KiB are 9 KiB decoded: the rounds end it first, unless longer lines are allowed
        assert ROUNDS_LIMIT * 65536 * 3 // 4 > OCTETS_LIMIT > ROUNDS_LIMIT * 12288
        assert (await say(client, *(b"more" + b"x" * 9000,) * (ROUNDS_LIMIT + 1))).startswith("535 ")

    converse(tmp_path, scenario)


def test_a_principal_of_another_realm_or_of_a_disabled_account(tmp_path: Path) -> None:
    async def scenario(house: House, client: Client) -> None:
        assert (await say(client, b"last", LAYER)).startswith("535 ")
        assert ("authentication-failed", "GSSAPI") in [
            (event, fields.get("mechanism")) for event, fields in house.lines.written
        ]

    converse(tmp_path, scenario, kerberos=Kerberos(principal="ann@OTHER.EXAMPLE"))

    async def disabled(house: House, client: Client) -> None:
        house.accounts.disabled.add("ann")
        assert (await say(client, b"last", LAYER)).startswith("535 ")

    converse(tmp_path, disabled)


@pytest.mark.parametrize(
    ("principal", "keep", "user"),
    [
        ("ann@OURS.EXAMPLE", False, "ann"),
        ("ann@OURS.EXAMPLE", True, "ann@ours.example"),
        ("app/host.example@OURS.EXAMPLE", False, "app/host.example"),
        ("ann@ours.example", False, ""),
        ("ann@OTHER.EXAMPLE", True, ""),
        ("ann", False, ""),
        ("@OURS.EXAMPLE", False, ""),
        (" ann@OURS.EXAMPLE", False, ""),
        ("a\nb@OURS.EXAMPLE", False, ""),
        ("boss\\@OTHER.EXAMPLE@OURS.EXAMPLE", False, ""),
        ("a\\b@OURS.EXAMPLE", False, ""),
        ("a" * 256 + "@OURS.EXAMPLE", False, ""),
    ],
)
def test_whose_account_a_principal_is(principal: str, keep: bool, user: str) -> None:
    assert user_of_principal(principal, realms=("OURS.EXAMPLE",), keep_realm=keep) == user


def answered(said: str, *, user: str = "ann", password_hash: bytes = HASH, channel: bytes = b"") -> bytes:
    """What a client says to our challenge."""
    server_challenge = base64.b64decode(said[4:])[24:32]
    target = "OURS".encode("utf-16-le")
    tail = bytes.fromhex("0101") + bytes(26) + channel + bytes(4)
    key = ntlm._hmac(password_hash, user.upper().encode("utf-16-le") + target)
    proof = ntlm._hmac(key, server_challenge + tail)
    return base64.b64encode(message(proof + tail, user=user.encode("utf-16-le"), domain=target))


async def challenged(client: Client) -> str:
    assert await client.ask(b"AUTH NTLM") == "334 NTLM supported\r\n"
    return await client.ask(base64.b64encode(OPENING))


def test_ntlm(tmp_path: Path) -> None:
    async def scenario(house: House, client: Client) -> None:
        said = await client.ask(b"AUTH NTLM " + base64.b64encode(OPENING))
        assert (await client.ask(answered(said, user="Ann"))).startswith("235 ")
        assert (await client.ask(b"MAIL FROM:<ann@ours.example>")).startswith("250")
        assert (await client.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("250")

    converse(tmp_path, scenario)


@pytest.mark.threat("E06", "E07", "E10")
def test_ntlm_that_is_wrong_is_a_failure_of_the_account(tmp_path: Path) -> None:
    async def scenario(house: House, client: Client) -> None:
        # Given a wrong password and a user there is none of: they hear the same
        replies = []
        for user, password_hash in (("ann", bytes(16)), ("nobody", bytes(16))):
            said = await challenged(client)
            replies.append(await client.ask(answered(said, user=user, password_hash=password_hash)))
        assert set(replies) == {"535 5.7.8 Authentication credentials invalid\r\n"}
        # When the account's second failure comes from a second session, the third try is not looked at
        again = await Client.to(house)
        await again.reply()
        await again.ask(b"EHLO client.example")
        await again.start_tls()
        await again.ask(b"EHLO client.example")
        assert (await again.ask(answered(await challenged(again), password_hash=bytes(16)))).startswith("535")
        assert (await again.ask(answered(await challenged(again)))).startswith("421 4.7.0")
        # But whoever has a ticket guesses nothing, and comes in
        assert (await say(client, b"last", LAYER)).startswith("235 ")
        await again.close()

    converse(tmp_path, scenario)


@pytest.mark.threat("E10")
def test_ntlm_meant_for_another_server_does_not_count(tmp_path: Path) -> None:
    async def scenario(house: House, client: Client) -> None:
        # Given a client that is bound to the certificate of whoever passes its words on
        channel = bytes.fromhex("0a001000") + b"m" * 16
        said = await client.ask(answered(await challenged(client), channel=channel))
        assert said.startswith("535 ")

    converse(tmp_path, scenario)


@pytest.mark.threat("E04", "E08")
@pytest.mark.parametrize("word", [b"", b"NTLMSSP\0", b"NTLMSSP\0\3\0\0\0", b"\xff" * 9000])
def test_ntlm_that_is_none(tmp_path: Path, word: bytes) -> None:
    async def scenario(house: House, client: Client) -> None:
        said = await client.ask(b"AUTH NTLM " + (base64.b64encode(word) or b"="))
        assert said.startswith("501 5.5.2")
        await challenged(client)
        assert (await client.ask(base64.b64encode(word) or b"=")).startswith("501 5.5.2")

    converse(tmp_path, scenario)


@pytest.mark.threat("E08", "E07")
def test_ntlm_without_hashes_or_with_a_disabled_account(tmp_path: Path) -> None:
    hashes = Hashes(broken=True)

    async def scenario(house: House, client: Client) -> None:
        assert (await client.ask(answered(await challenged(client)))).startswith("454 4.7.0")
        hashes.broken = False
        house.accounts.disabled.add("ann")
        assert (await client.ask(answered(await challenged(client)))).startswith("535 5.7.8")
        said = await challenged(client)
        assert (await client.ask(answered(said, user="a\nb"))).startswith("535 5.7.8")

    converse(tmp_path, scenario, hashes=hashes)
