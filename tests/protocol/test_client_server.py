"""Our client and our server, joined back to back in memory, with every cut of the bytes."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatepost.model.address import Address
from gatepost.model.envelope import Recipient
from gatepost.model.reply import Reply
from gatepost.protocol.events import (
    BdatChunk,
    BodyChunk,
    EndOfData,
    EngineLimits,
    Hello,
    Offer,
    Other,
    Pause,
    Rcpt,
    Violation,
)
from gatepost.protocol.outgoing import encode_data
from gatepost.protocol.smtp_client import (
    Answer,
    ChunkTaken,
    ClientEngine,
    ClientEvent,
    ContentWanted,
    Greeted,
    Introduced,
    TransactionOver,
)
from gatepost.protocol.smtp_client_commands import MailOptions, mail_command, rcpt_command
from gatepost.protocol.smtp_server import ServerEngine

OK = Reply(250, "2.0.0", "OK")
NOBODY = Reply(550, "5.1.1", "Nobody")


@dataclass
class Door:
    """A driver of the server engine: refuses recipients called "nobody", keeps the content."""

    engine: ServerEngine
    content: bytearray = field(default_factory=bytearray)
    mails: list[bytes] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def hear(self, data: bytes) -> bytes:
        self.engine.receive(data)
        out = b""
        while not isinstance(event := self.engine.next_event(), Pause):
            match event:
                case BodyChunk(data=chunk):
                    self.content += chunk
                    continue
                case Hello():
                    reply = self.engine.ehlo_reply("door.example")
                case Rcpt(recipient=recipient) if recipient.address.local.startswith("nobody"):
                    reply = NOBODY
                case EndOfData():
                    self.mails.append(bytes(self.content))
                    self.content.clear()
                    reply = OK
                case BdatChunk() | Other():
                    reply = OK
                case Violation(reply=reply):
                    self.violations.append(event.what)
                case _:
                    reply = Reply(354, "", "Go on") if type(event).__name__ == "Data" else OK
            out += self.engine.send(reply)
        return out


def joined(*, pipelining: bool) -> tuple[ClientEngine, Door]:
    engine = ServerEngine(Offer(hostname="door.example", size_bytes=0, pipelining=pipelining), EngineLimits())
    return ClientEngine("us.example"), Door(engine)


def talk(
    client: ClientEngine, door: Door, towards_client: bytes, *, step: int, whole: bytes, chunks: bool
) -> list[ClientEvent]:
    """Carry bytes to and fro, `step` octets at a time, until nobody has anything to say."""
    happened: list[ClientEvent] = []
    to_client, to_door = towards_client, client.to_send()
    while to_client or to_door:
        piece, to_door = to_door[:step], to_door[step:]
        to_client += door.hear(piece) if piece else b""
        piece, to_client = to_client[:step], to_client[step:]
        client.receive(piece)
        while (event := client.next_event()) is not None:
            happened.append(event)
            to_door += react(client, event, whole, chunks=chunks)
        to_door += client.to_send()
    return happened


def react(client: ClientEngine, event: ClientEvent, whole: bytes, *, chunks: bool) -> bytes:
    match event:
        case Greeted():
            client.hello()
        case Introduced(offers=offers):
            mail = mail_command(Address("ann", "us.example"), MailOptions())
            client.begin(mail, RCPTS, chunked=chunks, pipelined=offers.pipelining)
        case ContentWanted() if chunks:
            return client.chunk(whole, last=False)
        case ContentWanted():
            client.content_sent()
            return encode_data(whole)
        case ChunkTaken():
            return client.chunk(b"", last=True)
        case _:
            pass
    return b""


RCPTS = [
    rcpt_command(Recipient(address=Address(name, "b.example")), dsn=True, smtputf8=False)
    for name in ("bob", "nobody", "a b")
]
CONTENT = b"Subject: x\r\n\r\n.dot\r\n..\r\n.\r\nend"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 4096])
@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("pipelining", [False, True])
def test_our_client_and_our_server_understand_each_other(pipelining: bool, chunks: bool, step: int) -> None:
    client, door = joined(pipelining=pipelining)
    banner = door.engine.greet(Reply(220, "", "door.example ESMTP"))
    happened = talk(client, door, banner, step=step, whole=CONTENT, chunks=chunks)
    assert door.violations == []
    assert door.mails == [CONTENT if chunks else CONTENT + b"\r\n"]
    over = happened[-1]
    assert isinstance(over, TransactionOver)
    assert [reply_of(a) for a in over.answers] == [250, 550, 250]
    assert client.is_idle


@pytest.mark.threat("A18")
@settings(max_examples=200)
@given(st.lists(st.sampled_from([b"\r", b"\n", b".", b"x", b"\r\n.\r\n", b"MAIL FROM:<a@b>", b"\n.\n"])))
def test_no_content_becomes_a_command(parts: list[bytes]) -> None:
    client, door = joined(pipelining=True)
    banner = door.engine.greet(Reply(220, "", "door.example ESMTP"))
    talk(client, door, banner, step=100_000, whole=b"".join(parts), chunks=False)
    assert door.violations == []
    assert len(door.mails) == 1


def reply_of(answer: Answer) -> int:
    return answer.reply.code
