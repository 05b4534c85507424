"""The order of commands: transactions, resets, recipients, greetings; and what is announced."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from tests.protocol.talk import (
    ENVELOPE,
    HELLO,
    LATER,
    OFFER,
    REFUSED,
    SMUGGLED,
    Talk,
    in_data,
    in_transaction,
    octets_kept,
)

from gatepost.model.reply import Reply
from gatepost.protocol.events import (
    Data,
    EndOfData,
    Hello,
    Mail,
    Other,
    Pause,
    Rcpt,
    Verb,
)
from gatepost.protocol.smtp_states import State


@dataclass(frozen=True, slots=True)
class Said:
    name: str
    data: bytes
    codes: list[str]
    closed: bool = False


ORDER = [
    Said("RCPT before MAIL", b"RCPT TO:<b@o.test>\r\n", ["503 5.5.1"]),
    Said("DATA before MAIL", b"DATA\r\n", ["503 5.5.1"]),
    Said("DATA before RCPT", b"MAIL FROM:<>\r\nDATA\r\n", ["250 2.0.0", "554 5.5.1"]),
    Said("MAIL twice", b"MAIL FROM:<>\r\nMAIL FROM:<>\r\n", ["250 2.0.0", "503 5.5.1"]),
    Said("QUIT twice", b"QUIT\r\nQUIT\r\nNOOP\r\n", ["221 2.0.0"], closed=True),
]


@pytest.mark.threat("B08", "B09", "B32")
@pytest.mark.parametrize("said", ORDER, ids=lambda s: s.name)
def test_order(said: Said) -> None:
    for cut in (0, 1):
        talk = Talk()
        talk.say(HELLO)
        assert talk.codes(said.data, cut=cut) == said.codes
        assert talk.closed is said.closed


@pytest.mark.threat("B09")
def test_a_second_mail_leaves_the_first_transaction() -> None:
    talk = in_transaction()
    assert talk.codes(SMUGGLED[: SMUGGLED.index(b"RCPT")] + b"DATA\r\n") == ["503 5.5.1", "354"]
    talk.say(b"hi\r\n.\r\n")
    assert [t.sender for t in talk.taken] == ["ann@client.example"]


@pytest.mark.threat("B16")
def test_mail_before_hello() -> None:
    assert Talk().codes(b"MAIL FROM:<>\r\n") == ["503 5.5.1"]
    tolerant = Talk(offer=replace(OFFER, helo_needed=False))
    assert tolerant.codes(b"MAIL FROM:<>\r\n") == ["250 2.0.0"]
    assert tolerant.engine.state is State.MAIL
    assert Talk(offer=replace(OFFER, helo_needed=False)).codes(b"RCPT TO:<a@b.test>\r\n") == ["503 5.5.1"]


@pytest.mark.threat("B10")
def test_mail_refused_and_the_rest_pipelined() -> None:
    talk = Talk(answers={Mail: REFUSED})
    talk.say(HELLO)
    assert talk.codes(ENVELOPE + b"DATA\r\n") == ["550 5.7.1", "503 5.5.1", "503 5.5.1"]
    assert not talk.engine.in_transaction


@pytest.mark.threat("B08")
def test_all_recipients_refused() -> None:
    talk = Talk(answers={Rcpt: REFUSED})
    talk.say(HELLO)
    assert talk.codes(ENVELOPE + b"DATA\r\n") == ["250 2.0.0", "550 5.7.1", "554 5.5.1"]
    assert talk.engine.state is State.MAIL


def test_one_recipient_refused_is_not_all() -> None:
    talk = in_transaction()
    talk.answers = {Rcpt: LATER}
    assert talk.codes(b"RCPT TO:<c@o.test>\r\nDATA\r\n") == ["451 4.7.1", "354"]


AFTERWARDS = [
    ("accepted", {}, "250 2.0.0"),
    ("refused", {EndOfData: REFUSED}, "550 5.7.1"),
    ("deferred", {EndOfData: LATER}, "451 4.7.1"),
]


@pytest.mark.threat("B11")
@pytest.mark.parametrize(("name", "answers", "code"), AFTERWARDS, ids=[a[0] for a in AFTERWARDS])
def test_nothing_is_left_after_the_end_of_data(name: str, answers: dict[type, Reply], code: str) -> None:
    talk = in_data(answers=answers)
    assert talk.codes(b"x\r\n.\r\n") == [code]
    assert not talk.engine.in_transaction
    assert talk.codes(b"RCPT TO:<b@o.test>\r\nDATA\r\n") == ["503 5.5.1", "503 5.5.1"]
    # A new transaction has no recipients of the old one.
    assert talk.codes(b"MAIL FROM:<>\r\nDATA\r\n") == ["250 2.0.0", "554 5.5.1"]


@pytest.mark.threat("B11")
def test_a_refused_data_ends_the_transaction() -> None:
    talk = in_transaction(answers={Data: LATER})
    assert talk.codes(b"DATA\r\n") == ["451 4.7.1"]
    assert not talk.engine.in_transaction
    assert talk.codes(b"DATA\r\n") == ["503 5.5.1"]


@pytest.mark.threat("B13")
@pytest.mark.parametrize("reset", [b"RSET\r\n", HELLO, b"HELO x\r\n"], ids=["RSET", "EHLO", "HELO"])
def test_resets_clear_the_transaction(reset: bytes) -> None:
    talk = in_transaction()
    talk.say(reset)
    assert not talk.engine.in_transaction
    assert talk.codes(b"RCPT TO:<b@o.test>\r\n") == ["503 5.5.1"]


@pytest.mark.threat("B13")
def test_ten_thousand_resets_leave_nothing() -> None:
    talk = Talk(offer=replace(OFFER, recipients=2))
    talk.say(HELLO)
    sizes = []
    for rounds in (9000, 500, 500, 500, 500):
        for _ in range(rounds):
            talk.say(ENVELOPE + b"RSET\r\n")
            talk.events.clear()
        # Tracing every octet is slow: the last two thousand tell.
        tracemalloc.start()
        sizes.append(octets_kept())
    tracemalloc.stop()
    # What a reset leaves is left five hundred times in each round; what another test's thread does comes once.
    assert min(after - before for before, after in pairwise(sizes[1:])) < 2048
    assert talk.codes(ENVELOPE + b"RCPT TO:<c@o.test>\r\n") == ["250 2.0.0"] * 3


@pytest.mark.threat("B17")
@pytest.mark.parametrize("hello", [HELLO, b"EHLO\r\n", b"HELO\r\n"])
def test_a_refused_hello_changes_nothing(hello: bytes) -> None:
    talk = in_transaction(answers={})
    talk.answers = {Hello: REFUSED}
    assert talk.codes(hello)[0][0] == "5"
    assert talk.engine.state is State.RCPT
    assert talk.codes(b"DATA\r\n") == ["354"]


@pytest.mark.threat("B25")
def test_the_limit_of_recipients() -> None:
    talk = Talk(offer=replace(OFFER, recipients=3))
    talk.say(HELLO)
    talk.say(b"MAIL FROM:<>\r\n")
    rcpt = b"RCPT TO:<b@o.test>\r\n"
    # Given as many recipients as are allowed; the next ones are refused for now, and are no error at first
    assert talk.codes(rcpt * 4) == ["250 2.0.0"] * 3 + ["452 4.5.3"]
    assert talk.codes(rcpt * 1000)[-1] == "452 4.5.3"
    assert [v.counts for v in talk.violations] == [False] * 1000 + [True]
    # The transaction is as usable as before
    assert talk.codes(b"DATA\r\n") == ["354"]
    talk.say(b"x\r\n.\r\n")
    assert len(talk.taken[0].recipients) == 3
    # and the next one starts from nothing
    assert talk.codes(b"MAIL FROM:<>\r\n" + rcpt) == ["250 2.0.0"] * 2


@pytest.mark.threat("B25")
def test_the_limit_of_recipients_where_nobody_said_hello() -> None:
    talk = Talk(offer=replace(OFFER, recipients=1, helo_needed=False))
    for line in [b"MAIL FROM:<>\r\n", *[b"RCPT TO:<b@o.test>\r\n"] * 1002]:
        talk.say(line)
    assert [v.counts for v in talk.violations] == [False] * 1000 + [True]


def test_400_is_a_no() -> None:
    talk = Talk(answers={Mail: Reply(400, "4.0.0", "No")})
    talk.say(HELLO)
    talk.say(b"MAIL FROM:<>\r\n")
    assert talk.is_in(State.READY)


def test_refused_recipients_do_not_fill_the_limit() -> None:
    talk = Talk(offer=replace(OFFER, recipients=1), answers={Rcpt: REFUSED})
    talk.say(HELLO)
    talk.say(b"MAIL FROM:<>\r\n" + b"RCPT TO:<b@o.test>\r\n" * 3)
    talk.answers = {}
    assert talk.codes(b"RCPT TO:<b@o.test>\r\n" * 2) == ["250 2.0.0", "452 4.5.3"]


@pytest.mark.threat("B23")
def test_binary_content_needs_bdat() -> None:
    talk = Talk()
    talk.say(HELLO)
    assert talk.codes(b"MAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<b@o.test>\r\nDATA\r\n")[-1] == "503 5.5.1"
    assert talk.engine.state is State.RCPT
    assert talk.codes(b"BDAT 3 LAST\r\n\0\n\r") == ["250 2.0.0"]
    assert talk.taken[0].content == b"\0\n\r"


@pytest.mark.threat("B29")
def test_arguments_come_as_given() -> None:
    talk = Talk()
    talk.say(HELLO)
    for line in (
        b"NOOP a  b\r\n",
        b"NOOP X  \r\n",
        b"VRFY <bob>\r\n",
        b"EXPN list\r\n",
        b"HELP MAIL\r\n",
        b"RSET\r\n",
    ):
        talk.say(line)
    assert talk.events[1:] == [
        Other(Verb.NOOP, "a  b"),
        Other(Verb.NOOP, "X"),
        Other(Verb.VRFY, "<bob>"),
        Other(Verb.EXPN, "list"),
        Other(Verb.HELP, "MAIL"),
        Other(Verb.RSET, ""),
    ]


def test_hello_comes_as_given() -> None:
    talk = Talk()
    talk.say(b"ehlo <Ann & Bob>\r\n")
    talk.say(b"HELO [192.0.2.1]\r\n")
    assert talk.events == [Hello(Verb.EHLO, "<Ann & Bob>"), Hello(Verb.HELO, "[192.0.2.1]")]


@pytest.mark.parametrize("code", [421, 521, 221])
def test_a_reply_that_hangs_up_closes(code: int) -> None:
    talk = Talk(answers={Verb.NOOP: Reply(code, f"{code // 100}.0.0", "Over")})
    talk.say(HELLO)
    assert talk.codes(b"NOOP\r\n") == [f"{code} {code // 100}.0.0"]
    assert talk.closed
    assert talk.codes(b"NOOP\r\n") == []


def test_answering_nothing_is_a_bug() -> None:
    with pytest.raises(ValueError):
        Talk().engine.send(REFUSED)


def test_an_event_waits_for_its_answer() -> None:
    engine = Talk().engine
    assert engine.next_event() is Pause.NEED_DATA
    engine.receive(HELLO)
    assert engine.next_event() == Hello(Verb.EHLO, "client.example")
    assert engine.next_event() is Pause.NEED_ANSWER


def test_a_refused_greeting_closes() -> None:
    talk = Talk(greeted=False)
    assert talk.engine.greet(Reply(554, "5.7.1", "No")) == b"554 5.7.1 No\r\n"
    assert talk.say(HELLO) == ""
    assert talk.closed
    assert talk.events == []


@pytest.mark.threat("C01", "C02")
def test_an_early_talker() -> None:
    talk = Talk(greeted=False)
    assert talk.say(b"") == ""
    before = talk.engine.spoke_early
    assert talk.say(HELLO) == ""
    assert (before, talk.engine.spoke_early) == (False, True)
    assert talk.engine.buffered_bytes == 0
    # When we greet it all the same, it is told, and what it said is never executed
    talk.engine.greet(Reply(220, "", "ours.example"))
    assert talk.codes(b"") == ["521 5.5.1"]
    assert talk.closed


ANNOUNCED = [
    (
        "plain",
        OFFER,
        False,
        [
            "PIPELINING",
            "SIZE 100000",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "CHUNKING",
            "BINARYMIME",
            "ENHANCEDSTATUSCODES",
            "LIMITS RCPTMAX=1000",
            "HELP",
        ],
    ),
    (
        "nothing optional",
        replace(
            OFFER,
            size_bytes=0,
            pipelining=False,
            eight_bit_mime=False,
            smtputf8=False,
            dsn=False,
            chunking=False,
        ),
        False,
        ["SIZE 0", "ENHANCEDSTATUSCODES", "LIMITS RCPTMAX=1000", "HELP"],
    ),
    (
        "chunks without binary content",
        replace(OFFER, size_bytes=0, pipelining=False, smtputf8=False, dsn=False, binary_mime=False),
        False,
        ["SIZE 0", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES", "LIMITS RCPTMAX=1000", "HELP"],
    ),
    (
        "before TLS",
        replace(OFFER, starttls=True, require_tls=True, messages=7),
        False,
        [
            "PIPELINING",
            "SIZE 100000",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "CHUNKING",
            "BINARYMIME",
            "ENHANCEDSTATUSCODES",
            "STARTTLS",
            "LIMITS RCPTMAX=1000 MAILMAX=7",
            "HELP",
        ],
    ),
    (
        "under TLS",
        replace(OFFER, starttls=True, require_tls=True, auth=("PLAIN", "LOGIN")),
        True,
        [
            "PIPELINING",
            "SIZE 100000",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "CHUNKING",
            "BINARYMIME",
            "ENHANCEDSTATUSCODES",
            "REQUIRETLS",
            "AUTH PLAIN LOGIN",
            "LIMITS RCPTMAX=1000",
            "HELP",
        ],
    ),
]


@pytest.mark.parametrize(("name", "offer", "tls", "lines"), ANNOUNCED, ids=[a[0] for a in ANNOUNCED])
def test_what_is_announced(name: str, offer: object, tls: bool, lines: list[str]) -> None:
    reply = Talk(offer=offer, tls=tls).engine.ehlo_reply("hello")  # type: ignore[arg-type]  # an Offer
    assert (reply.code, reply.enhanced, reply.text) == (250, "", "ours.example hello")
    assert list(reply.more) == lines
