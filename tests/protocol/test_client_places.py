"""Where a conversation with a next hop is: what an administrator reads when it ends there, and who was answered."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.protocol.test_client_engine import MAIL, RCPTS, begun, events, greeted

from gatepost.protocol.smtp_client import ClientEngine

AGREED = b"250 a\r\n250 b\r\n250 c\r\n354 go\r\n"


def new() -> ClientEngine:
    """Connected, and not greeted."""
    return ClientEngine("us.example")


def said_hello(*, plain: bool = False, answer: bytes = b"") -> ClientEngine:
    """Behind the banner."""
    engine = new()
    events(engine, b"220 x\r\n")
    engine.hello(plain=plain)
    events(engine, answer)
    return engine


def with_content(*, lmtp: bool = False) -> ClientEngine:
    """The next hop waits for the content."""
    engine = begun(pipelined=True, lmtp=lmtp)
    events(engine, AGREED)
    return engine


def ended(*, lmtp: bool = False, answer: bytes = b"") -> ClientEngine:
    """All of the content was sent."""
    engine = with_content(lmtp=lmtp)
    engine.content_sent()
    events(engine, answer)
    return engine


def chunked() -> ClientEngine:
    """In the midst of BDAT."""
    engine = begun(pipelined=True, chunked=True)
    events(engine, b"250 a\r\n250 b\r\n250 c\r\n")
    engine.chunk(b"hello", last=False)
    return engine


def void() -> ClientEngine:
    """DATA was agreed to, without a recipient."""
    engine = begun(pipelined=True)
    events(engine, b"250 a\r\n550 b\r\n550 c\r\n354 go\r\n")
    return engine


PLACES: list[tuple[str, Callable[[], ClientEngine]]] = [
    ("before its greeting", new),
    ("after our EHLO", said_hello),
    ("after our HELO", lambda: said_hello(answer=b"500 what\r\n")),
    ("after our HELO", lambda: said_hello(plain=True)),
    ("after MAIL", lambda: begun(pipelined=True)),
    ("while the content was sent", with_content),
    ("after BDAT", chunked),
    ("after the whole mail was sent: it may have arrived", ended),
    ("after an empty text", void),
    ("between two commands", greeted),
]


@pytest.mark.parametrize(("place", "there"), PLACES, ids=[f"{n} {row[0]}" for n, row in enumerate(PLACES)])
def test_where_a_conversation_is(place: str, there: Callable[[], ClientEngine]) -> None:
    assert there().place == place


@pytest.mark.parametrize("data", [b"2", b"220 x\n", b"220-a\r\n220 x\r"], ids=repr)
def test_a_line_without_its_end_is_told(data: bytes) -> None:
    engine = new()
    events(engine, data)
    assert engine.place == "before its greeting; what it said has no CR LF"
    assert engine.has_part_of_a_reply


@pytest.mark.parametrize(
    ("data", "part"), [(b"", False), (b"220-x\r\n", True), (b"220-x\r\n220 x\r\n", False)], ids=repr
)
def test_what_is_part_of_a_reply(data: bytes, part: bool) -> None:
    engine = new()
    events(engine, data)
    assert engine.has_part_of_a_reply is part
    assert "CR LF" not in engine.place


def test_replies_are_counted() -> None:
    engine = new()
    assert engine.replies == 0
    events(engine, b"220-x\r\n220 x\r\n")
    engine.hello()
    assert engine.replies == 1
    events(engine, b"250 x\r\n")
    engine.begin(MAIL, RCPTS, chunked=False, pipelined=True)
    events(engine, AGREED)
    assert engine.replies == 6


def test_helo_at_once() -> None:
    engine = said_hello(plain=True)
    assert engine.to_send() == b"HELO us.example\r\n"
    events(engine, b"250 x\r\n")
    assert engine.is_idle


PARTS = [
    ("no content yet", lambda: with_content(lmtp=True), False),
    ("nobody was answered", lambda: ended(lmtp=True), False),
    ("one of two was", lambda: ended(lmtp=True, answer=b"250 b\r\n"), True),
    ("both were", lambda: ended(lmtp=True, answer=b"250 b\r\n250 c\r\n"), False),
    ("SMTP has one answer for all", ended, False),
]


@pytest.mark.parametrize(("name", "there", "partly"), PARTS, ids=[row[0] for row in PARTS])
def test_who_is_partly_answered(name: str, there: Callable[[], ClientEngine], partly: bool) -> None:
    assert there().is_partly_answered is partly
