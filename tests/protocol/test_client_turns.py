"""Whose turn it is on the client's side, and what of one transaction reaches the next."""

from __future__ import annotations

import pytest
from tests.protocol.test_client_engine import DATA, MAIL, RCPTS, begun, codes, events, greeted

from gatepost.model.fault import WorldFault
from gatepost.protocol.smtp_client import (
    AuthAnswered,
    AuthChallenged,
    ClientEngine,
    ContentWanted,
    Greeted,
    TlsAnswered,
)
from gatepost.protocol.smtp_client_commands import PeerOffers

AGREED = b"250 a\r\n250 b\r\n250 c\r\n354 go\r\n"
WHOLE = MAIL + b"".join(RCPTS) + DATA
RESET = b"RSET\r\n"


def begin_again(engine: ClientEngine, *, pipelined: bool = True) -> bytes:
    """What the next transaction begins with."""
    engine.to_send()
    engine.begin(MAIL, RCPTS, chunked=False, pipelined=pipelined)
    return engine.to_send()


BANNERS = [
    ("a name", b"220 MX.example ESMTP\r\n", "mx.example"),
    ("no name", b"220 \r\n", ""),
    ("8-bit", b"220 \xff\r\n", "\ufffd"),
]


@pytest.mark.parametrize(("name", "banner", "then"), BANNERS, ids=[b[0] for b in BANNERS])
def test_what_the_peer_calls_itself(name: str, banner: bytes, then: str) -> None:
    engine = ClientEngine("us.example")
    assert engine.offers == PeerOffers()
    (greeting,) = events(engine, banner)
    assert isinstance(greeting, Greeted)
    assert greeting.name == then


@pytest.mark.threat("D04")
def test_starttls_and_nothing_behind_it() -> None:
    engine = greeted()
    engine.start_tls()
    assert engine.to_send() == b"STARTTLS\r\n"
    (answered,) = events(engine, b"220 go\r\n")
    assert isinstance(answered, TlsAnswered)
    # Bytes that come between the answer and the handshake are no part of TLS
    engine.receive(b"2")
    with pytest.raises(WorldFault):
        engine.tls_started()


@pytest.mark.threat("N04")
def test_nothing_may_be_said_ahead_of_the_text() -> None:
    # Given a next hop that begins to say more than 354
    with pytest.raises(WorldFault):
        events(begun(pipelined=True), AGREED + b"2")
    # or answers a chunk before it came
    engine = begun(pipelined=True, chunked=True)
    assert events(engine, b"250 a\r\n250 b\r\n250 c\r\n") == [ContentWanted((0, 1))]
    engine.receive(b"250 taken\r\n")
    with pytest.raises(WorldFault):
        engine.chunk(b"x", last=True)


EDGES = [
    ("200 is a yes", b"200 a\r\n200 b\r\n200 c\r\n", b"300 go\r\n", None),
    ("259 is a yes", b"259 a\r\n259 b\r\n259 c\r\n", b"359 go\r\n", None),
    ("400 to MAIL", b"400 a\r\n503 b\r\n503 c\r\n", b"503 d\r\n", ("MAIL", 400)),
    ("400 to DATA", b"250 a\r\n250 b\r\n250 c\r\n", b"400 d\r\n", ("DATA", 400)),
]


@pytest.mark.parametrize(("name", "envelope", "data", "refused"), EDGES, ids=[e[0] for e in EDGES])
def test_the_edges_of_a_class(
    name: str, envelope: bytes, data: bytes, refused: tuple[str, int] | None
) -> None:
    (event,) = events(begun(pipelined=True), envelope + data)
    if refused is None:
        assert event == ContentWanted((0, 1))
    else:
        assert codes(event) == [refused] * 2


def test_whether_the_next_hop_took_note() -> None:
    engine = greeted()
    noted = [engine.mail_was_answered]
    # Given two transactions; when MAIL is answered, no or yes
    for reply in (b"550 a\r\n", b"250 a\r\n"):
        begin_again(engine, pipelined=False)
        noted.append(engine.mail_was_answered)
        events(engine, reply)
        noted.append(engine.mail_was_answered)
    # Then it took note of this one, and not yet of the next
    assert noted == [False, False, True, False, True]


ENDS = [
    ("taken", AGREED, b"250 taken\r\n"),
    ("refused after the text", AGREED, b"554 no\r\n"),
    ("nobody was accepted and the text was empty", b"250 a\r\n550 b\r\n550 c\r\n354 go\r\n", b"554 no\r\n"),
    ("MAIL was refused", b"550 a\r\n503 b\r\n503 c\r\n503 d\r\n", b""),
]


@pytest.mark.parametrize("lmtp", [False, True], ids=["SMTP", "LMTP"])
@pytest.mark.parametrize(("name", "replies", "end"), ENDS, ids=[e[0] for e in ENDS])
def test_after_an_end_of_data_nothing_needs_to_be_reset(
    name: str, replies: bytes, end: bytes, lmtp: bool
) -> None:
    if lmtp and name.startswith("nobody"):
        with pytest.raises(WorldFault):  # RFC 2033 §4.2 forbids it
            events(begun(pipelined=True, lmtp=True), replies)
        return
    engine = begun(pipelined=True, lmtp=lmtp)
    for event in events(engine, replies):
        if isinstance(event, ContentWanted):
            engine.content_sent()
    events(engine, end * (2 if lmtp else 1))
    assert engine.is_idle
    assert begin_again(engine) == WHOLE
    # and what was said of the first one is not held against the second
    assert events(engine, AGREED) == [ContentWanted((0, 1))]


def test_a_transaction_left_open_is_reset_once() -> None:
    # Given a transaction without an end of data: the next hop still has our MAIL
    engine = begun(pipelined=True)
    events(engine, b"250 a\r\n550 b\r\n550 c\r\n554 d\r\n")
    # When the next one begins it is reset; refused again, nothing is left open any more
    assert begin_again(engine) == RESET + WHOLE
    events(engine, b"250 reset\r\n550 a\r\n503 b\r\n503 c\r\n503 d\r\n")
    assert begin_again(engine) == WHOLE


def test_a_refused_reset_breaks_the_conversation() -> None:
    engine = begun(pipelined=True)
    events(engine, b"250 a\r\n550 b\r\n550 c\r\n554 d\r\n")
    begin_again(engine)
    with pytest.raises(WorldFault):
        events(engine, b"500 what\r\n")


def test_an_empty_text_in_the_transaction_after_a_refused_one() -> None:
    engine = begun(pipelined=True)
    events(engine, b"550 a\r\n503 b\r\n503 c\r\n503 d\r\n")
    begin_again(engine)
    assert events(engine, b"250 a\r\n550 b\r\n550 c\r\n354 go\r\n") == []
    assert engine.to_send() == b".\r\n"


def test_what_was_not_said_of_a_refused_transaction_is_never_said() -> None:
    # Given a next hop without PIPELINING that refuses MAIL
    engine = begun(pipelined=False)
    events(engine, b"550 no\r\n")
    # When the next transaction begins, its commands are said once each
    said = [begin_again(engine, pipelined=False)]
    for reply in (b"250 a\r\n", b"250 b\r\n", b"250 c\r\n"):
        events(engine, reply)
        said.append(engine.to_send())
    assert said == [MAIL, *RCPTS, DATA]


@pytest.mark.parametrize("code", [b"300", b"333", b"335", b"355"])
def test_only_334_goes_on_with_auth(code: bytes) -> None:
    engine = greeted()
    engine.authenticate("LOGIN", None)
    with pytest.raises(WorldFault):
        events(engine, code + b" go on\r\n")


def test_400_ends_auth() -> None:
    engine = greeted()
    engine.authenticate("LOGIN", None)
    (answered,) = events(engine, b"400 later\r\n")
    assert isinstance(answered, AuthAnswered)


INITIAL = [
    ("none", "LOGIN", None, b"AUTH LOGIN\r\n"),
    ("empty", "EXTERNAL", b"", b"AUTH EXTERNAL =\r\n"),
    ("in a line of 512 octets", "FOUR", b"\0" * 375, b"AUTH FOUR " + b"A" * 500 + b"\r\n"),
    ("in a line of 513 octets", "PLAIN", b"\0" * 375, b"AUTH PLAIN\r\n"),
]


@pytest.mark.parametrize(("name", "mechanism", "initial", "said"), INITIAL, ids=[i[0] for i in INITIAL])
def test_the_initial_response(name: str, mechanism: str, initial: bytes | None, said: bytes) -> None:
    engine = greeted()
    engine.authenticate(mechanism, initial)
    assert engine.to_send() == said


CHALLENGES = [
    ("base64", b"334 YW5u\r\n", b"ann"),
    ("clear text", b"334 Username:\r\n", b""),
    ("base64 and more", b"334 YW5u*YW5u\r\n", b""),
    ("nothing", b"334\r\n", b""),
]


@pytest.mark.parametrize(("name", "reply", "challenge"), CHALLENGES, ids=[c[0] for c in CHALLENGES])
def test_a_challenge(name: str, reply: bytes, challenge: bytes) -> None:
    engine = greeted()
    engine.authenticate("LOGIN", None)
    assert events(engine, reply) == [AuthChallenged(challenge)]


def test_a_lone_235_is_no_login() -> None:
    engine = greeted()
    engine.authenticate("LOGIN", None)
    with pytest.raises(WorldFault):
        events(engine, b"235\r\n")


def test_a_second_login_has_its_own_count_of_challenges() -> None:
    engine = greeted()
    for _ in range(2):
        engine.authenticate("LOGIN", None)
        for _ in range(8):
            assert len(events(engine, b"334 bW9yZQ==\r\n")) == 1
            engine.auth_response(b"x")
        (answered,) = events(engine, b"535 no\r\n")
        assert isinstance(answered, AuthAnswered)
