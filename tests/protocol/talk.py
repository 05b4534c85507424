"""A small honest driver of the server engine: answers everything with yes unless told otherwise, keeps the mails."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatepost.model.address import Address
from gatepost.model.reply import Reply
from gatepost.protocol.events import (
    Auth,
    AuthResponse,
    BdatChunk,
    BodyChunk,
    Data,
    EndOfData,
    EngineLimits,
    Event,
    Hello,
    Mail,
    Offer,
    Other,
    Pause,
    Rcpt,
    Verb,
    Violation,
)
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.protocol.smtp_states import State

OK = Reply(250, "2.0.0", "OK")
BANNER = Reply(220, "", "ours.example ESMTP")
GO_ON = Reply(354, "", "Go on")
BYE = Reply(221, "2.0.0", "Bye")
REFUSED = Reply(550, "5.7.1", "Refused")
LATER = Reply(451, "4.7.1", "Later")
OFFER = Offer(hostname="ours.example", size_bytes=100_000)
LIMITS = EngineLimits()

HELLO = b"EHLO client.example\r\n"
ENVELOPE = b"MAIL FROM:<ann@client.example>\r\nRCPT TO:<bob@ours.example>\r\n"
SMUGGLED = b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<victim@ours.example>\r\nDATA\r\n"


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that was accepted."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes


@dataclass(slots=True)
class Talk:
    """One conversation. `answers`: replies instead of yes, by event type or by verb of Other."""

    offer: Offer = OFFER
    limits: EngineLimits = LIMITS
    tls: bool = False
    answers: Mapping[Any, Reply] = field(default_factory=dict)
    greeted: bool = True
    engine: ServerEngine = field(init=False)
    events: list[Event] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    closed: bool = False
    _sender: Address | None = None
    _recipients: list[Address] = field(default_factory=list)
    _content: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.engine = ServerEngine(self.offer, self.limits, tls=self.tls)
        if self.greeted:
            self.engine.greet(BANNER)

    def say(self, data: bytes, *, cut: int = 0) -> str:
        """Send bytes, in pieces of `cut` octets; the answers as text lines "250 2.0.0 OK"."""
        pieces = [data[n : n + cut] for n in range(0, len(data), cut)] if cut else [data]
        return "".join(self._piece(piece) for piece in pieces)

    def codes(self, data: bytes, *, cut: int = 0) -> list[str]:
        """As say, but only the code and enhanced code of each reply's last line."""
        lines = self.say(data, cut=cut).splitlines()
        return [_code(line) for line in lines if line[3:4] != "-"]

    def is_in(self, state: State) -> bool:
        """Whether the engine is in the state now."""
        return self.engine.state is state

    @property
    def violations(self) -> list[Violation]:
        return [event for event in self.events if isinstance(event, Violation)]

    def _piece(self, data: bytes) -> str:
        if self.closed:
            return ""
        self.engine.receive(data)
        out = b""
        while not isinstance(event := self.engine.next_event(), Pause):
            if isinstance(event, BodyChunk):
                assert event.data
                self._content += event.data
                continue
            self.events.append(event)
            reply = self._answer(event)
            out += self.engine.send(reply)
            self._remember(event, reply)
        self.closed = event is Pause.CLOSED
        return out.decode("ascii")

    def _answer(self, event: Event) -> Reply:
        if isinstance(event, Violation):
            return event.reply
        if isinstance(event, EndOfData) and event.refusal:
            return event.refusal
        key = event.verb if isinstance(event, Other) else type(event)
        if key in self.answers:
            return self.answers[key]
        match event:
            case Data():
                return GO_ON
            case Hello(Verb.EHLO):
                return self.engine.ehlo_reply("hello")
            case Other(Verb.QUIT):
                return BYE
            case Auth() | AuthResponse():
                return Reply(235, "2.7.0", "Welcome")
            case _:
                return OK

    def _remember(self, event: Event, reply: Reply) -> None:
        if isinstance(event, EndOfData) and reply.is_positive:
            recipients = tuple(str(r) for r in self._recipients)
            self.taken.append(Taken(str(self._sender), recipients, bytes(self._content)))
        match event:
            case Mail() if reply.is_positive:
                self._sender = event.sender
            case Rcpt() if reply.is_positive:
                self._recipients.append(event.recipient.address)
            case BdatChunk():
                assert event.size_bytes >= 0
        if not self.engine.in_transaction:
            self._sender, self._recipients, self._content = None, [], bytearray()


def octets_kept() -> int:
    """What tracemalloc knows of that engines and talks hold; threads of other tests may keep what they like."""
    places = [tracemalloc.Filter(True, place) for place in ("*/gatepost/protocol/*", "*/tests/protocol/*")]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(places).traces)


def _code(line: str) -> str:
    words = line.split(" ", 2)
    return " ".join(words[:2]) if len(words) > 1 and words[1][:1].isdigit() and "." in words[1] else words[0]


def in_transaction(**changes: object) -> Talk:
    """A talk in which a sender and a recipient were accepted."""
    talk = Talk(**changes)  # type: ignore[arg-type]  # the fields of Talk
    talk.say(HELLO)
    talk.say(ENVELOPE)
    return talk


def in_data(**changes: object) -> Talk:
    """A talk that stands behind the 354."""
    talk = in_transaction(**changes)
    talk.say(b"DATA\r\n")
    return talk
