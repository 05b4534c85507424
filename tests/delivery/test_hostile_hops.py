"""Next hops that lie, stumble, hang or hang up, over real loopback sockets: nobody is lost, nobody is delivered."""

from __future__ import annotations

import asyncio
import time
import zlib
from dataclasses import dataclass
from typing import Any

import pytest
from tests.delivery.fakes import CONTENT, Yard, by_mx, mail_to, parcel_of, to_port, yard
from tests.delivery.scripted import scripted

from gatepost.config.settings import Settings
from gatepost.delivery.authentication import Credentials
from gatepost.delivery.courier import NoHost
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.model.content import Content, SpooledBody
from gatepost.model.envelope import BodyType
from gatepost.model.queued import QueuedMail

OPEN = "> 220 mx.example\n<\n> 250 mx.example\n"
TAKES = "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\n> 250 2.0.0 taken\n"
SHORT: dict[str, Any] = {"command-timeout": "1s", "data-timeout": "1s", "connect-timeout": "1s"}


async def attempt(
    settings: Settings, mail: QueuedMail | None = None, content: Content = CONTENT, made: Yard | None = None
) -> Attempt:
    """One attempt on a fresh connection."""
    made = made or yard(settings, monotonic=time.monotonic)
    mail = mail or mail_to("b@b.example")
    hop = made.router.by_key(mail.recipients[0].next_hop)
    done, line = await made.attempts.make(parcel_of(mail, content), hop, None)
    if line is not None:
        line.connection.close()
    return done


def fates(done: Attempt) -> list[tuple[str, str]]:
    return [(o.fate.value, o.reply) for o in done.outcomes]


@dataclass(frozen=True)
class Case:
    name: str
    script: str
    fate: str
    reply: str
    """A part of it."""


CASES = [
    Case("takes the mail", OPEN + TAKES, "delivered", "250 2.0.0 taken"),
    Case("refuses MAIL", OPEN + "<\n> 550 5.7.1 no\n", "failed", "550 5.7.1 no"),
    Case("refuses MAIL for now", OPEN + "<\n> 451 4.7.1 greylisted\n", "deferred", "451 4.7.1"),
    Case("refuses RCPT", OPEN + "<\n> 250 ok\n<\n> 550 5.1.1 nobody\n", "failed", "550 5.1.1"),
    Case("552 to RCPT is 452", OPEN + "<\n> 250 ok\n<\n> 552 5.5.3 too many\n", "deferred", "552"),
    Case("551 is a no, not a new way", OPEN + "<\n> 250 ok\n<\n> 551 try <x@y>\n", "failed", "551"),
    Case("571 to RCPT", OPEN + "<\n> 250 ok\n<\n> 571 5.7.1 blocked\n", "failed", "571 5.7.1 blocked"),
    Case("421 to RCPT", OPEN + "<\n> 250 ok\n<\n> 421 bye\n", "deferred", "421 bye"),
    Case("refuses DATA", OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 554 no\n", "failed", "554 no"),
    Case("250 to DATA", OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 250 ok\n", "deferred", "broke the protocol"),
    Case("354 to MAIL", OPEN + "<\n> 354 go\n", "deferred", "broke the protocol"),
    Case("replies ahead", OPEN + "<\n> 250 ok\n> 250 ok\n> 354 go\n~\n", "deferred", "broke the protocol"),
    Case("code 000 to MAIL", OPEN + "<\n> 000 what\n", "deferred", "broke the protocol"),
    Case("mixed codes", OPEN + "<\n> 250-a\n> 550 b\n", "deferred", "broke the protocol"),
    Case("a line of 1 MB", OPEN + "<\nraw 250 " + "x" * 1_000_000 + "\\r\\n\n", "deferred", "too long"),
    Case("closes after MAIL", OPEN + "<\n", "deferred", "closed the connection (after MAIL)"),
    Case(
        "closes in RCPT",
        OPEN + "<\n> 250 ok\n<\nraw 25\n",
        "deferred",
        "closed the connection (after RCPT; what it said has no CR LF)",
    ),
    Case(
        "no reply at all",
        OPEN + "<\n> <html>\x1b[2J\n",
        "deferred",
        "malformed reply: <html>?[2J (after MAIL)",
    ),
    Case(
        "lost after the end of the data",
        OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\n",
        "deferred",
        "closed the connection (after the whole mail was sent: it may have arrived)",
    ),
    Case(
        "silent after the end of the data",
        OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\n~\n",
        "deferred",
        "within 1 s (after the whole mail was sent: it may have arrived)",
    ),
    Case(
        "refuses the content",
        OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\n> 554 5.7.1 spam\n",
        "failed",
        "554 5.7.1 spam",
    ),
    Case(
        "552 to the content is a no",
        OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\n> 552 5.3.4 too big\n",
        "failed",
        "552",
    ),
    Case(
        "354 to the content",
        OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\n> 354 more\n",
        "deferred",
        "broke the protocol",
    ),
    Case("evil text", OPEN + "<\nraw 550 \\x1b[2J\\x00\\n250 x\\r\\n\n", "failed", "550 ?[2J??250 x"),
]


@pytest.mark.threat("N01", "N02", "N03", "N04", "N05", "N08", "N11")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_one_recipient(case: Case) -> None:
    async def run() -> Attempt:
        async with scripted(case.script) as server:
            return await attempt(to_port(server.port, **SHORT))

    ((fate, reply),) = fates(asyncio.run(run()))
    assert fate == case.fate
    assert case.reply in reply
    assert reply.isascii()
    assert reply.isprintable()
    assert len(reply) <= 500


NO_HOST = {
    "nobody listens": "",
    "554 at the greeting": "> 554 go away\n",
    "421 at the greeting": "> 421 busy\n",
    "garbage at the greeting": "> SSH-2.0-OpenSSH\n",
    "an endless greeting": "raw " + "220-x\\r\\n" * 200 + "\n",
    "waits for us": "<\n",
    "EHLO and HELO are refused": "> 220 x\n<\n> 502 no\n<\n> 502 no\n",
    "EHLO waits": "> 220 x\n<\n> 451 no\n",
    "a thousand keywords": "> 220 x\n<\nraw " + "250-X\\r\\n" * 1000 + "250 Y\\r\\n\n",
    "silence": "~",
}


@pytest.mark.threat("L16", "N01", "N03", "N07")
@pytest.mark.parametrize("script", NO_HOST.values(), ids=NO_HOST.keys())
def test_a_host_that_will_not_have_us_is_passed_over(script: str) -> None:
    # Given two hosts, the first of which is of no use
    async def run() -> tuple[Attempt, int]:
        async with scripted(script) as bad, scripted(OPEN + TAKES) as good:
            done = await attempt(to_port(bad.port, good.port, **SHORT))
            return done, good.connections

    done, connections = asyncio.run(run())
    assert fates(done) == [("delivered", "250 2.0.0 taken")]
    assert connections == 1


@pytest.mark.threat("L16")
@pytest.mark.parametrize("script", NO_HOST.values(), ids=NO_HOST.keys())
def test_when_no_host_will_have_us_nothing_bounces(script: str) -> None:
    async def run() -> None:
        async with scripted(script) as bad:
            await attempt(to_port(bad.port, **SHORT))

    with pytest.raises(NoHost):
        asyncio.run(run())


@pytest.mark.threat("N13", "L02")
def test_an_mx_with_our_own_name_is_a_loop() -> None:
    async def run() -> Attempt:
        async with scripted("> 220 GATE.example hello\n") as server:
            made = by_mx(server.port, time.monotonic)
            return await attempt(made.settings, mail_to("b@b.example", next_hop=""), made=made)

    ((fate, reply),) = fates(asyncio.run(run()))
    assert (fate, reply[:9]) == ("failed", "554 5.4.6")


@pytest.mark.threat("N13", "L02")
def test_a_smart_host_with_our_own_name_gets_no_mail_and_loses_none() -> None:
    """It is ourselves, or another gateway was given our hostname: the configuration is to be mended."""

    async def run() -> int:
        async with scripted("> 220 GATE.example hello\n") as server:
            with pytest.raises(NoHost, match=r"^451 4\.4\.6 .*two gateways have one hostname"):
                await attempt(to_port(server.port))
            return server.connections

    assert asyncio.run(run()) == 1


@pytest.mark.threat("L02")
def test_no_connection_to_ourselves() -> None:
    async def run() -> tuple[Attempt, int]:
        async with scripted(OPEN + TAKES) as server:
            made = yard(to_port(server.port), own_addresses=[("0.0.0.0", server.port)])
            return await attempt(made.settings, made=made), server.connections

    done, connections = asyncio.run(run())
    assert fates(done)[0][0] == "failed"
    assert "5.4.6" in fates(done)[0][1]
    assert connections == 0


@pytest.mark.threat("N06")
def test_each_recipient_stands_alone() -> None:
    script = OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 450 later\n<\n> 550 never\n<\n> 354 go\n<.\n> 250 taken\n"

    async def run() -> Attempt:
        async with scripted(script) as server:
            return await attempt(to_port(server.port), mail_to("a@x.example", "b@x.example", "c@x.example"))

    assert fates(asyncio.run(run())) == [
        ("delivered", "250 taken"),
        ("deferred", "450 later"),
        ("failed", "550 never"),
    ]


@pytest.mark.threat("N06")
def test_lmtp_with_fewer_answers_than_recipients() -> None:
    script = OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 550 no\n<\n> 250 ok\n<\n> 354 go\n<.\n> 250 taken\n"

    async def run() -> tuple[Attempt, list[bytes]]:
        async with scripted(script) as server:
            mail = mail_to("a@x.example", "b@x.example", "c@x.example")
            done = await attempt(to_port(server.port, delivery="lmtp", **SHORT), mail)
            return done, server.heard

    done, heard = asyncio.run(run())
    assert [o.fate for o in done.outcomes] == [Fate.DELIVERED, Fate.FAILED, Fate.DEFERRED]
    assert heard[0] == b"LHLO gate.example\r\n"


@pytest.mark.threat("N05")
def test_what_was_refused_before_the_loss_stays_refused() -> None:
    script = OPEN + "<\n> 250 ok\n<\n> 550 never\n<\n> 250 ok\n<\n> 354 go\n<.\n"

    async def run() -> Attempt:
        async with scripted(script) as server:
            return await attempt(to_port(server.port), mail_to("a@x.example", "b@x.example"))

    assert [o.fate for o in asyncio.run(run()).outcomes] == [Fate.FAILED, Fate.DEFERRED]


@pytest.mark.threat("N07")
def test_a_wrong_promise_of_pipelining_is_forgiven_once() -> None:
    # Given a host that announces PIPELINING and dies of it
    pipelining = "> 220 x\n<\n> 250-x\n> 250 PIPELINING\n"
    patient = pipelining + TAKES

    async def run() -> tuple[Attempt, int]:
        async with scripted(pipelining + "<\n", patient) as server:
            return await attempt(to_port(server.port)), server.connections

    done, connections = asyncio.run(run())
    assert fates(done) == [("delivered", "250 2.0.0 taken")]
    assert connections == 2


@pytest.mark.threat("N07")
def test_a_limit_of_one_octet_fails_the_mail_without_sending_it() -> None:
    async def run() -> tuple[Attempt, list[bytes]]:
        async with scripted("> 220 x\n<\n> 250-x\n> 250 SIZE 1\n~\n") as server:
            return await attempt(to_port(server.port)), server.heard

    done, heard = asyncio.run(run())
    assert done.outcomes[0].fate is Fate.FAILED
    assert "5.3.4" in done.outcomes[0].reply
    assert len(heard) == 1


@pytest.mark.threat("N09")
def test_a_next_hop_that_dawdles_is_given_up() -> None:
    async def run() -> float:
        async with scripted(OPEN + "<\n~\n") as server:
            began = time.monotonic()
            done = await attempt(to_port(server.port, **SHORT))
            assert done.outcomes[0].fate is Fate.DEFERRED
            return time.monotonic() - began

    assert asyncio.run(run()) < 20


@pytest.mark.threat("N09")
def test_a_transaction_as_a_whole_has_an_end() -> None:
    # Given a peer that answers every command, and needs four minutes for each
    script = OPEN + "<\n> 250 ok\n" * 92

    async def run() -> tuple[Attempt, int]:
        async with scripted(script) as server:
            made = yard(to_port(server.port), monotonic=lambda: 240.0 * max(0, len(server.heard) - 1))
            mail = mail_to(*(f"u{n}@x.example" for n in range(90)))
            return await attempt(made.settings, mail, made=made), len(server.heard)

    done, heard = asyncio.run(run())
    assert {o.fate for o in done.outcomes} == {Fate.DEFERRED}
    assert heard <= 1 + 1800 / 240 + 2


@pytest.mark.threat("N09")
@pytest.mark.parametrize("piece", ["x", "250-x\\r\\n"], ids=["an octet", "a line"])
def test_a_reply_in_drops_has_an_end(piece: str) -> None:
    # Given a peer that has the mail and answers, a drop every four minutes
    script = OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\nraw 250-\n" + f"+\nraw {piece}\n" * 90 + "~\n"

    async def run() -> Attempt:
        async with scripted(script) as server:
            made = yard(to_port(server.port), monotonic=lambda: 240.0 * server.drops)
            return await attempt(made.settings, made=made)

    ((fate, reply),) = fates(asyncio.run(run()))
    assert fate == "deferred"
    assert "no whole answer within 600 s (after the whole mail was sent" in reply


@pytest.mark.threat("N09", "N15")
def test_opening_a_connection_as_a_whole_has_an_end() -> None:
    script = "> 220 x\n<\n> 502 no\n<\n> 250 x\n"

    async def run() -> int:
        async with scripted(script) as first, scripted(script) as second:
            ticks = iter(range(0, 10**9, 200))
            made = yard(to_port(first.port, second.port), monotonic=lambda: float(next(ticks)))
            with pytest.raises(NoHost):
                await attempt(made.settings, made=made)
            return first.connections + second.connections

    assert asyncio.run(run()) <= 1


@pytest.mark.threat("N12")
@pytest.mark.parametrize("tls", ["none", "opportunistic", "required"])
def test_no_password_without_tls(tls: str) -> None:
    script = "> 220 x\n<\n> 250-x\n> 250 AUTH PLAIN LOGIN\n<\n"

    async def run() -> list[bytes]:
        async with scripted(script) as server:
            credentials = {"out": Credentials(user="ann", password="secret")}
            made = yard(to_port(server.port, tls=tls, **SHORT), credentials=credentials)
            with pytest.raises(NoHost):
                await attempt(made.settings, made=made)
            return server.heard

    heard = asyncio.run(run())
    assert not any(line.startswith(b"AUTH") for line in heard)


@pytest.mark.threat("A18")
def test_bare_newlines_and_dots_never_reach_the_next_hop() -> None:
    body = b"a\n.\nMAIL FROM:<x>\r.\r\nb\r\n.\r\nRCPT TO:<y>\n"

    async def run() -> bytes:
        async with scripted(OPEN + TAKES) as server:
            await attempt(to_port(server.port), content=Content(head=b"S: x\n\n", body=body))
            return server.heard[-1]

    assert asyncio.run(run()) == (
        b"S: x\r\n\r\na\r\n..\r\nMAIL FROM:<x>\r\n..\r\nb\r\n..\r\nRCPT TO:<y>\r\n.\r\n"
    )


@pytest.mark.threat("N10")
def test_a_greylisting_next_hop_sees_the_same_address_at_every_attempt() -> None:
    async def run() -> list[str]:
        seen: list[str] = []

        async def greylist(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(writer.get_extra_info("peername")[0])
            writer.write(b"220 mx.example\r\n")
            await reader.readuntil(b"\r\n")
            writer.write(b"250 mx.example\r\n")
            await reader.readuntil(b"\r\n")
            writer.write(b"451 4.7.1 greylisted\r\n")
            writer.close()

        server = await asyncio.start_server(greylist, "127.0.0.1", 0)
        settings = to_port(server.sockets[0].getsockname()[1], **{"source-addresses": ["127.0.0.3"]})
        for _ in range(3):
            assert fates(await attempt(settings))[0][0] == "deferred"
        server.close()
        return seen

    assert asyncio.run(run()) == ["127.0.0.3"] * 3


OPEN_BINARY = "> 220 mx.example\n<\n> 250-mx.example\n> 250-CHUNKING\n> 250 BINARYMIME\n"


@pytest.mark.threat("N04")
def test_one_reply_too_many_counts_for_no_later_mail() -> None:
    # Given a next hop that answers the first mail twice, and has no room for the second
    full = "<\n> 250 ok\n<\n> 250 ok\n<?\n> 250 ok\n<?\n> 552 5.3.4 too large\n"

    async def run() -> tuple[Attempt, Attempt, int]:
        async with scripted(OPEN_BINARY + TAKES + "|\n> 250 again\n" + full, OPEN_BINARY + full) as server:
            made = yard(to_port(server.port, **SHORT), monotonic=time.monotonic)
            mail, binary = mail_to("b@b.example"), mail_to("b@b.example", body_type=BodyType.BINARY_MIME)
            hop = made.router.by_key(mail.recipients[0].next_hop)
            first, line = await made.attempts.make(parcel_of(mail), hop, None)
            assert line is not None
            server.go.set()
            wire = line.connection.wire
            async with asyncio.timeout(10):
                while not wire.received:
                    await asyncio.sleep(0.001)
            second, line = await made.attempts.make(parcel_of(binary), hop, line)
            if line is not None:
                line.connection.close()
            return first, second, server.connections

    first, second, connections = asyncio.run(run())
    assert fates(first) == [("delivered", "250 2.0.0 taken")]
    assert fates(second) == [("failed", "552 5.3.4 too large")]
    assert connections == 2


@pytest.mark.threat("N04")
def test_nobody_agrees_to_a_mail_before_its_end() -> None:
    data = b"line\r\n" * 1_500_000
    content = Content(head=b"A: b\r\n\r\n", body=SpooledBody("x", len(data), zlib.crc32(data)))

    async def run() -> Attempt:
        async with scripted(OPEN + "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<\n> 250 taken\n<.\n") as server:
            made = yard(to_port(server.port), monotonic=time.monotonic)
            made.store.bodies["x"] = data
            try:
                return await attempt(made.settings, content=content, made=made)
            finally:
                made.store.close()

    ((fate, reply),) = fates(asyncio.run(run()))
    assert (fate, "before its end" in reply) == ("deferred", True)
