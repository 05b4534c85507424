"""Whole sessions that log in: passwords, SCRAM and tokens, and what becomes of those who fail."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.intake.clients import MAIL, PLAIN, WRONG, Client, encrypted, in_house
from tests.intake.house import House, open_house, settings_with

from gatepost.adapters.certificates import end_point_of
from gatepost.adapters.tls import ServerTls
from gatepost.model.fault import WorldFault
from gatepost.protocol.sasl_client import BearerClient, ScramClient


@pytest.mark.threat("E01")
def test_auth_needs_tls(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        assert "AUTH" not in await client.ask(b"EHLO client.example")
        assert (await client.ask(b"AUTH PLAIN " + PLAIN))[:3] in ("530", "538", "502", "503")
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


@pytest.mark.threat("E03", "B14")
def test_who_authenticates_may_relay(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("235 2.7.0")
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("503")
        # sendmail, Exim and JavaMail say once more who they are, without another EHLO (RFC 4954 §5)
        assert (await client.ask(b"MAIL FROM:<ann@ours.example> AUTH=<>")).startswith("250")
        await client.ask(b"EHLO client.example")
        assert (await client.ask(b"MAIL FROM:<ann@ours.example> AUTH=ann@ours.example")).startswith("250")
        assert (await client.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("250")
        await client.ask(b"DATA")
        assert (await client.ask(b"From: ann@ours.example\r\n\r\nhi\r\n.")).startswith("250")
        head = house.message().split(b"\r\n\r\n")[0]
        assert b"with ESMTPSA" in head
        assert b"\r\nMessage-ID: <" in head
        assert house.accepted[0].mail.authenticated
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


@pytest.mark.threat("E04")
def test_login_in_three_steps_and_a_cancel(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        assert await client.ask(b"AUTH LOGIN") == "334 VXNlcm5hbWU6\r\n"
        assert (await client.ask(b"*")).startswith("501")
        assert await client.ask(b"AUTH LOGIN") == "334 VXNlcm5hbWU6\r\n"
        assert await client.ask(base64.b64encode(b"ann")) == "334 UGFzc3dvcmQ6\r\n"
        assert (await client.ask(base64.b64encode(b"secret"))).startswith("235")
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


@pytest.mark.threat("E06", "E07")
def test_wrong_passwords_end_the_session(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        assert (await client.ask(b"AUTH PLAIN " + WRONG)).startswith("535 5.7.8")
        unknown = base64.b64encode(b"\0nobody\0secret")
        assert (await client.ask(b"AUTH PLAIN " + unknown)).startswith("535 5.7.8")
        assert (await client.ask(b"AUTH PLAIN " + WRONG)).startswith("421 4.7.0")
        assert await client.is_closed()
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


@pytest.mark.threat("E08")
def test_accounts_that_are_away_are_no_success(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        house.accounts.broken = True
        client = await encrypted(house)
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("454 4.7.0")
        assert (await client.ask(b"MAIL FROM:<a@b.example>")).startswith("250")
        assert (await client.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("550")
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


@pytest.mark.threat("E12")
def test_an_account_has_so_many_recipients_an_hour(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        for said in ("250", "250", "450 4.7.1", "450 4.7.1"):
            client = await encrypted(house)
            await client.ask(b"AUTH PLAIN " + PLAIN)
            await client.ask(b"MAIL FROM:<ann@ours.example>")
            assert (await client.ask(b"RCPT TO:<x@elsewhere.example>")).startswith(said)
            await client.close()
        # The administrator is told once, and others go on
        alarms = [fields for event, fields in house.lines.written if event == "account-rate"]
        assert [(a["user"], a["value"], a["actual"]) for a in alarms] == [("ann", 2, 3)]
        stranger = await Client.to(house)
        await stranger.reply()
        await stranger.ask(b"EHLO client.example")
        for line in MAIL.strip().split(b"\r\n"):
            assert (await stranger.ask(line)).startswith("250")
        await stranger.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls, users={"recipients-per-hour": 2})


async def scram(client: Client, mechanism: str, password: str = "secret", *, user: str = "ann") -> str:
    """The whole login; the last reply."""
    reached = client.writer.get_extra_info("ssl_object")
    shown = x509.load_der_x509_certificate(reached.getpeercert(binary_form=True))
    plus = mechanism.endswith("-PLUS")
    end_point = end_point_of(shown) if plus else b""
    exchange = ScramClient(user, password, nonce="fyko", end_point=end_point, plus=plus)
    said = await client.ask(f"AUTH {mechanism} ".encode() + base64.b64encode(exchange.initial or b""))
    while said.startswith("334"):
        said = await client.ask(base64.b64encode(exchange.answer(base64.b64decode(said[4:]))))
    if said.startswith("235"):
        exchange.accepted()
    return said


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_scram(tls: ServerTls, mechanism: str) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        assert (await scram(client, mechanism)).startswith("235")
        await client.ask(b"EHLO client.example")
        assert (await client.ask(b"MAIL FROM:<ann@ours.example>")).startswith("250")
        assert (await client.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("250")
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


@pytest.mark.threat("E06", "E07")
@pytest.mark.parametrize("user", ["ann", "nobody"])
def test_scram_with_a_wrong_password_is_a_failure_like_any_other(tls: ServerTls, user: str) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        for _ in range(2):
            assert (await scram(client, "SCRAM-SHA-256", "guess", user=user)).startswith("535 5.7.8")
        assert (await scram(client, "SCRAM-SHA-256", "guess", user=user)).startswith("421 4.7.0")
        await client.close()
        # And all three count against the account
        again = await encrypted(house)
        assert (await again.ask(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0x".encode()))).startswith("421")
        assert ("login-stopped", "account-failures") in [
            (event, fields.get("limit")) for event, fields in house.lines.written
        ]
        await again.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls, users={"lockout": {"account-failures": 3}})


@pytest.mark.threat("E06")
def test_the_right_password_does_not_open_a_closed_account(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        await client.ask(b"AUTH PLAIN " + WRONG)
        await client.ask(b"AUTH PLAIN " + WRONG)
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("421 4.7.0")
        assert await client.is_closed()
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls, users={"lockout": {"account-failures": 2}})


@pytest.mark.threat("E06")
def test_where_the_owner_came_from_others_failures_do_not_count(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        assert (await client.ask(b"AUTH PLAIN " + PLAIN)).startswith("235")
        await client.close()
        for password in (WRONG, WRONG, WRONG, PLAIN):
            client = await encrypted(house)
            said = await client.ask(b"AUTH PLAIN " + password)
            assert said.startswith("235" if password is PLAIN else "535")
            await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls, users={"lockout": {"account-failures": 2}})


@pytest.mark.threat("E06")
def test_failures_are_answered_later_and_later(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        loop = asyncio.get_running_loop()
        took = []
        for _ in range(2):
            began = loop.time()
            await client.ask(b"AUTH PLAIN " + WRONG)
            took.append(loop.time() - began)
        assert took[0] >= 0.1
        assert took[1] >= 0.2
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True, "auth-tarpit": "100ms"}, tls)


@pytest.mark.threat("E08")
def test_accounts_that_are_away_are_nobodys_failure(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        house.accounts.broken = True
        for _ in range(5):
            assert (await scram(client, "SCRAM-SHA-256")).startswith("454 4.7.0")
        house.accounts.broken = False
        assert (await scram(client, "SCRAM-SHA-256")).startswith("235")
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls, users={"lockout": {"account-failures": 2}})


@pytest.mark.threat("E15")
def test_neither_names_nor_secrets_are_logged(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        await client.ask(b"AUTH PLAIN " + base64.b64encode(b"\0my-name\0my-word"))
        await client.ask(b"AUTH LOGIN " + base64.b64encode(b"my-word"))
        await client.ask(base64.b64encode(b"my-name"))
        await client.close()
        assert any(event == "authentication-failed" for event, _ in house.lines.written)
        assert "my-" not in repr(house.lines.written)
        assert base64.b64encode(b"my-word").decode() not in repr(house.lines.written)

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


class Issuer:
    """Whoever makes tokens; ours to sign with."""

    def __init__(self) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()
        public = self._b64(self.key.public_key().public_bytes_raw())
        self.keys = json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public}]}).encode()
        self.broken = False

    def read(self) -> bytes:
        if self.broken:
            raise WorldFault("the keys are away")
        return self.keys

    def token(self, **claims: object) -> str:
        full = {
            "iss": "https://login.example",
            "aud": "mail",
            "exp": 4e9,
            "email": "ann@ours.example",
            **claims,
        }
        head = ".".join(self._b64(json.dumps(part).encode()) for part in ({"alg": "EdDSA"}, full))
        return f"{head}.{self._b64(self.key.sign(head.encode()))}"

    def _b64(self, data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")


def with_tokens(scenario: Any, tls: ServerTls) -> None:
    door = {"tls": "optional", "auth": True, "auth-mechanisms": ["OAUTHBEARER", "XOAUTH2"]}
    tokens = {"keys-file": "x", "issuer": "https://login.example", "audience": "mail"}

    async def run() -> None:
        issuer = Issuer()
        async with open_house(settings_with(door, users={"tokens": tokens}), tls=tls, keys=issuer) as house:
            client = await Client.to(house)
            await client.reply()
            await client.ask(b"EHLO client.example")
            await client.start_tls()
            assert "250-AUTH OAUTHBEARER XOAUTH2\r" in await client.ask(b"EHLO client.example")
            await scenario(house, client, issuer)
            await client.close()

    asyncio.run(run())


def shown(mechanism: str, user: str, token: str) -> bytes:
    said = BearerClient(user, token, is_google=mechanism == "XOAUTH2").initial or b""
    return f"AUTH {mechanism} ".encode() + base64.b64encode(said)


@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize("user", ["ann@ours.example", "ANN@ours.example", ""])
def test_a_token_lets_in_whom_it_names(tls: ServerTls, mechanism: str, user: str) -> None:
    async def scenario(house: House, client: Client, issuer: Issuer) -> None:
        assert (await client.ask(shown(mechanism, user, issuer.token()))).startswith("235")
        assert (await client.ask(b"MAIL FROM:<ann@ours.example>")).startswith("250")
        assert (await client.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("250")

    with_tokens(scenario, tls)


@pytest.mark.threat("E14", "E05")
@pytest.mark.parametrize(
    ("name", "user", "claims"),
    [
        ("expired", "", {"exp": 1}),
        ("for another audience", "", {"aud": "calendar"}),
        ("for somebody else", "boss@ours.example", {}),
        ("an address nobody verified", "", {"email_verified": False}),
        ("names nobody", "", {"email": None}),
        ("names two lines", "", {"email": "a\r\nb"}),
    ],
)
def test_a_token_that_does_not_count(tls: ServerTls, name: str, user: str, claims: dict[str, object]) -> None:
    async def scenario(house: House, client: Client, issuer: Issuer) -> None:
        said = await client.ask(shown("OAUTHBEARER", user, issuer.token(**claims)))
        assert said.startswith("334 ")
        assert b"invalid_token" in base64.b64decode(said[4:])
        assert (await client.ask(base64.b64encode(b"\x01"))).startswith("535 5.7.8")
        assert (await client.ask(b"MAIL FROM:<ann@ours.example>")).startswith("250")
        assert (await client.ask(b"RCPT TO:<x@elsewhere.example>")).startswith("550")

    with_tokens(scenario, tls)


@pytest.mark.threat("E14")
def test_a_token_of_a_disabled_account_is_refused(tls: ServerTls) -> None:
    async def scenario(house: House, client: Client, issuer: Issuer) -> None:
        house.accounts.disabled.add("ann@ours.example")
        assert (await client.ask(shown("XOAUTH2", "", issuer.token()))).startswith("535 5.7.8")

    with_tokens(scenario, tls)


@pytest.mark.threat("E08")
@pytest.mark.parametrize("keys", [None, b"{}"], ids=["away", "no keys"])
def test_without_the_issuers_keys_nothing_is_decided(tls: ServerTls, keys: bytes | None) -> None:
    async def scenario(house: House, client: Client, issuer: Issuer) -> None:
        issuer.broken, issuer.keys = keys is None, keys or b""
        assert (await client.ask(shown("XOAUTH2", "", issuer.token()))).startswith("454 4.7.0")

    with_tokens(scenario, tls)
