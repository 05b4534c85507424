"""Sessions: TLS, AUTH, limits, deadlines, stopping. Real sockets, the real listener, a store in memory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from tests.intake.house import House, open_house, settings_with

from gatepost.adapters.certificates import end_point_of
from gatepost.adapters.tls import ServerTls, self_signed
from gatepost.intake.listener import _Arriving
from gatepost.model.fault import WorldFault
from gatepost.protocol.sasl_client import BearerClient, ScramClient

PLAIN = base64.b64encode(b"\0ann\0secret")
WRONG = base64.b64encode(b"\0ann\0wrong")
MAIL = b"MAIL FROM:<ann@client.example>\r\nRCPT TO:<bob@ours.example>\r\n"


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    return ServerTls(str(self_signed(tmp_path, "mx.ours.example", now=1_800_000_000.0)))


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """A client that reads whole replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, house: House, **how: Any) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", house.port, **how))

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            lines.append(line)
            if line[3:4] != "-":
                return "".join(lines)

    async def ask(self, line: bytes) -> str:
        self.writer.write(line + b"\r\n")
        return await self.reply()

    async def start_tls(self) -> None:
        assert (await self.ask(b"STARTTLS")).startswith("220")
        await self.writer.start_tls(trusting(), server_hostname="mx.ours.example")

    async def is_closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self.writer.wait_closed()


def in_house(scenario: Any, settings: dict[str, Any], tls: ServerTls | None = None, **tables: Any) -> None:
    async def run() -> None:
        async with open_house(settings_with(settings, **tables), tls=tls) as house:
            await scenario(house)

    asyncio.run(run())


@pytest.mark.threat("D03", "B14", "D05")
def test_after_starttls_everything_is_new(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        assert "250-STARTTLS" in await client.ask(b"EHLO client.example")
        await client.start_tls()
        assert (await client.ask(b"MAIL FROM:<a@b.example>")).startswith("503")
        told = await client.ask(b"EHLO client.example")
        assert "STARTTLS" not in told
        assert "250-REQUIRETLS" in told
        assert (await client.ask(b"STARTTLS")).startswith("503")
        assert (await client.ask(b"MAIL FROM:<a@b.example>")).startswith("250")
        await client.close()

    in_house(scenario, {"tls": "optional"}, tls)


@pytest.mark.threat("D01")
def test_a_command_injected_behind_starttls_is_never_run(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        client.writer.write(b"STARTTLS\r\nMAIL FROM:<injected@evil.example>\r\n")
        assert (await client.reply())[:3] in ("554", "501")
        assert await client.is_closed()
        await client.close()

    in_house(scenario, {"tls": "optional"}, tls)


@pytest.mark.threat("D02", "D11", "C17")
@pytest.mark.parametrize(
    "octets", [b"MAIL FROM:<a@b.example>\r\n", b"\x16\x03\x01\x00\x02xx", b"\x80" * 4000]
)
def test_what_is_no_handshake_ends_the_connection(tls: ServerTls, octets: bytes) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        await client.ask(b"STARTTLS")
        client.writer.write(octets)
        rest = await asyncio.wait_for(client.reader.read(), 10)
        assert b"250" not in rest
        await client.close()

    in_house(scenario, {"tls": "optional", "limits": {"handshake-timeout": "1s"}}, tls)


@pytest.mark.threat("D08")
def test_a_door_that_requires_tls_takes_no_mail_in_the_clear(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        assert (await client.ask(b"MAIL FROM:<a@b.example>")).startswith("530 5.7.0")
        await client.start_tls()
        await client.ask(b"EHLO client.example")
        assert (await client.ask(b"MAIL FROM:<a@b.example>")).startswith("250")
        await client.close()

    in_house(scenario, {"tls": "required"}, tls)


@pytest.mark.threat("C18")
def test_implicit_tls_says_nothing_in_the_clear(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house, ssl=trusting(), server_hostname="mx.ours.example")
        assert (await client.reply()).startswith("220 ")
        assert "STARTTLS" not in await client.ask(b"EHLO client.example")
        await client.close()
        plain = await Client.to(house)
        plain.writer.write(b"EHLO client.example\r\n")
        assert b"220" not in await asyncio.wait_for(plain.reader.read(), 10)
        await plain.close()

    in_house(scenario, {"tls": "implicit"}, tls)


@pytest.mark.threat("D09")
def test_a_handshake_that_is_not_finished_in_time_is_over(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        await client.ask(b"STARTTLS")
        client.writer.write(b"\x16")
        assert await client.is_closed()
        await client.close()

    in_house(scenario, {"tls": "optional", "limits": {"handshake-timeout": "1s"}}, tls)


@pytest.mark.threat("C13")
def test_clear_bytes_behind_the_end_of_tls_are_never_read(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        await client.start_tls()
        await client.ask(b"EHLO client.example")
        client.writer.write(MAIL + b"BDAT 100\r\n12345")
        await client.reply()
        await client.reply()
        transport: Any = client.writer.transport
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as beside_tls:
            beside_tls.setblocking(True)
            beside_tls.sendall(b"\r\nRSET\r\nMAIL FROM:<x@evil.example>\r\n")
        with contextlib.suppress(ssl.SSLError):  # the alert is an answer, too
            assert b"250" not in await asyncio.wait_for(client.reader.read(), 10)
        assert not house.accepted
        await client.close()

    in_house(scenario, {"tls": "optional"}, tls)


@pytest.mark.threat("E01")
def test_auth_needs_tls(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        assert "AUTH" not in await client.ask(b"EHLO client.example")
        assert (await client.ask(b"AUTH PLAIN " + PLAIN))[:3] in ("530", "538", "502", "503")
        await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


async def encrypted(house: House) -> Client:
    client = await Client.to(house)
    await client.reply()
    await client.ask(b"EHLO client.example")
    await client.start_tls()
    assert "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in await client.ask(b"EHLO client.example")
    return client


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


@pytest.mark.threat("G02", "G15")
def test_one_source_has_so_many_sessions_and_no_more() -> None:
    async def scenario(house: House) -> None:
        first = [await Client.to(house) for _ in range(2)]
        for client in first:
            assert (await client.reply()).startswith("220")
        third = await Client.to(house)
        assert (await third.reply()).startswith("421 4.3.2")
        assert await third.is_closed()
        assert ("connection-refused", "connections-per-source") in [
            (event, fields.get("limit")) for event, fields in house.lines.written
        ]
        await first[0].close()
        while house.listener.session_count > 1:
            await asyncio.sleep(0.01)
        fourth = await Client.to(house)
        assert (await fourth.reply()).startswith("220")
        for client in (first[1], third, fourth):
            await client.close()

    in_house(scenario, {"limits": {"connections-per-source": 2}})


@pytest.mark.threat("B07", "B29")
@pytest.mark.parametrize("command", [b"NONSENSE", b"", b"RCPT TO:<x@y.example>"])
def test_errors_are_counted_and_end_the_session(command: bytes) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        for _ in range(3):
            assert (await client.ask(command))[0] == "5"
        assert (await client.ask(command)).startswith("421 4.7.0")
        assert await client.is_closed()
        await client.close()

    in_house(scenario, {"limits": {"errors-soft": 1, "errors-hard": 3, "error-delay": "0s"}})


@pytest.mark.threat("B29", "B13")
def test_junk_is_counted_after_a_while() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        for _ in range(8):
            assert (await client.ask(b"NOOP")).startswith("250")
        assert (await client.ask(b"NONSENSE")).startswith("421")
        await client.close()

    in_house(
        scenario, {"limits": {"junk-commands": 5, "errors-soft": 1, "errors-hard": 3, "error-delay": "0s"}}
    )


@pytest.mark.threat("G17")
def test_a_session_has_so_many_messages() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        for _ in range(2):
            assert (await client.ask(b"MAIL FROM:<a@b.example>")).startswith("250")
            await client.ask(b"RSET")
        assert (await client.ask(b"MAIL FROM:<a@b.example>")).startswith("421")
        await client.close()

    in_house(scenario, {"limits": {"messages-per-session": 2}})


@pytest.mark.threat("G04", "C21")
def test_a_command_has_one_deadline_however_many_bytes_come() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()

        async def drip() -> None:
            for octet in b"EHLO a-very-long-name.example":
                client.writer.write(bytes([octet]))
                await asyncio.sleep(0.15)

        dripping = asyncio.ensure_future(drip())
        assert (await client.reply()).startswith("421 4.4.2")
        dripping.cancel()
        await client.close()

    in_house(scenario, {"limits": {"command-timeout": "1s"}})


@pytest.mark.threat("G05")
def test_content_that_stops_coming_is_given_up() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        client.writer.write(MAIL + b"DATA\r\n")
        for _ in range(3):
            await client.reply()
        client.writer.write(b"Subject: x\r\n")
        assert (await client.reply()).startswith("421 4.4.2")
        assert not house.accepted
        await client.close()

    in_house(scenario, {"limits": {"data-timeout": "1s"}})


@pytest.mark.threat("C01")
def test_a_client_that_speaks_before_the_greeting_is_told_and_closed() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        client.writer.write(b"EHLO early.example\r\nMAIL FROM:<a@b.example>\r\n")
        answer = await asyncio.wait_for(client.reader.read(), 10)
        assert answer.startswith((b"554 5.5", b"220"))
        assert b"Sender OK" not in answer
        await client.close()

    in_house(scenario, {})


@pytest.mark.threat("C06", "G06")
def test_a_client_that_never_reads_is_given_up_with_a_bounded_buffer() -> None:
    async def scenario(house: House) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port, limit=1024)
        del reader
        transport: Any = writer.transport
        transport.pause_reading()
        for _ in range(2000):
            if transport.is_closing():
                break
            writer.write(b"MAIL FROM:<a@b.example>\r\nRSET\r\n" * 50)
            await asyncio.sleep(0)
            if transport.get_write_buffer_size() > 1 << 20:
                break
        async with asyncio.timeout(20):
            while house.listener.session_count:
                await asyncio.sleep(0.05)
        transport.abort()

    in_house(
        scenario,
        {"limits": {"command-timeout": "1s", "junk-commands": 100000, "messages-per-session": 1000000}},
    )


@pytest.mark.threat("O25")
def test_stopping_lets_a_message_finish_and_then_says_so() -> None:
    async def scenario(house: House) -> None:
        idle, busy = await Client.to(house), await Client.to(house)
        for client in (idle, busy):
            await client.reply()
        await busy.ask(b"EHLO client.example")
        busy.writer.write(MAIL + b"DATA\r\n")
        for _ in range(3):
            await busy.reply()
        stopping = asyncio.ensure_future(house.listener.stop(5.0))
        assert (await idle.reply()).startswith("421 4.3.2")
        assert (await busy.ask(b"Subject: last\r\n\r\ntext\r\n.")).startswith("250 2.0.0")
        assert (await busy.reply()).startswith("421 4.3.2")
        await stopping
        assert len(house.accepted) == 1
        for client in (idle, busy):
            await client.close()

    in_house(scenario, {})


@pytest.mark.threat("O25")
def test_an_answer_that_is_held_when_the_worker_ends_is_no_bug() -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        await client.ask(b"MAIL FROM:<you@there.example>")
        client.writer.write(b"RCPT TO:<nobody@ours.example>\r\n")
        (session,) = house.listener._sessions
        while session._waiting is None:
            await asyncio.sleep(0.001)
        held = session._waiting
        assert isinstance(held, asyncio.Future)
        await house.listener.stop(0.0)
        held.cancel()  # as asyncio.run does with every task at its end
        await asyncio.wait([held])
        assert "bug" not in [event for event, _ in house.lines.written]
        await client.close()

    in_house(scenario, {"tarpit": "60s"})


@pytest.mark.threat("O25")
def test_who_arrives_when_the_doors_are_closed_already_is_not_served() -> None:
    class Late(asyncio.Transport):
        is_gone = False

        def abort(self) -> None:
            self.is_gone = True

    async def scenario(house: House) -> None:
        await house.listener.stop(0.0)
        late = Late()
        _Arriving(house.listener, next(iter(house.listener._doors))).connection_made(late)
        assert late.is_gone
        assert house.listener.session_count == 0

    in_house(scenario, {})


def test_a_bug_of_ours_answers_451_and_keeps_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("a bug")

        monkeypatch.setattr("gatepost.intake.taking_in.queued_mail", broken)
        client.writer.write(MAIL + b"DATA\r\n")
        for _ in range(3):
            await client.reply()
        assert (await client.ask(b"Subject: x\r\n\r\ntext\r\n.")).startswith("451 4.3.0")
        monkeypatch.undo()
        assert (await client.ask(b"NOOP")).startswith("250")
        assert "bug" in [event for event, _ in house.lines.written]
        await client.close()

    in_house(scenario, {})


@pytest.mark.threat("A19")
@pytest.mark.parametrize("cut", [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r"])
def test_no_right_and_no_trust_relaxes_the_framing(cut: bytes) -> None:
    """What comes back from a filter of ours, or from our own systems, is framed as strictly as anybody's."""
    everything = [
        "submit",
        "relay",
        "any-sender",
        "own-domain-sender",
        "bypass-filters",
        "bypass-size",
        "routing-headers",
        "organization-headers",
        "internal",
    ]

    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO filter.example")
        client.writer.write(MAIL + b"DATA\r\n")
        for _ in range(3):
            await client.reply()
        client.writer.write(b"Subject: x\r\n\r\ntext" + cut + b"MAIL FROM:<x@evil.example>\r\n.\r\n")
        assert (await client.reply()).startswith("521 5.5.2")
        assert await client.is_closed()
        assert not house.accepted
        await client.close()

    in_house(scenario, {"ranges": {"filter": {"addresses": ["127.0.0.1"], "rights": everything}}})


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


# AUTH by other ways than a password that is sent.


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
