"""Sessions: TLS, limits, deadlines, stopping. Real sockets, the real listener, a store in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Any

import pytest
from tests.intake.clients import MAIL, Client, in_house, trusting
from tests.intake.house import House

from gatepost.adapters.tls import ServerTls
from gatepost.intake.listener import _Arriving


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


# AUTH by other ways than a password that is sent.
