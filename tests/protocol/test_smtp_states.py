"""The table of states: whole, the same in the manual, and what the engine does in every cell."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from tests.protocol.talk import BANNER, ENVELOPE, HELLO, LIMITS, OFFER, Talk

from gatepost.model.reply import Reply
from gatepost.protocol.events import Auth, Verb, XClient
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.protocol.smtp_states import TABLE, State, after, read_table

MANUAL = Path(__file__).parents[2] / "docs" / "smtp.md"
WIDE_OFFER = replace(OFFER, starttls=True, auth=("PLAIN",), xclient=("ADDR",))

WAY_TO: dict[State, list[bytes]] = {
    State.FRESH: [],
    State.READY: [HELLO],
    State.EXCHANGE: [HELLO, b"AUTH PLAIN\r\n"],
    State.HANDSHAKE: [HELLO, b"STARTTLS\r\n"],
    State.MAIL: [HELLO, b"MAIL FROM:<>\r\n"],
    State.RCPT: [HELLO, ENVELOPE],
    State.DATA: [HELLO, ENVELOPE, b"DATA\r\n"],
    State.BDAT: [HELLO, ENVELOPE, b"BDAT 1\r\nx"],
    State.CLOSED: [b"QUIT\r\n"],
}
SAYING: dict[Verb, bytes] = {
    Verb.EHLO: HELLO,
    Verb.HELO: b"HELO client.example\r\n",
    Verb.STARTTLS: b"STARTTLS\r\n",
    Verb.AUTH: b"AUTH PLAIN\r\n",
    Verb.XCLIENT: b"XCLIENT ADDR=192.0.2.7\r\n",
    Verb.MAIL: b"MAIL FROM:<>\r\n",
    Verb.RCPT: b"RCPT TO:<bob@ours.example>\r\n",
    Verb.DATA: b"DATA\r\n",
    Verb.BDAT: b"BDAT 1\r\nx",
    Verb.DOT: b"\r\n.\r\n",
    Verb.LAST: b"BDAT 1 LAST\r\nx",
    Verb.RSET: b"RSET\r\n",
    Verb.NOOP: b"NOOP\r\n",
    Verb.VRFY: b"VRFY bob\r\n",
    Verb.EXPN: b"EXPN bob\r\n",
    Verb.HELP: b"HELP\r\n",
    Verb.QUIT: b"QUIT\r\n",
}
CHALLENGE = {Auth: Reply(334, "", ""), XClient: BANNER}


def talk_in(state: State) -> Talk:
    talk = Talk(offer=WIDE_OFFER, answers=CHALLENGE)
    for data in WAY_TO[state]:
        talk.say(data)
    assert talk.engine.state is state
    return talk


COMMAND_STATES = (State.FRESH, State.READY, State.MAIL, State.RCPT, State.BDAT)
COMMAND_CELLS = [c for c in product(COMMAND_STATES, SAYING) if c[1] is not Verb.DOT]


@pytest.mark.threat("B08", "B09", "B13", "B16", "C09", "C11", "D07", "E03")
@pytest.mark.parametrize(("state", "verb"), COMMAND_CELLS, ids=lambda x: x.name)
def test_every_cell_where_commands_are_read(state: State, verb: Verb) -> None:
    # Given a client in the state
    talk = talk_in(state)
    before = len(talk.events)
    # When it says the verb and we agree
    codes = talk.codes(SAYING[verb])
    # Then it is where the table says; a dash is refused and changes nothing
    there = after(state, verb)
    assert talk.engine.state is (there or state)
    assert len(talk.events) == before + 1
    assert (codes[0].startswith(("503", "554"))) is (there is None)


SILENT_CELLS = list(product((State.HANDSHAKE, State.CLOSED), SAYING))


@pytest.mark.parametrize(("state", "verb"), SILENT_CELLS, ids=lambda x: x.name)
def test_nothing_is_a_command_in_a_handshake_or_after_the_end(state: State, verb: Verb) -> None:
    talk = talk_in(state)
    before = len(talk.events)
    assert talk.say(SAYING[verb]) == ""
    assert len(talk.events) == before
    assert talk.engine.state is state
    assert after(state, verb) is None


@pytest.mark.parametrize("verb", [v for v in SAYING if v is not Verb.DOT], ids=lambda v: v.name)
def test_a_command_inside_data_is_text(verb: Verb) -> None:
    talk = talk_in(State.DATA)
    assert talk.say(SAYING[verb]) == ""
    assert talk.engine.state is State.DATA
    assert after(State.DATA, verb) is None


def test_the_dot_ends_data() -> None:
    talk = talk_in(State.DATA)
    talk.say(SAYING[Verb.DOT])
    assert talk.engine.state is State.READY


@pytest.mark.parametrize(
    "verb", [v for v in SAYING if v not in (Verb.DOT, Verb.BDAT, Verb.LAST)], ids=lambda v: v.name
)
def test_a_command_inside_auth_is_a_response_that_is_not_base64(verb: Verb) -> None:
    talk = talk_in(State.EXCHANGE)
    codes = talk.codes(SAYING[verb])
    # "AUTH", "DATA" and their like are base64 by chance: then they are a response.
    assert codes in (["501 5.5.2"], ["235 2.7.0"])
    assert talk.engine.state is State.READY
    assert after(State.EXCHANGE, verb) is None


def test_before_the_greeting_nothing_is_read() -> None:
    engine = ServerEngine(OFFER, LIMITS)
    engine.receive(HELLO)
    assert engine.state is State.CONNECTED
    assert engine.spoke_early
    assert all(after(State.CONNECTED, verb) is None for verb in Verb)
    assert engine.greet(BANNER) == b"220 ours.example ESMTP\r\n"


def test_the_manual_prints_the_table() -> None:
    block = re.search(r"```text\n(           EHLO.*?)```", MANUAL.read_text(), re.DOTALL)
    assert block is not None
    assert block[1].strip() == TABLE.strip()


BROKEN_TABLES = [
    (
        "a cell is missing",
        TABLE.replace(
            "READY  READY  -          -         FRESH    -     -     -     -     -      -      FRESH",
            "READY  READY  -",
            1,
        ),
    ),
    ("a row is missing", TABLE[: TABLE.rindex("CLOSED     -")]),
    ("a state is unknown", TABLE.replace("HANDSHAKE  EXCHANGE", "HANDSHAKE  ELSEWHERE")),
    ("a verb is unknown", TABLE.replace("EHLO   HELO", "EHLO   LHLO")),
    ("rows are out of order", TABLE.replace("FRESH      READY", "MAIL       READY", 1)),
    ("there is one cell too many", TABLE.replace("EXCHANGE   -", "EXCHANGE   -  -")),
]


@pytest.mark.parametrize(
    ("name", "table"), BROKEN_TABLES, ids=lambda x: x if " " in x and len(x) < 40 else ""
)
def test_a_broken_table_stops_the_import(name: str, table: str) -> None:
    assert table != TABLE, name
    with pytest.raises(ValueError):
        read_table(table)
