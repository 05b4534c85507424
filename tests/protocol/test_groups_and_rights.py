"""Who must wait for an answer (pipelining), STARTTLS, and AUTH."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace

import pytest
from tests.protocol.talk import (
    ENVELOPE,
    HELLO,
    LATER,
    LIMITS,
    OFFER,
    REFUSED,
    SMUGGLED,
    Talk,
    in_data,
    in_transaction,
)

from gatepost.model.reply import Reply
from gatepost.protocol.events import Auth, AuthResponse, Data, Hello, Mail, Offer, Rcpt, StartTls, Violation
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.protocol.smtp_states import State

OUT_OF_TURN = "554 5.5.0"
TLS_OFFER = replace(OFFER, starttls=True)
AUTH_OFFER = replace(OFFER, auth=("PLAIN", "LOGIN"))
CHALLENGE = Reply(334, "", "")


@pytest.mark.threat("C03", "C05", "D01")
@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"N", SMUGGLED], ids=["a command", "an octet", "a mail"])
@pytest.mark.parametrize(
    "command",
    [
        b"EHLO x\r\n",
        b"HELO x\r\n",
        b"DATA\r\n",
        b"NOOP\r\n",
        b"VRFY x\r\n",
        b"EXPN x\r\n",
        b"HELP\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN\r\n",
    ],
)
def test_a_client_that_does_not_wait(command: bytes, behind: bytes) -> None:
    # Given a client to which PIPELINING was announced
    talk = in_transaction(offer=replace(TLS_OFFER, auth=("PLAIN",)))
    before = len(talk.events)
    # When it says more behind a command that ends a group
    assert talk.codes(command + behind) == [OUT_OF_TURN]
    # Then the command is not executed either, and we hang up
    assert talk.closed
    assert isinstance(talk.events[before], Violation)
    assert len(talk.events) == before + 1


@pytest.mark.threat("C03", "C05")
@pytest.mark.parametrize(
    ("command", "answers", "code"),
    [
        (b"EHLO x\r\n", {}, "250"),
        (b"DATA\r\n", {Data: LATER}, "451 4.7.1"),
        (b"DATA\r\n", {}, "354"),
        (b"NOOP\r\n", {}, "250 2.0.0"),
    ],
)
def test_speaking_while_the_answer_is_prepared(command: bytes, answers: dict[type, Reply], code: str) -> None:
    # Given a command whose answer takes its time
    talk = in_transaction(answers=answers)
    talk.engine.receive(command)
    event = talk.engine.next_event()
    # When the client says more before it can have read the answer
    talk.engine.receive(SMUGGLED)
    talk.engine.send(talk._answer(event))  # type: ignore[arg-type]  # an event, not a pause
    # Then that is never executed, and never taken for content
    assert talk.codes(b"") == [OUT_OF_TURN]
    assert talk.closed


@pytest.mark.threat("C04")
def test_a_group_is_answered_in_order() -> None:
    talk = Talk(answers={Rcpt: REFUSED})
    talk.say(HELLO)
    group = b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<x@b.test>\r\nDATA\r\n"
    for cut in (0, 1, 5):
        assert talk.codes(group, cut=cut) == [
            "250 2.0.0",
            "550 5.7.1",
            "250 2.0.0",
            "250 2.0.0",
            "550 5.7.1",
            "554 5.5.1",
        ]
        talk.say(b"RSET\r\n")


@pytest.mark.threat("A24", "C04")
def test_commands_may_follow_content() -> None:
    talk = in_data()
    assert talk.codes(b"x\r\n.\r\n" + ENVELOPE + b"DATA\r\n") == ["250 2.0.0"] * 3 + ["354"]


@pytest.mark.threat("C03")
@pytest.mark.parametrize(
    ("name", "offer", "hello"),
    [
        ("not announced", replace(OFFER, pipelining=False), HELLO),
        ("announced to EHLO only", OFFER, b"HELO x\r\n"),
        ("before EHLO", replace(OFFER, helo_needed=False), b""),
    ],
)
def test_where_pipelining_was_not_announced(name: str, offer: Offer, hello: bytes) -> None:
    talk = Talk(offer=offer)
    if hello:
        talk.say(hello)
    assert talk.codes(ENVELOPE) == [OUT_OF_TURN]
    assert talk.closed
    # One after the other is fine.
    talk = Talk(offer=offer)
    for line in (hello, b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b.test>\r\n", b"DATA\r\n", b"x\r\n.\r\nQUIT\r\n"):
        talk.say(line)
    assert len(talk.taken) == 1
    assert talk.closed


def test_the_right_to_pipeline_ends_with_helo() -> None:
    talk = Talk()
    talk.say(HELLO)
    talk.say(b"HELO x\r\n")
    assert talk.codes(ENVELOPE) == [OUT_OF_TURN]


@pytest.mark.threat("B32", "C03")
def test_what_follows_quit_is_not_read() -> None:
    talk = Talk()
    assert talk.codes(b"QUIT\r\n" + HELLO + SMUGGLED) == ["221 2.0.0"]
    assert talk.closed


# STARTTLS


@pytest.mark.threat("D01", "D02")
def test_an_injected_command_is_never_executed() -> None:
    talk = Talk(offer=TLS_OFFER)
    talk.say(HELLO)
    assert talk.codes(b"STARTTLS\r\n" + SMUGGLED) == [OUT_OF_TURN]
    assert talk.closed
    # Bytes that come while the answer is prepared are told to the driver, and are gone after a handshake.
    talk = Talk(offer=TLS_OFFER)
    talk.say(HELLO)
    talk.engine.receive(b"STARTTLS\r\n")
    assert talk.engine.next_event() == StartTls()
    talk.engine.receive(b"RSET\r\n")
    talk.engine.send(Reply(220, "2.0.0", "Go ahead"))
    assert talk.engine.buffered_bytes == 6
    assert talk.codes(b"") == []
    talk.engine.tls_started()
    assert talk.engine.buffered_bytes == 0
    assert talk.codes(b"") == []


@pytest.mark.threat("D03", "B14", "D05")
def test_after_the_handshake_everything_is_forgotten() -> None:
    talk = Talk(offer=replace(TLS_OFFER, auth=("PLAIN",)))
    talk.say(HELLO)
    talk.say(b"AUTH PLAIN AAAA\r\n")
    assert talk.codes(b"STARTTLS\r\n") == ["250 2.0.0"]
    assert talk.is_in(State.HANDSHAKE)
    talk.engine.tls_started()
    # No EHLO, no AUTH, no right to pipeline; and STARTTLS is over
    assert talk.is_in(State.FRESH)
    assert talk.codes(b"MAIL FROM:<>\r\n") == ["503 5.5.1"]
    assert talk.codes(b"NOOP\r\nNOOP\r\n") == [OUT_OF_TURN]
    talk = Talk(offer=replace(TLS_OFFER, auth=("PLAIN",)), tls=True)
    talk.say(HELLO)
    assert talk.codes(b"STARTTLS\r\n") == ["503 5.5.1"]
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == ["235 2.7.0"]


def test_authentication_of_the_clear_is_forgotten() -> None:
    talk = Talk(offer=replace(TLS_OFFER, auth=("PLAIN",)))
    talk.say(HELLO)
    talk.say(b"AUTH PLAIN AAAA\r\n")
    talk.say(b"STARTTLS\r\n")
    talk.engine.tls_started()
    talk.say(HELLO)
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == ["235 2.7.0"]


def test_implicit_tls_begins_before_the_greeting() -> None:
    talk = Talk(offer=replace(TLS_OFFER, require_tls=True), greeted=False)
    talk.engine.tls_started()
    assert talk.is_in(State.CONNECTED)
    talk.engine.greet(Reply(220, "", "ours.example"))
    assert "REQUIRETLS" in talk.say(HELLO)


STARTTLS_CASES = [
    ("with an argument", TLS_OFFER, [HELLO], b"STARTTLS now\r\n", "501 5.5.4"),
    ("not offered", OFFER, [HELLO], b"STARTTLS\r\n", "502 5.5.1"),
    ("before EHLO", TLS_OFFER, [], b"STARTTLS\r\n", "503 5.5.1"),
    ("in a transaction", TLS_OFFER, [HELLO, b"MAIL FROM:<>\r\n"], b"STARTTLS\r\n", "503 5.5.1"),
]


@pytest.mark.threat("D05", "D06", "D07")
@pytest.mark.parametrize(
    ("name", "offer", "start", "said", "code"), STARTTLS_CASES, ids=[c[0] for c in STARTTLS_CASES]
)
def test_starttls_refused(name: str, offer: Offer, start: list[bytes], said: bytes, code: str) -> None:
    talk = Talk(offer=offer)
    for line in start:
        talk.say(line)
    state = talk.engine.state
    assert talk.codes(said) == [code]
    assert talk.engine.state is state


def test_a_refused_starttls_changes_nothing() -> None:
    talk = Talk(offer=TLS_OFFER, answers={StartTls: Reply(454, "4.7.0", "Not now")})
    talk.say(HELLO)
    assert talk.codes(b"STARTTLS\r\n") == ["454 4.7.0"]
    assert talk.codes(b"MAIL FROM:<>\r\n") == ["250 2.0.0"]


@pytest.mark.threat("D08")
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"MAIL FROM:<>\r\n", "530 5.7.0"),
        (b"RCPT TO:<a@b.test>\r\n", "530 5.7.0"),
        (b"DATA\r\n", "530 5.7.0"),
        (b"AUTH PLAIN AAAA\r\n", "530 5.7.0"),
        (b"VRFY x\r\n", "530 5.7.0"),
        (b"EXPN x\r\n", "530 5.7.0"),
        (b"HELP\r\n", "530 5.7.0"),
        (b"NOOP\r\n", "250 2.0.0"),
        (b"RSET\r\n", "250 2.0.0"),
        (b"EHLO x\r\n", "250"),
        (b"HELO x\r\n", "250 2.0.0"),
        (b"QUIT\r\n", "221 2.0.0"),
        (b"STARTTLS\r\n", "250 2.0.0"),
    ],
)
def test_where_tls_is_demanded(said: bytes, code: str) -> None:
    demanding = replace(AUTH_OFFER, starttls=True, tls_needed=True)
    talk = Talk(offer=demanding)
    talk.say(HELLO)
    assert talk.codes(said)[-1].startswith(code.split()[0])
    under_tls = Talk(offer=demanding, tls=True)
    under_tls.say(HELLO)
    assert "530 5.7.0" not in under_tls.codes(said)


# AUTH


@dataclass(frozen=True, slots=True)
class Tried:
    name: str
    said: bytes
    code: str
    offer: Offer = AUTH_OFFER


TRIED = [
    Tried("not offered", b"AUTH PLAIN AAAA\r\n", "502 5.5.1", OFFER),
    Tried(
        "not offered in the clear",
        b"AUTH PLAIN AAAA\r\n",
        "538 5.7.11",
        replace(TLS_OFFER, auth_under_tls=True),
    ),
    Tried("not offered under TLS either", b"AUTH PLAIN AAAA\r\n", "502 5.5.1", TLS_OFFER),
    Tried("no mechanism", b"AUTH\r\n", "501 5.5.4"),
    Tried("two blanks", b"AUTH PLAIN  AAAA\r\n", "501 5.5.4"),
    Tried("three words", b"AUTH PLAIN AAAA BBBB\r\n", "501 5.5.4"),
    Tried("a mechanism of 21 letters", b"AUTH " + b"A" * 21 + b"\r\n", "501 5.5.4"),
    Tried("a mechanism of 20 letters", b"AUTH " + b"A" * 20 + b"\r\n", "504 5.5.4"),
    Tried("NTLM", b"AUTH NTLM\r\n", "504 5.5.4"),
    Tried("CRAM-MD5", b"AUTH CRAM-MD5\r\n", "504 5.5.4"),
    Tried("GSSAPI", b"AUTH GSSAPI\r\n", "504 5.5.4"),
    Tried("bad base64", b"AUTH PLAIN A\r\n", "501 5.5.2"),
    Tried("base64 with other characters", b"AUTH PLAIN AA*A\r\n", "501 5.5.2"),
    Tried("base64 with text behind its end", b"AUTH PLAIN AA==AAAA\r\n", "501 5.5.2"),
    Tried("base64 with a short end", b"AUTH PLAIN AAA\r\n", "501 5.5.2"),
    Tried("a cancel at once", b"AUTH PLAIN *\r\n", "501 5.5.2"),
]


@pytest.mark.threat("E01", "E02", "E04", "E10")
@pytest.mark.parametrize("tried", TRIED, ids=lambda t: t.name)
def test_auth_refused(tried: Tried) -> None:
    talk = Talk(offer=tried.offer)
    talk.say(HELLO)
    assert talk.codes(tried.said) == [tried.code]
    assert talk.is_in(State.READY)
    assert talk.codes(b"MAIL FROM:<>\r\n") == ["250 2.0.0"]


INITIAL = [
    ("none", b"AUTH plain\r\n", Auth("PLAIN", None)),
    ("empty", b"AUTH PLAIN =\r\n", Auth("PLAIN", b"")),
    ("given", b"AUTH LOGIN YW5u\r\n", Auth("LOGIN", b"ann")),
    ("rich in NUL", b"AUTH PLAIN AAAAAAAA\r\n", Auth("PLAIN", b"\0" * 6)),
]


@pytest.mark.threat("E04")
@pytest.mark.parametrize(("name", "said", "event"), INITIAL, ids=[i[0] for i in INITIAL])
def test_the_initial_response(name: str, said: bytes, event: Auth) -> None:
    talk = Talk(offer=AUTH_OFFER)
    talk.say(HELLO)
    talk.say(said)
    assert talk.events[-1] == event
    assert "ann" not in repr(event)


def challenged() -> Talk:
    talk = Talk(offer=AUTH_OFFER, answers={Auth: CHALLENGE})
    talk.say(HELLO)
    assert talk.codes(b"AUTH PLAIN\r\n") == ["334"]
    assert talk.is_in(State.EXCHANGE)
    return talk


RESPONSES = [
    ("given", b"YW5u\r\n", "235 2.7.0", AuthResponse(b"ann")),
    ("empty", b"\r\n", "235 2.7.0", AuthResponse(b"")),
    ("bad base64", b"YW5\r\n", "501 5.5.2", None),
    ("an equals sign is none here", b"=\r\n", "501 5.5.2", None),
    ("cancel", b"*\r\n", "501 5.7.0", None),
    ("8-bit", b"\xff\xff\xff\xff\r\n", "501 5.5.2", None),
]


@pytest.mark.threat("E04")
@pytest.mark.parametrize(("name", "said", "code", "event"), RESPONSES, ids=[r[0] for r in RESPONSES])
def test_a_response(name: str, said: bytes, code: str, event: AuthResponse | None) -> None:
    for cut in (0, 1):
        talk = challenged()
        assert talk.codes(said, cut=cut) == [code]
        assert event is None or talk.events[-1] == event
        assert isinstance(talk.events[-1], Violation) is (event is None)
        assert talk.is_in(State.READY)
        # The exchange is over: a line is a command again.
        assert talk.codes(b"NOOP\r\n") == ["250 2.0.0"]


def test_several_challenges() -> None:
    talk = challenged()
    talk.answers = {AuthResponse: CHALLENGE}
    assert talk.codes(b"YW5u\r\n") == ["334"]
    assert talk.is_in(State.EXCHANGE)
    talk.answers = {AuthResponse: Reply(535, "5.7.8", "No")}
    assert talk.codes(b"YW5u\r\n") == ["535 5.7.8"]
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == ["235 2.7.0"]


@pytest.mark.threat("C03")
def test_a_response_waits_for_its_answer() -> None:
    talk = challenged()
    assert talk.codes(b"YW5u\r\nNOOP\r\n") == [OUT_OF_TURN]
    assert talk.closed


@pytest.mark.threat("C03")
def test_speaking_while_a_response_is_judged() -> None:
    talk = challenged()
    talk.engine.receive(b"YW5u\r\n")
    assert talk.engine.next_event() == AuthResponse(b"ann")
    talk.engine.receive(SMUGGLED)
    talk.engine.send(Reply(235, "2.7.0", "Welcome"))
    assert talk.codes(b"") == [OUT_OF_TURN]
    assert talk.closed


def test_a_connection_begins_without_tls() -> None:
    assert "STARTTLS" in ServerEngine(TLS_OFFER, LIMITS).ehlo_reply("").more


@pytest.mark.threat("E03", "B14")
def test_auth_twice_and_in_a_transaction() -> None:
    talk = in_transaction(offer=AUTH_OFFER)
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == ["503 5.5.1"]
    assert talk.is_in(State.RCPT)
    talk.say(b"RSET\r\n")
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == ["235 2.7.0"]
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == ["503 5.5.1"]
    # It is kept over EHLO, also when the driver offers nothing any more.
    assert "AUTH" not in talk.say(HELLO)
    talk.engine.offer = OFFER
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == ["503 5.5.1"]


@pytest.mark.parametrize("reply", [Reply(535, "5.7.8", "No"), Reply(454, "4.7.0", "Not now")])
def test_a_failed_auth_is_none(reply: Reply) -> None:
    talk = Talk(offer=AUTH_OFFER, answers={Auth: reply})
    talk.say(HELLO)
    assert talk.codes(b"AUTH PLAIN AAAA\r\n") == [f"{reply.code} {reply.enhanced}"]
    assert "AUTH PLAIN LOGIN" in talk.say(HELLO)


@pytest.mark.threat("E04")
@pytest.mark.parametrize(("octets", "code"), [(600, "235 2.7.0"), (604, "500 5.5.6")])
def test_the_longest_auth_lines(octets: int, code: str) -> None:
    secret = b64encode(b"x" * (octets * 3 // 4))
    for cut in (0, 1, 100):
        limits = replace(LIMITS, command_line_bytes=512, auth_line_bytes=613)
        talk = Talk(offer=AUTH_OFFER, limits=limits, answers={})
        talk.say(HELLO)
        assert talk.codes(b"auth PLAIN " + secret + b"\r\n", cut=cut) == [code]
        assert talk.closed is (code[0] == "5")
        response_limits = replace(LIMITS, command_line_bytes=512, auth_line_bytes=602)
        talk = Talk(offer=AUTH_OFFER, limits=response_limits, answers={Auth: CHALLENGE})
        talk.say(HELLO)
        talk.say(b"AUTH PLAIN\r\n")
        assert talk.codes(secret + b"\r\n", cut=cut) == [code]


def test_events_are_what_was_said() -> None:
    talk = in_transaction()
    assert isinstance(talk.events[0], Hello)
    assert isinstance(talk.events[1], Mail)
    assert isinstance(talk.events[2], Rcpt)
