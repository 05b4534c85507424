"""The client engine: what it says to which answer, and when it hangs up instead."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.model.fault import WorldFault
from gatepost.protocol.smtp_client import (
    AuthAnswered,
    AuthChallenged,
    ChunkTaken,
    ClientEngine,
    ClientEvent,
    ContentWanted,
    Greeted,
    HungUp,
    Introduced,
    Reset,
    Step,
    TlsAnswered,
    TransactionOver,
)
from gatepost.protocol.smtp_client_commands import (
    PeerOffers,
)

MAIL = b"MAIL FROM:<a@a.example>\r\n"
RCPTS = [b"RCPT TO:<b@b.example>\r\n", b"RCPT TO:<c@b.example>\r\n"]
DATA = b"DATA\r\n"


def events(engine: ClientEngine, data: bytes) -> list[ClientEvent]:
    engine.receive(data)
    found = []
    while (event := engine.next_event()) is not None:
        found.append(event)
    return found


def greeted(*, lmtp: bool = False, offers: bytes = b"250 x.example\r\n") -> ClientEngine:
    engine = ClientEngine("us.example", lmtp=lmtp)
    events(engine, b"220 x.example\r\n")
    engine.hello()
    engine.to_send()
    events(engine, offers)
    return engine


def begun(
    *, pipelined: bool, chunked: bool = False, lmtp: bool = False, rcpts: list[bytes] | None = None
) -> ClientEngine:
    engine = greeted(lmtp=lmtp)
    engine.begin(MAIL, RCPTS if rcpts is None else rcpts, chunked=chunked, pipelined=pipelined)
    return engine


def codes(event: ClientEvent) -> list[tuple[str, int]]:
    assert isinstance(event, TransactionOver)
    return [(answer.step.name, answer.reply.code) for answer in event.answers]


def test_greeting_then_ehlo() -> None:
    engine = ClientEngine("us.example")
    (greeting,) = events(engine, b"220 MX.Example ESMTP\r\n")
    assert isinstance(greeting, Greeted)
    assert greeting.name == "mx.example"
    engine.hello()
    assert engine.to_send() == b"EHLO us.example\r\n"
    (introduced,) = events(engine, b"250-mx.example\r\n250-SIZE 1000\r\n250 PIPELINING\r\n")
    assert isinstance(introduced, Introduced)
    assert introduced.offers == PeerOffers(size_bytes=1000, pipelining=True)


def test_a_refused_ehlo_is_followed_by_helo() -> None:
    engine = ClientEngine("us.example")
    events(engine, b"220 x\r\n")
    engine.hello()
    engine.to_send()
    assert events(engine, b"502 what\r\n") == []
    assert engine.to_send() == b"HELO us.example\r\n"
    (introduced,) = events(engine, b"250-x\r\n250 PIPELINING\r\n")
    assert isinstance(introduced, Introduced)
    assert introduced.offers == PeerOffers()


def test_lmtp_says_lhlo_and_nothing_else() -> None:
    engine = ClientEngine("us.example", lmtp=True)
    events(engine, b"220 x\r\n")
    engine.hello()
    assert engine.to_send() == b"LHLO us.example\r\n"
    (introduced,) = events(engine, b"500 what\r\n")
    assert isinstance(introduced, Introduced)
    assert not introduced.reply.is_positive


@dataclass(frozen=True)
class Case:
    name: str
    replies: bytes
    then: list[tuple[str, int]]


REFUSALS = [
    Case("MAIL is refused", b"550 no\r\n503 no\r\n503 no\r\n503 no\r\n", [("MAIL", 550)] * 2),
    Case("MAIL waits", b"450 no\r\n503 no\r\n503 no\r\n503 no\r\n", [("MAIL", 450)] * 2),
    Case(
        "all recipients are refused", b"250 a\r\n550 b\r\n450 c\r\n503 d\r\n", [("RCPT", 550), ("RCPT", 450)]
    ),
    Case("DATA is refused", b"250 a\r\n250 b\r\n450 c\r\n554 d\r\n", [("DATA", 554), ("RCPT", 450)]),
    Case("421 to MAIL", b"421 bye\r\n", [("MAIL", 421)] * 2),
    Case("421 to the second RCPT", b"250 a\r\n550 b\r\n421 bye\r\n", [("RCPT", 550), ("RCPT", 421)]),
]


@pytest.mark.threat("N06", "N08")
@pytest.mark.parametrize("case", REFUSALS, ids=lambda c: c.name)
def test_a_pipelined_transaction_that_is_refused(case: Case) -> None:
    for cut in range(len(case.replies)):
        engine = begun(pipelined=True)
        assert engine.to_send() == MAIL + b"".join(RCPTS) + DATA
        found = events(engine, case.replies[:cut]) + events(engine, case.replies[cut:])
        assert codes(found[-1]) == case.then
        assert len(found) == 1
        assert engine.is_idle == (b"421" not in case.replies)


def test_data_agreed_to_without_recipients_is_ended_empty() -> None:
    # RFC 2920 §3.1
    engine = begun(pipelined=True)
    engine.to_send()
    assert events(engine, b"250 a\r\n550 b\r\n550 c\r\n354 go\r\n") == []
    assert engine.to_send() == b".\r\n"
    (over,) = events(engine, b"554 no recipients\r\n")
    assert codes(over) == [("RCPT", 550)] * 2


def test_without_pipelining_one_command_at_a_time() -> None:
    engine = begun(pipelined=False)
    said = [engine.to_send()]
    for reply in (b"250 a\r\n", b"550 b\r\n", b"250 c\r\n"):
        assert events(engine, reply) == []
        said.append(engine.to_send())
    assert said == [MAIL, *RCPTS, DATA]
    assert events(engine, b"354 go\r\n") == [ContentWanted((1,))]
    engine.content_sent()
    (over,) = events(engine, b"250 taken\r\n")
    assert codes(over) == [("RCPT", 550), ("END_OF_DATA", 250)]
    assert engine.is_idle


def test_without_pipelining_nothing_follows_a_refused_mail() -> None:
    engine = begun(pipelined=False)
    engine.to_send()
    (over,) = events(engine, b"550 no\r\n")
    assert codes(over) == [("MAIL", 550)] * 2
    assert engine.to_send() == b""


def test_bdat_follows_the_last_recipient() -> None:
    engine = begun(pipelined=True, chunked=True)
    assert engine.to_send() == MAIL + b"".join(RCPTS)
    assert events(engine, b"250 a\r\n250 b\r\n250 c\r\n") == [ContentWanted((0, 1))]
    assert engine.chunk(b"ab\n", last=False) == b"BDAT 3\r\nab\n"
    assert events(engine, b"250 3 octets\r\n") == [ChunkTaken()]
    assert engine.chunk(b"", last=True) == b"BDAT 0 LAST\r\n"
    (over,) = events(engine, b"250 taken\r\n")
    assert codes(over) == [("END_OF_DATA", 250)] * 2


@pytest.mark.threat("N07")
def test_a_refused_chunk_ends_the_transaction() -> None:
    engine = begun(pipelined=True, chunked=True)
    events(engine, b"250 a\r\n250 b\r\n250 c\r\n")
    engine.chunk(b"ab\n", last=False)
    (over,) = events(engine, b"502 no BDAT here\r\n")
    assert codes(over) == [("CHUNK", 502)] * 2


@pytest.mark.threat("N06")
def test_lmtp_has_an_answer_for_each_accepted_recipient() -> None:
    engine = begun(pipelined=True, lmtp=True, rcpts=[RCPTS[0], RCPTS[1], RCPTS[0]])
    assert events(engine, b"250 a\r\n250 b\r\n550 c\r\n250 d\r\n354 go\r\n") == [ContentWanted((0, 2))]
    engine.content_sent()
    assert events(engine, b"250 taken\r\n") == []
    (over,) = events(engine, b"452 full\r\n")
    assert codes(over) == [("END_OF_DATA", 250), ("RCPT", 550), ("END_OF_DATA", 452)]


@pytest.mark.threat("N06")
def test_lmtp_with_fewer_answers_leaves_the_rest_unknown() -> None:
    engine = begun(pipelined=True, lmtp=True)
    events(engine, b"250 a\r\n250 b\r\n250 c\r\n354 go\r\n")
    engine.content_sent()
    assert events(engine, b"250 taken\r\n") == []
    first, second = engine.answers_so_far
    assert first is not None
    assert second is None


BREACHES = {
    "354 to MAIL": b"354 go\r\n",
    "250 to DATA": b"250 a\r\n250 b\r\n250 c\r\n250 d\r\n",
    "354 to RCPT": b"250 a\r\n354 b\r\n",
    "a code alone": b"250\r\n",
    "one reply too many": b"250 a\r\n250 b\r\n250 c\r\n550 d\r\n250 e\r\n",
    "a malformed reply": b"hello\r\n",
}


@pytest.mark.threat("N04", "N03")
@pytest.mark.parametrize("replies", BREACHES.values(), ids=BREACHES.keys())
def test_a_breach_of_the_protocol_is_never_a_delivery(replies: bytes) -> None:
    engine = begun(pipelined=True)
    with pytest.raises(WorldFault):
        events(engine, replies)


@pytest.mark.threat("N04")
def test_354_to_the_end_of_data_is_a_breach() -> None:
    engine = begun(pipelined=True)
    events(engine, b"250 a\r\n250 b\r\n250 c\r\n354 go\r\n")
    engine.content_sent()
    with pytest.raises(WorldFault):
        events(engine, b"354 more\r\n")


@pytest.mark.threat("N04")
def test_a_reply_ahead_of_its_command_is_a_breach() -> None:
    engine = begun(pipelined=False)
    with pytest.raises(WorldFault):
        events(engine, b"250 a\r\n250 b\r\n")


@pytest.mark.threat("N04")
def test_the_answer_to_the_text_may_not_come_before_the_text() -> None:
    engine = begun(pipelined=True)
    with pytest.raises(WorldFault):
        events(engine, b"250 a\r\n250 b\r\n250 c\r\n354 go\r\n250 taken\r\n")


def test_a_lone_250_after_the_text_is_believed() -> None:
    engine = begun(pipelined=True)
    events(engine, b"250 a\r\n250 b\r\n250 c\r\n354 go\r\n")
    engine.content_sent()
    (over,) = events(engine, b"250\r\n")
    assert codes(over) == [("END_OF_DATA", 250)] * 2


@pytest.mark.threat("D04")
@pytest.mark.parametrize("extra", [b"250-x\r\n250 AUTH PLAIN\r\n", b"2", b"220 again\r\n"])
def test_bytes_behind_the_answer_to_starttls_break_the_conversation(extra: bytes) -> None:
    engine = greeted()
    engine.start_tls()
    with pytest.raises(WorldFault):
        events(engine, b"220 go\r\n" + extra)


@pytest.mark.threat("D04")
def test_after_tls_nothing_is_remembered() -> None:
    engine = greeted(offers=b"250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
    engine.start_tls()
    (answered,) = events(engine, b"220 go\r\n")
    assert isinstance(answered, TlsAnswered)
    engine.tls_started()
    assert engine.offers == PeerOffers()


def test_auth_plain() -> None:
    engine = greeted()
    engine.authenticate("PLAIN", b"\0ann\0pw")
    assert engine.to_send() == b"AUTH PLAIN AGFubgBwdw==\r\n"
    (answered,) = events(engine, b"235 hello\r\n")
    assert isinstance(answered, AuthAnswered)


def test_auth_login() -> None:
    engine = greeted()
    engine.authenticate("LOGIN", None)
    said = engine.to_send()
    for reply, word in ((b"334 VXNlcm5hbWU6\r\n", b"ann"), (b"334 UGFzc3dvcmQ6\r\n", b"pw")):
        (asked,) = events(engine, reply)
        assert asked in (AuthChallenged(b"Username:"), AuthChallenged(b"Password:"))
        engine.auth_response(word)
        said += engine.to_send()
    assert said == b"AUTH LOGIN\r\nYW5u\r\ncHc=\r\n"
    (answered,) = events(engine, b"535 no\r\n")
    assert isinstance(answered, AuthAnswered)


@pytest.mark.parametrize("challenge", [b"334 \r\n", b"334\r\n"])
def test_a_long_token_waits_for_the_first_challenge(challenge: bytes) -> None:
    engine = greeted()
    engine.authenticate("XOAUTH2", b"t" * 400)
    assert engine.to_send() == b"AUTH XOAUTH2\r\n"
    assert events(engine, challenge) == []
    assert engine.to_send() == base64.b64encode(b"t" * 400) + b"\r\n"
    (answered,) = events(engine, b"235 hello\r\n")
    assert isinstance(answered, AuthAnswered)


def test_an_endless_auth_is_a_breach() -> None:
    engine = greeted()
    engine.authenticate("LOGIN", None)
    for _ in range(8):
        events(engine, b"334 bW9yZQ==\r\n")
        engine.auth_response(b"x")
    with pytest.raises(WorldFault):
        events(engine, b"334 bW9yZQ==\r\n")


def test_reset_and_quit() -> None:
    engine = greeted()
    engine.reset()
    assert engine.to_send() == b"RSET\r\n"
    (reset,) = events(engine, b"250 ok\r\n")
    assert isinstance(reset, Reset)
    engine.quit()
    assert engine.to_send() == b"QUIT\r\n"
    assert engine.closed


def test_no_quit_in_the_middle_of_a_text() -> None:
    engine = begun(pipelined=True)
    engine.to_send()
    engine.quit()
    assert engine.to_send() == b""


def test_421_between_mails_hangs_up() -> None:
    engine = greeted()
    engine.reset()
    (gone,) = events(engine, b"421 bye\r\n")
    assert isinstance(gone, HungUp)
    assert not engine.is_idle


@given(
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.lists(
        st.sampled_from(
            [
                b"250 a\r\n",
                b"550 b\r\n",
                b"450 c\r\n",
                b"354 d\r\n",
                b"421 e\r\n",
                b"250-f\r\n",
                b"x",
                b"\r\n",
            ]
        ),
        max_size=12,
    ),
)
def test_whatever_is_answered_nobody_is_delivered_before_the_text(
    pipelined: bool, chunked: bool, lmtp: bool, replies: list[bytes]
) -> None:
    engine = begun(pipelined=pipelined, chunked=chunked, lmtp=lmtp)
    sent = False
    try:
        for reply in replies:
            for event in events(engine, reply):
                if isinstance(event, ContentWanted):
                    sent = True
                    if chunked:
                        engine.chunk(b"x", last=True)
                    else:
                        engine.content_sent()
                if isinstance(event, TransactionOver):
                    assert len(event.answers) == len(RCPTS)
                    good = [a for a in event.answers if a.reply.is_positive]
                    assert all(a.step is Step.END_OF_DATA for a in good)
                    assert sent or not good
                    return
    except WorldFault:
        pass


# -- commands and offers ------------------------------------------------------------------------


@pytest.mark.parametrize("pipelined", [True, False])
def test_a_transaction_that_was_refused_midway_is_reset_before_the_next(pipelined: bool) -> None:
    """Its MAIL still stands at the next hop, and would be taken for the sender of our next mail."""
    engine = ClientEngine("mx.ours.example")
    engine.receive(b"220 next.example\r\n")
    assert isinstance(engine.next_event(), Greeted)
    engine.hello()
    engine.to_send()
    engine.receive(b"250-next.example\r\n250 PIPELINING\r\n")
    assert isinstance(engine.next_event(), Introduced)
    recipient = [b"RCPT TO:<x@c.example>\r\n"]
    engine.begin(b"MAIL FROM:<a@b.example>\r\n", recipient, chunked=False, pipelined=pipelined)
    sent, event = answered(engine, b"250 ok\r\n", b"550 no\r\n", *([b"554 nobody\r\n"] if pipelined else []))
    assert isinstance(event, TransactionOver)
    assert b"RSET" not in sent
    engine.begin(b"MAIL FROM:<>\r\n", recipient, chunked=False, pipelined=pipelined)
    sent, event = answered(engine, b"250 reset\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n")
    assert sent == b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<x@c.example>\r\nDATA\r\n"
    assert isinstance(event, ContentWanted)


def answered(engine: ClientEngine, *replies: bytes) -> tuple[bytes, object]:
    """Everything it said while these replies came, and the last event."""
    sent, event = engine.to_send(), None
    for reply in replies:
        engine.receive(reply)
        event = engine.next_event()
        sent += engine.to_send()
    return sent, event


def test_data_that_is_agreed_to_without_our_mail_ends_the_connection() -> None:
    """Postfix answers 503 to a nested MAIL and takes RCPT and DATA: a lone dot would send somebody else's mail."""
    engine = ClientEngine("mx.ours.example")
    engine.receive(b"220 next.example\r\n")
    engine.next_event()
    engine.hello()
    engine.receive(b"250-next.example\r\n250 PIPELINING\r\n")
    engine.next_event()
    engine.begin(b"MAIL FROM:<>\r\n", [b"RCPT TO:<x@c.example>\r\n"], chunked=False, pipelined=True)
    engine.receive(b"503 nested\r\n250 ok\r\n354 go\r\n")
    with pytest.raises(WorldFault, match="DATA"):
        engine.next_event()
