"""Each limit of a session at its value and one past it, and what log and metrics tell about it."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.intake.clients import MAIL, Client, encrypted, in_house, trusting
from tests.intake.house import House
from tests.intake.jump import JumpLoop, in_house_that_jumps

from gatepost.adapters.tls import ServerTls, self_signed
from gatepost.ports.resources import Resource

STRANGERS: dict[str, Any] = {"unrated": []}
"""The tests' clients are on this machine, and are to be treated as anybody."""

FROM = b"MAIL FROM:<ann@client.example>"
BOB = b"RCPT TO:<bob@ours.example>"
NOBODY = b"RCPT TO:<nobody@ours.example>"
BEGIN = [(FROM, "250"), (BOB, "250"), (b"DATA", "354")]
HERE = {"here": {"addresses": ["127.0.0.1"]}}
NOTHING_ELSE: dict[str, Any] = {
    "errors-soft": 1000,
    "errors-hard": 1000,
    "connections-per-source": 100,
    "source-share": 100,
}


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    return ServerTls(str(self_signed(tmp_path, "mx.ours.example", now=1_800_000_000.0)))


def told(house: House, event: str) -> list[tuple[object, object, object]]:
    """Limit, configured value and actual of every line of this event."""
    return [
        (fields["limit"], fields["value"], fields["actual"])
        for name, fields in house.lines.written
        if name == event and "limit" in fields
    ]


async def greeted(house: House) -> Client:
    client = await Client.to(house)
    assert (await client.reply()).startswith("220")
    assert (await client.ask(b"EHLO client.example")).startswith("250")
    return client


@dataclass(frozen=True, slots=True)
class Case:
    """said: commands or content, and how each reply begins; the last one is one past the limit."""

    name: str
    limits: dict[str, Any]
    said: list[tuple[bytes, str]]
    limit: tuple[str, object, object]
    closes: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


def mail(content: bytes, reply: str) -> list[tuple[bytes, str]]:
    return [*BEGIN, (content + b"\r\n.", reply)]


SMALL = b"Subject: x\r\n\r\ntext"
SIZE = 65536  # the smallest message-size there may be
LINE = b"y" * 998

CASES = [
    Case(
        "messages in a session",
        {"messages-per-session": 2},
        [(FROM, "250"), (b"RSET", "250"), (FROM, "250"), (b"RSET", "250"), (FROM, "421 4.7.0")],
        ("messages-per-session", 2, 3),
        closes=True,
    ),
    Case(
        "content of a session",
        {"message-size": "64KiB", "session-size": "64KiB"},
        [*mail(b"Subject: x\r\n\r\n" + b"y\r\n" * 10000, "250"), (FROM + b" SIZE=40000", "421 4.7.0")],
        ("session-size", SIZE, 30000 + 14 + 2 + 40000),
        closes=True,
    ),
    Case(
        "messages of a source",
        {"message-rate-per-source": 2, **STRANGERS},
        [(FROM, "250"), (b"RSET", "250"), (FROM, "250"), (b"RSET", "250"), (FROM, "421 4.4.2")],
        ("message-rate-per-source", 2, 3),
        closes=True,
    ),
    Case(
        "recipients of a source",
        {"recipient-rate-per-source": 2, **STRANGERS},
        [(FROM, "250"), (BOB, "250"), (BOB, "250"), (BOB, "450 4.7.1")],
        ("recipient-rate-per-source", 2, 3),
    ),
    Case(
        "unknown recipients of a source",
        {"unknown-rate-per-source": 2, **STRANGERS},
        [(FROM, "250"), (NOBODY, "550 5.1.1"), (NOBODY, "550 5.1.1"), (NOBODY, "421 4.7.0")],
        ("unknown-rate-per-source", 2, 3),
        closes=True,
    ),
    Case(
        "recipients of a message",
        {"recipients": 100},
        [
            (FROM, "250"),
            *[(BOB, "250")] * 100,
            (BOB, "452 4.5.3"),
        ],
        ("recipients", 100, "more"),
    ),
    Case(
        "length of a command",
        {"command-line": "512B"},
        [(b"NOOP " + b"x" * 505, "250"), (b"NOOP " + b"x" * 506, "500 5.5.2")],
        ("command-line", 512, "more"),
        closes=True,
    ),
    Case(
        "size of a message, as announced",
        {"message-size": "64KiB"},
        [(FROM + b" SIZE=65536", "250"), (b"RSET", "250"), (FROM + b" SIZE=65537", "552 5.3.4")],
        ("message-size", SIZE, "more"),
    ),
    Case(
        "size of a message",
        {"message-size": "64KiB"},
        [
            *mail(b"Subject: xxxx\r\n\r\n" + (LINE + b"\r\n") * 65 + b"y" * (SIZE - 65019), "250"),
            *mail(b"Subject: xxxx\r\n\r\n" + (LINE + b"\r\n") * 65 + b"y" * (SIZE - 65018), "552 5.3.4"),
        ],
        ("message-size", SIZE, SIZE + 1),
    ),
    Case(
        "length of a line",
        {"text-line": "1000B"},
        [
            *mail(b"Subject: x\r\n\r\n" + b"y" * 1000, "250"),
            *mail(b"Subject: x\r\n\r\n" + b"y" * 1001, "554 5.6.0"),
        ],
        ("text-line", 1000, 1001),
    ),
    Case(
        "size of the header section",
        {"header-size": "1KiB"},
        [
            *mail(b"Subject: x\r\nX: " + b"y" * 1005 + b"\r\n\r\ntext", "250"),
            *mail(b"Subject: x\r\nX: " + b"y" * 1006 + b"\r\n\r\ntext", "552 5.3.4"),
        ],
        ("header-size", 1024, 1025),
    ),
    Case(
        "length of a header field",
        {"header-field": "1000B"},
        [
            *mail(b"Subject: x\r\nX: " + b"y" * 995 + b"\r\n\r\ntext", "250"),
            *mail(b"Subject: x\r\nX: " + b"y" * 996 + b"\r\n\r\ntext", "552 5.3.4"),
        ],
        ("header-field", 1000, 1001),
    ),
    Case(
        "header fields",
        {"header-fields": 50},
        [
            *mail(b"Subject: x\r\n" + b"X: y\r\n" * 49 + b"\r\ntext", "250"),
            *mail(b"Subject: x\r\n" + b"X: y\r\n" * 50 + b"\r\ntext", "554 5.6.0"),
        ],
        ("header-fields", 50, "more"),
    ),
    Case(
        "hops",
        {"hop-count": 10},
        [
            *mail(b"Received: from a by b; x\r\n" * 10 + b"Subject: x\r\n\r\ntext", "250"),
            *mail(b"Received: from a by b; x\r\n" * 11 + b"Subject: x\r\n\r\ntext", "554 5.4.6"),
        ],
        ("hop-count", 10, 11),
    ),
    Case(
        "errors",
        {"errors-soft": 1, "errors-hard": 3, "error-delay": "0s"},
        [(b"NONSENSE", "500")] * 3 + [(b"NONSENSE", "421 4.7.0")],
        ("errors-hard", 3, 4),
        closes=True,
    ),
    Case(
        "commands without mail",
        {"errors-soft": 1, "errors-hard": 3, "error-delay": "0s", "junk-commands": 5},
        [(b"NOOP", "250")] * 5 + [(b"NONSENSE", "500")] * 3 + [(b"NONSENSE", "421 4.7.0")],
        ("errors-hard", 3, 4),
        closes=True,
    ),
    Case(
        "delayed replies",
        {"tarpits": 0},
        [(FROM, "250"), (NOBODY, "421 4.7.0")],
        ("tarpits", 0, 1),
        closes=True,
        settings={"tarpit": "60s"},
    ),
]


@pytest.mark.threat("B01", "B19", "B25", "B29", "F28", "G03", "G13", "G17")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_at_the_limit_and_one_past_it(case: Case) -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        for line, begins in case.said:
            assert (await client.ask(line)).startswith(begins), line[:60]
        if case.closes:
            assert await client.is_closed()
        else:
            assert (await client.ask(b"NOOP")).startswith("250")
        event, metric = (
            ("session-closed", "sessions_closed") if case.closes else ("command-refused", "commands_refused")
        )
        assert told(house, event) == [case.limit]
        assert (metric, {"connector": "test", "limit": case.limit[0]}) in house.lines.labelled
        await client.close()

    in_house(scenario, {"limits": {**NOTHING_ELSE, **case.limits}, **case.settings})


def test_an_auth_response_at_its_limit_and_one_past_it(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        for octets, begins in ((510, "501"), (511, "500 5.5.6")):
            client = await encrypted(house)
            assert (await client.ask(b"AUTH PLAIN")).startswith("334")
            assert (await client.ask(b"?" * octets)).startswith(begins)
            await client.close()
        assert told(house, "session-closed") == [("auth-line", 512, "more")]

    limits = {**NOTHING_ELSE, "auth-line": "512B"}
    in_house(scenario, {"tls": "optional", "auth": True, "limits": limits}, tls)


@pytest.mark.threat("E06")
def test_failed_logins_of_a_session_are_told_when_they_are_too_many(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        wrong = b"AUTH PLAIN " + base64.b64encode(b"\0ann\0wrong")
        assert (await client.ask(wrong)).startswith("535")
        assert told(house, "session-closed") == []
        assert (await client.ask(wrong)).startswith("421 4.7.0")
        assert told(house, "session-closed") == [("auth-failures", 2, 2)]
        await client.close()

    limits = {**NOTHING_ELSE, "auth-failures": 2}
    in_house(scenario, {"tls": "optional", "auth": True, "limits": limits}, tls)


@pytest.mark.threat("G13", "E06")
def test_who_guesses_passwords_holds_no_more_places_than_others(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await encrypted(house)
        wrong = b"AUTH PLAIN " + base64.b64encode(b"\0ann\0wrong")
        assert (await client.ask(wrong)).startswith("421 4.7.0")
        assert told(house, "session-closed") == [("tarpits", 0, 1)]
        assert "authentication_failures" in house.lines.counted
        await client.close()

    settings = {"tls": "optional", "auth": True, "auth-tarpit": "60s"}
    in_house(scenario, {**settings, "limits": {**NOTHING_ELSE, "tarpits": 0}}, tls)


@pytest.mark.parametrize("kind", ["named range", "authenticated"])
def test_whom_we_know_is_spared_the_limits_of_strangers(kind: str, tls: ServerTls) -> None:
    """Rates and the stress profile are not for clients of named ranges, nor for who has logged in."""

    async def scenario(house: House) -> None:
        client = await encrypted(house) if kind == "authenticated" else await greeted(house)
        if kind == "authenticated":
            token = base64.b64encode(b"\0ann\0secret")
            assert (await client.ask(b"AUTH PLAIN " + token)).startswith("235")
        for _ in range(3):
            assert (await client.ask(b"MAIL FROM:<ann@ours.example>")).startswith("250")
            assert (await client.ask(BOB)).startswith("250")
            assert (await client.ask(b"RSET")).startswith("250")
        await client.close()

    limits = {
        "message-rate-per-source": 1,
        "recipient-rate-per-source": 1,
        **STRANGERS,
        "connections-per-source": 1,
    }
    in_house(
        scenario,
        {
            "tls": "optional",
            "auth": True,
            "ranges": HERE if kind == "named range" else {},
            "limits": {**limits, "source-share": 100},
        },
        tls,
    )


def test_a_named_range_that_is_not_spared_is_like_strangers() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        assert (await client.ask(FROM)).startswith("250")
        await client.ask(b"RSET")
        assert (await client.ask(FROM)).startswith("421 4.4.2")
        await client.close()

    guests = {"guests": {"addresses": ["127.0.0.1"], "spared": False}}
    in_house(scenario, {"ranges": guests, "limits": {"message-rate-per-source": 1, **STRANGERS}})


@pytest.mark.threat("D10")
def test_who_comes_too_often_costs_no_handshake(tls: ServerTls) -> None:
    """The rate of connections is the rate of handshakes: a client over it is told before TLS begins."""

    async def scenario(house: House) -> None:
        for _ in range(2):
            client = await greeted(house)
            await client.start_tls()
            await client.close()
        client = await Client.to(house)
        assert (await client.reply()).startswith("421 4.7.0")
        await client.close()
        assert told(house, "connection-refused") == [("connection-rate-per-source", 2, 3)]

    in_house(scenario, {"tls": "optional", "limits": {"connection-rate-per-source": 2, **STRANGERS}}, tls)


def test_the_programs_of_this_machine_may_come_as_often_as_they_like() -> None:
    async def scenario(house: House) -> None:
        for _ in range(4):
            client = await greeted(house)
            assert (await client.ask(FROM)).startswith("250")
            await client.close()

    in_house(scenario, {"limits": {"message-rate-per-source": 1, "connection-rate-per-source": 1}})


def test_a_rate_is_of_the_source_and_not_of_the_session() -> None:
    async def scenario(house: House) -> None:
        for begins in ("250", "421 4.4.2"):
            client = await greeted(house)
            assert (await client.ask(FROM)).startswith(begins)
            await client.close()
        house.clock.advance(60)
        client = await greeted(house)
        assert (await client.ask(FROM)).startswith("250")
        await client.close()

    in_house(scenario, {"limits": {"message-rate-per-source": 1, **STRANGERS}})


@pytest.mark.threat("G02", "I11")
def test_a_connection_too_many_is_told_with_its_limit() -> None:
    async def scenario(house: House) -> None:
        first = await greeted(house)
        second = await Client.to(house)
        assert (await second.reply()).startswith("421 4.3.2")
        assert await second.is_closed()
        assert told(house, "connection-refused") == [("connections-per-source", 1, 2)]
        refused = ("connections_refused", {"connector": "test", "limit": "connections-per-source"})
        assert refused in house.lines.labelled
        await first.close()
        await second.close()

    in_house(scenario, {"limits": {"connections-per-source": 1}})


@pytest.mark.threat("G05")
def test_unfinished_mail_beyond_its_limit_is_answered_452_and_told() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        content = b"Subject: x\r\n\r\n" + (LINE + b"\r\n") * 1100
        for line, begins in mail(content, "452 4.3.1"):
            assert (await client.ask(line)).startswith(begins)
        ((limit, value, _),) = told(house, "command-refused")
        assert (limit, value) == ("intake.unfinished", 1 << 20)
        assert not house.accepted
        # What was held is given back: a smaller one is taken
        for line, begins in mail(b"Subject: x\r\n\r\n" + (LINE + b"\r\n") * 500, "250"):
            assert (await client.ask(line)).startswith(begins)
        await client.close()

    in_house(scenario, {}, intake={"unfinished": "1MiB"})


# -- time ---------------------------------------------------------------------------------------------


async def silent(_house: House, client: Client) -> None:
    """It has greeted, and says nothing."""


async def in_content(_house: House, client: Client) -> None:
    client.writer.write(MAIL + b"DATA\r\n")
    for _ in range(3):
        await client.reply()


TIMES = [
    ("command-timeout", 300.0, silent),
    ("data-timeout", 180.0, in_content),
]


@pytest.mark.threat("G04", "G05")
@pytest.mark.parametrize(("limit", "patience_s", "then"), TIMES, ids=[row[0] for row in TIMES])
def test_patience_at_its_end_and_a_second_before(limit: str, patience_s: float, then: Any) -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await greeted(house)
        await then(house, client)
        await loop.jump(patience_s - 5)
        assert told(house, "session-closed") == []
        await loop.jump(6)
        assert (await client.reply()).startswith("421 4.4.2")
        ((name, value, actual),) = told(house, "session-closed")
        assert (name, value) == (limit, patience_s)
        assert isinstance(actual, float)
        assert actual >= patience_s
        assert ("sessions_closed", {"connector": "test", "limit": limit}) in house.lines.labelled
        await client.close()

    in_house_that_jumps(scenario, {"limits": {"data-rate": "0B"}})


@pytest.mark.threat("D09")
def test_patience_with_a_handshake(tls: ServerTls) -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await Client.to(house)
        async with asyncio.timeout(10):
            while not house.listener.session_count:
                await asyncio.sleep(0)
        await loop.jump(31)
        assert await client.is_closed()
        assert [(limit, value) for limit, value, _ in told(house, "session-closed")] == [
            ("handshake-timeout", 30.0)
        ]
        await client.close()

    in_house_that_jumps(scenario, {"tls": "implicit"}, tls)


@pytest.mark.threat("G17")
def test_a_short_session_ends_when_it_should() -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await greeted(house)
        await loop.jump(9)
        assert (await client.ask(b"NOOP")).startswith("250")
        await loop.jump(1.5)
        assert (await client.reply()).startswith("421 4.7.0")
        ((name, value, actual),) = told(house, "session-closed")
        assert (name, value) == ("session-timeout", 10.0)
        assert isinstance(actual, float)
        assert 10.0 <= actual < 12.0
        await client.close()

    in_house_that_jumps(scenario, {"limits": {"session-timeout": "10s"}})


@pytest.mark.threat("G17")
def test_the_longest_session_however_busy() -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await greeted(house)
        for _ in range(8):
            await loop.jump(220)
            assert (await client.ask(b"NOOP")).startswith("250")
        await loop.jump(60)
        assert (await client.reply()).startswith("421 4.7.0")
        ((name, value, actual),) = told(house, "session-closed")
        assert (name, value) == ("session-timeout", 1800.0)
        assert isinstance(actual, float)
        assert actual >= 1800.0
        await client.close()

    in_house_that_jumps(scenario, {})


@pytest.mark.threat("G05", "B34")
@pytest.mark.parametrize(
    ("octets", "alive"), [(500 * 41, True), (400 * 40, False)], ids=["fast enough", "too slow"]
)
def test_content_has_to_come_at_some_rate(octets: int, alive: bool) -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await greeted(house)
        client.writer.write(MAIL + b"DATA\r\n")
        for _ in range(3):
            await client.reply()
        client.writer.write(b"Subject: x\r\n\r\n" + b"text\r\n" * (octets // 6))
        await client.writer.drain()
        await asyncio.sleep(0)
        await loop.jump(40)
        if alive:
            assert told(house, "session-closed") == []
        else:
            assert (await client.reply()).startswith("421 4.4.2")
            ((name, value, actual),) = told(house, "session-closed")
            assert (name, value) == ("data-rate", 500)
            assert isinstance(actual, float)
            assert actual < 500
        await client.close()

    in_house_that_jumps(scenario, {})


@pytest.mark.threat("G05", "B34")
@pytest.mark.parametrize(
    ("octets", "alive"), [(500 * 41, True), (400 * 40, False)], ids=["fast enough", "too slow"]
)
def test_a_chunk_has_to_come_at_some_rate_since_it_began(octets: int, alive: bool) -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await greeted(house)
        await loop.jump(250)  # what came before it is no time that it took
        client.writer.write(MAIL + b"BDAT 12\r\nSubject: x\r\n")
        for _ in range(3):
            await client.reply()
        await loop.jump(250)  # nor is the time between two
        for piece, pause_s in (
            (b"BDAT 1000000 LAST\r\n", 5),
            (b"\r\n", 15),
            (b"text\r\n" * (octets // 6), 25),
        ):
            assert told(house, "session-closed") == []
            client.writer.write(piece)
            await client.writer.drain()
            await loop.jump(0)  # it is read before time goes on
            await loop.jump(pause_s)
        if alive:
            assert told(house, "session-closed") == []
        else:
            assert (await client.reply()).startswith("421 4.4.2")
            ((name, _, _),) = told(house, "session-closed")
            assert name == "data-rate"
        await client.close()

    in_house_that_jumps(scenario, {})


# -- the greeting -------------------------------------------------------------------------------------


@pytest.mark.threat("C01")
@pytest.mark.parametrize("hello", [b"EHLO early.example\r\n", b"E", b"\r\n"])
def test_who_speaks_before_the_greeting_is_told_at_once_and_costs_nothing(hello: bytes) -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await Client.to(house)
        client.writer.write(hello)
        assert (await client.reply()).startswith("554 5.5.1")
        assert await client.is_closed()
        assert "early_talkers" in house.lines.counted
        ((limit, value, _),) = told(house, "early-talker")
        assert (limit, value) == ("greet-delay", 6.0)
        await client.close()

    in_house_that_jumps(scenario, {"limits": {"greet-delay": "6s"}})


@pytest.mark.threat("C01")
def test_who_waits_is_greeted_after_the_delay() -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await Client.to(house)
        async with asyncio.timeout(10):
            while not house.listener.session_count:
                await asyncio.sleep(0)
        reading = asyncio.ensure_future(client.reader.readline())
        await loop.jump(5)
        assert not reading.done()
        await loop.jump(1)
        assert (await reading).startswith(b"220 mx.ours.example")
        assert (await client.ask(b"EHLO client.example")).startswith("250")
        assert "early_talkers" not in house.lines.counted
        await client.close()

    in_house_that_jumps(scenario, {"limits": {"greet-delay": "6s"}})


@pytest.mark.threat("C01")
def test_under_implicit_tls_the_delay_begins_behind_the_handshake(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house, ssl=trusting(), server_hostname="mx.ours.example")
        client.writer.write(b"EHLO early.example\r\n")
        assert (await client.reply()).startswith("554 5.5.1")
        await client.close()

    in_house(scenario, {"tls": "implicit", "limits": {"greet-delay": "30s"}}, tls)


def test_named_ranges_do_not_wait_for_the_greeting() -> None:
    async def scenario(house: House) -> None:
        client = await greeted(house)
        await client.close()

    in_house(scenario, {"limits": {"greet-delay": "30s"}, "ranges": HERE})


# -- load ---------------------------------------------------------------------------------------------

CROWDED: dict[str, Any] = {
    **NOTHING_ELSE,
    "connections": 10,
    "errors-hard": 5,
    "error-delay": "0s",
    "stress": {"from-share": 50, "until-share": 20, "command-timeout": "10s"},
}


def stressed(house: House) -> str:
    return " ".join(house.listener.stressed)


@pytest.mark.threat("G08")
def test_a_crowd_gets_less_patience_and_fewer_errors_until_it_is_gone() -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        # Given a client that has been silent for a while, and then a crowd
        idle = await greeted(house)
        await loop.jump(100)
        assert told(house, "session-closed") == []
        crowd = [await greeted(house) for _ in range(4)]
        assert told(house, "stress-began") == [("stress.from-share", 50, 50.0)]
        assert stressed(house) == "test"
        # When ten seconds pass, the silent ones are closed
        assert (await crowd[0].ask(b"NONSENSE")).startswith("500")
        assert (await crowd[0].ask(b"NONSENSE")).startswith("421 4.7.0")
        await loop.jump(11)
        for client in (idle, *crowd[1:]):
            assert (await client.reply()).startswith("421 4.4.2")
        for client in (idle, *crowd):
            await client.close()
        # And when they are gone, things are as before
        async with asyncio.timeout(10):
            while house.listener.session_count:
                await asyncio.sleep(0)
        assert [limit for limit, _, _ in told(house, "stress-ended")] == ["stress.until-share"]
        assert stressed(house) == ""
        last = await greeted(house)
        for _ in range(5):
            assert (await last.ask(b"NONSENSE")).startswith("500")
        await loop.jump(100)
        assert (await last.ask(b"NOOP")).startswith("250")
        await last.close()

    in_house_that_jumps(scenario, {"limits": CROWDED})


@pytest.mark.threat("G08")
def test_a_crowd_does_not_cost_whom_we_know() -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        crowd = [await greeted(house) for _ in range(6)]
        assert stressed(house) == "test"
        await loop.jump(100)
        for client in crowd:
            assert (await client.ask(b"NONSENSE")).startswith("500")
            assert (await client.ask(b"NONSENSE")).startswith("500")
            await client.close()

    in_house_that_jumps(scenario, {"limits": CROWDED, "ranges": HERE})


# -- back pressure ------------------------------------------------------------------------------------

MEDIUM, HIGH, FINE = (
    {Resource.DISK: float(free << 20)}
    for free in (900, 100, 2000)  # MiB
)


@pytest.mark.threat("G10", "G18", "O05")
def test_at_medium_strangers_hear_452_and_whom_we_know_goes_on(tls: ServerTls) -> None:
    async def scenario(house: House) -> None:
        stranger, known = await greeted(house), await encrypted(house)
        token = base64.b64encode(b"\0ann\0secret")
        assert (await known.ask(b"AUTH PLAIN " + token)).startswith("235")
        house.pressure.feed(MEDIUM, 0.0)
        assert (await stranger.ask(FROM)).startswith("452 4.3.1")
        assert (await known.ask(b"MAIL FROM:<ann@ours.example>")).startswith("250")
        assert told(house, "command-refused") == [("back-pressure.disk", 1 << 30, float(900 << 20))]
        # A new stranger may come in and log in
        other = await encrypted(house)
        assert (await other.ask(b"AUTH PLAIN " + token)).startswith("235")
        # And when there is room again, all is well
        house.pressure.feed(FINE, 1.0)
        assert (await stranger.ask(FROM)).startswith("250")
        for client in (stranger, known, other):
            await client.close()

    in_house(scenario, {"tls": "optional", "auth": True}, tls)


@pytest.mark.threat("G10", "G18", "O05", "O07")
def test_at_high_nobody_hands_in_mail_and_a_transaction_under_way_is_finished() -> None:
    async def scenario(house: House) -> None:
        busy, idle = await greeted(house), await greeted(house)
        for line, begins in BEGIN:
            assert (await busy.ask(line)).startswith(begins)
        house.pressure.feed(HIGH, 0.0)
        assert (await idle.ask(FROM)).startswith("452 4.3.1")
        late = await Client.to(house)
        assert (await late.reply()).startswith("421 4.3.2")
        assert told(house, "connection-refused") == [("back-pressure.disk", 512 << 20, float(100 << 20))]
        assert (await busy.ask(SMALL + b"\r\n.")).startswith("250")
        assert len(house.accepted) == 1
        for client in (busy, idle, late):
            await client.close()

    in_house(scenario, {"ranges": HERE})


@pytest.mark.threat("G10")
def test_a_queue_that_grows_makes_strangers_wait_first() -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        stranger = await greeted(house)
        for number in range(15):
            house.pressure.feed({Resource.QUEUE: 12000.0}, number * 2.0)
        stranger.writer.write(FROM + b"\r\n")
        reading = asyncio.ensure_future(stranger.reader.readline())
        async with asyncio.timeout(10):
            while not house.doors[0].tarpit.held:
                await asyncio.sleep(0)
        await loop.jump(9)
        assert not reading.done()
        await loop.jump(2)
        assert (await reading).startswith(b"250")
        # Ten minutes later it is refused
        house.pressure.feed({Resource.QUEUE: 12000.0}, 700.0)
        await stranger.ask(b"RSET")
        assert (await stranger.ask(FROM)).startswith("452 4.3.1")
        await stranger.close()

    in_house_that_jumps(scenario, {})


@pytest.mark.threat("G13")
def test_sessions_under_way_do_not_grow_when_memory_is_short() -> None:
    async def scenario(house: House) -> None:
        stranger = await greeted(house)
        assert (await stranger.ask(FROM)).startswith("250")
        assert (await stranger.ask(b"RCPT TO:<ann@ours.example>")).startswith("250")
        for number in range(5):
            house.pressure.feed({Resource.MEMORY: 90.0}, number * 2.0)
        assert (await stranger.ask(b"RCPT TO:<bob@ours.example>")).startswith("452 4.3.1")
        assert told(house, "command-refused") == [("back-pressure.memory", 75, 90.0)]
        # What it has agreed to is finished
        assert (await stranger.ask(b"DATA")).startswith("354")
        assert (await stranger.ask(b"A: b\r\n\r\nc\r\n.")).startswith("250")
        (accept,) = house.accepted
        assert [str(r.recipient.address) for r in accept.mail.recipients] == ["ann@ours.example"]
        await stranger.close()

    in_house(scenario, {})


def test_strangers_that_wait_under_pressure_have_so_many_places() -> None:
    async def scenario(house: House) -> None:
        stranger = await greeted(house)
        for number in range(15):
            house.pressure.feed({Resource.QUEUE: 12000.0}, number * 2.0)
        assert (await stranger.ask(FROM)).startswith("421 4.7.0")
        await stranger.close()

    in_house(scenario, {"limits": {"tarpits": 0}})
