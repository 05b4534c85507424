"""The clients: well-behaved, slow, careless and hostile ones. Each writes down what it sent and what it was told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Final

from sim.durable import MARK
from sim.journal import Answer, Journal, Sent
from sim.network import Network
from sim.plan import AWAY, Limits
from sim.pressure import HIGH, MEDIUM, NORMAL
from sim.signing import signature_of
from sim.stream import Stream

_QUEUED: Final = re.compile(r"Queued as (\S+)")
INSIDE: Final = tuple(f"10.1.0.{n}" for n in range(1, 8))
OUTSIDE: Final = tuple(f"203.0.113.{n}" for n in range(1, 20))


class Manner(Enum):
    """How a client behaves."""

    POLITE = "polite"
    PIPELINING = "pipelining"
    FORGETFUL = "forgetful"
    """RSET and EHLO at odd places."""
    SLOW = "slow"
    CUTTING = "cutting"
    """The connection breaks at any octet."""
    SMUGGLING = "smuggling"
    CROWD = "crowd"
    """More recipients than one mail may have."""
    LYING = "lying"
    """Sizes that are not true."""
    CHUNKING = "chunking"
    FLOODING = "flooding"


class Gone(Exception):
    """The conversation is over."""


_CHANGES: Final = ("deaths", "reloads", "reloads over", "restarts")


@dataclass(kw_only=True)
class World:
    """What a client needs to know."""

    network: Network
    journal: Journal
    chance: Random
    door: tuple[str, int]
    submission: tuple[str, int]
    accounts: tuple[str, ...]
    users: tuple[str, ...]
    """Listed recipients of ours."""
    strangers: tuple[str, ...]
    partners: tuple[str, ...]
    """Recipients anybody may write to, at another system."""
    far: tuple[str, ...]
    """Recipients only inside clients may write to."""
    limits_since: Callable[[float], Sequence[Limits]]
    """Of the configurations that were in force since a moment."""
    heavy: bool = False
    """Messages are large."""
    levels_since: Callable[[float], frozenset[str]] = lambda _: frozenset((NORMAL,))
    """Of back pressure."""
    is_full_since: Callable[[float], bool] = lambda _: False
    """The disk had no room all the time."""
    state_of: Callable[[int], str] = lambda _: ""
    """What is left of a transaction in the session of this client port; "" when nothing is."""
    on_content: Callable[[], None] = lambda: None
    """Somebody begins to send a message."""
    _names: int = field(default=0)

    @property
    def limits(self) -> Limits:
        """In force now."""
        return self.limits_since(self.journal.now())[-1]

    def name(self) -> str:
        """Of the next message."""
        self._names += 1
        return f"m{self._names}"


class Client:
    """One session."""

    def __init__(self, world: World, manner: Manner) -> None:
        self._world = world
        self._chance = world.chance
        self._journal = world.journal
        self.manner = manner
        self._inside = self._chance.random() < 0.6 and manner is not Manner.FLOODING
        self._ip = self._chance.choice(INSIDE if self._inside else OUTSIDE)
        self._stream = Stream()
        self._begun_at = 0.0
        self._budget = self._chance.randint(0, 6000) if manner is Manner.CUTTING else 1 << 40

    async def run(self) -> None:
        """Connect, send, go."""
        self._journal.count(f"client {self.manner.value}")
        try:
            if self.manner is Manner.FLOODING:
                await self._flood()
            else:
                await self._session()
        except (Gone, OSError):
            pass
        finally:
            self._stream.close()

    async def _session(self) -> None:
        self._begun_at = self._journal.now()
        _, self._stream = await self._world.network.connect(Stream, *self._world.door, source=self._ip)
        if not self._is_welcome(await self._reply()):
            return
        await self._ask(b"EHLO client.example\r\n")
        for _ in range(self._chance.choice((1, 1, 1, 2, 3))):
            await self._transaction()
        if self._chance.random() < 0.8:
            await self._ask(b"QUIT\r\n")

    def _is_welcome(self, greeting: tuple[int, str]) -> bool:
        code, text = greeting
        levels = self._world.levels_since(self._begun_at)
        if code == 220 and levels == {HIGH}:
            self._journal.find("a client was let in at high back pressure")
        if code == 421 and "resources" in text and levels == {NORMAL}:
            self._journal.find(f"a client was not let in, and nothing is scarce: {text}")
        self._journal.count(f"greeted {code}")
        return code == 220

    async def _flood(self) -> None:
        """More connections at once than one source may have."""
        streams = []
        welcomed, lives = 0, self._lives()
        for _ in range(self._allowed_at_once() + 3):
            _, stream = await self._world.network.connect(Stream, *self._world.door, source=self._ip)
            streams.append(stream)
        for stream in streams:
            code, _ = await stream.reply()
            welcomed += code == 220 and not stream.at_end
        limits = self._world.limits_since(self._journal.now())
        allowed = max(one.connections_per_source for one in limits)
        if welcomed > allowed and lives == self._lives():
            self._journal.find(f"{welcomed} sessions of {self._ip}, {allowed} are allowed")
        await asyncio.sleep(self._chance.uniform(0.1, 20.0))
        for stream in streams:
            stream.abort() if self._chance.random() < 0.5 else stream.close()

    def _allowed_at_once(self) -> int:
        return self._world.limits.connections_per_source

    def _lives(self) -> int:
        """How often the gateway has died, changed or begun to stop: sessions of two lives are not counted together."""
        return sum(self._journal.counts.get(what, 0) for what in _CHANGES)

    # -- one message ----------------------------------------------------------------------------

    async def _transaction(self) -> None:
        sent = self._message()
        wanted = self._recipients()
        if self.manner is Manner.PIPELINING:
            go = await self._envelope_at_once(sent, wanted)
        else:
            go = await self._envelope(sent, wanted)
        if not go:
            return
        if self.manner is Manner.CHUNKING:
            await self._chunks(sent)
            return
        if self.manner is not Manner.PIPELINING:
            code, _ = await self._ask(b"DATA\r\n")
            if code != 354:
                sent.answer = Answer.REFUSED
                return
        await self._content(sent)

    async def _envelope(self, sent: Sent, wanted: list[str]) -> bool:
        size = self._announced(sent)
        begun_at = self._journal.now()
        code, _ = await self._ask(f"MAIL FROM:<{sent.sender}>{size} BODY=8BITMIME\r\n".encode())
        if code != 250:
            return False
        self._may_be_taken(begun_at, sent)
        if self.manner is Manner.FORGETFUL and self._chance.random() < 0.3:
            return await self._forget(sent)
        for recipient in wanted:
            sent.unanswered.add(recipient)
            code, _ = await self._ask(f"RCPT TO:<{recipient}>{self._notify()}\r\n".encode())
            sent.unanswered.discard(recipient)
            if code == 250:
                sent.taken.add(recipient)
        if len(sent.taken) > max(limits.recipients for limits in self._world.limits_since(self._begun_at)):
            self._journal.find(f"{sent.name}: {len(sent.taken)} recipients were taken")
        if self.manner is Manner.FORGETFUL and self._chance.random() < 0.4:
            return await self._forget(sent)
        if not sent.taken:
            await self._ask(b"RSET\r\n")
        return bool(sent.taken)

    async def _envelope_at_once(self, sent: Sent, wanted: list[str]) -> bool:
        """MAIL, RCPT and DATA in one write; the answers afterwards."""
        lines = [
            f"MAIL FROM:<{sent.sender}>",
            *(f"RCPT TO:<{r}>{self._notify()}" for r in wanted),
            "DATA",
            "",
        ]
        sent.unanswered |= set(wanted)
        begun_at = self._journal.now()
        self._write("\r\n".join(lines).encode())
        mail, _ = await self._reply()
        if mail == 250:
            self._may_be_taken(begun_at, sent)
        for recipient in wanted:
            code, _ = await self._reply()
            sent.unanswered.discard(recipient)
            if code == 250 and mail == 250:
                sent.taken.add(recipient)
        code, _ = await self._reply()
        if code != 354:
            sent.answer = Answer.REFUSED
        return code == 354

    def _may_be_taken(self, begun_at: float, sent: Sent) -> None:
        """MAIL was answered 250: was the gateway in a state to do so, all the time or at least once since then?"""
        levels = self._world.levels_since(begun_at)
        spared = self._inside
        if levels == {HIGH} or (not spared and levels <= {HIGH, MEDIUM}):
            self._journal.find(f"{sent.name} was begun under back pressure: {sorted(levels)}")
        if self._world.is_full_since(begun_at):
            self._journal.find(f"{sent.name} was begun while the disk was full")

    async def _forget(self, sent: Sent) -> bool:
        """The transaction is given up; nothing of it may stay."""
        code, _ = await self._ask(self._chance.choice((b"RSET\r\n", b"EHLO again.example\r\n")))
        if code == 250:
            self._look_for_remains("RSET")
        sent.taken.clear()
        return False

    async def _content(self, sent: Sent) -> None:
        self._world.on_content()
        text = sent.part
        if self.manner is Manner.SMUGGLING:
            text = self._smuggled(text)
            sent.part = text
        stuffed = text.replace(b"\r\n.", b"\r\n..") if self.manner is not Manner.SMUGGLING else text
        wire = (b"." if stuffed.startswith(b".") else b"") + stuffed
        for piece in self._pieces(wire):
            self._write(piece)
            if self.manner is Manner.SLOW:
                await asyncio.sleep(self._chance.uniform(0.1, 40.0))
        if self._budget >= 3:
            sent.answer = Answer.UNKNOWN
        self._write(b".\r\n")
        await self._end(sent)

    async def _chunks(self, sent: Sent) -> None:
        text = sent.part
        first = self._chance.randint(0, len(text))
        self._write(b"BDAT %d\r\n" % first + text[:first])
        code, _ = await self._reply()
        if code != 250:
            sent.answer = Answer.REFUSED
            return
        if self._chance.random() < 0.2:
            await self._forget(sent)
            return
        sent.answer = Answer.UNKNOWN
        self._write(b"BDAT %d LAST\r\n" % (len(text) - first) + text[first:])
        await self._end(sent)

    async def _end(self, sent: Sent) -> None:
        code, text = await self._reply()
        if 200 <= code < 300:
            sent.answer = Answer.ACKNOWLEDGED
            self._acknowledged(sent, text)
        else:
            sent.answer = Answer.REFUSED
        self._look_for_remains("the end of data")

    def _acknowledged(self, sent: Sent, text: str) -> None:
        self._journal.count("acknowledged")
        kept = [one for one in self._journal.kept.values() if one.name == sent.name]
        if not kept:
            self._journal.find(f"{sent.name}: answered 250 before it was durable ({text})")
        elif not _QUEUED.search(text):
            self._journal.find(f"{sent.name}: {text}")

    def _look_for_remains(self, after: str) -> None:
        remains = self._world.state_of(self._stream.local_port)
        if remains and self.manner is not Manner.SMUGGLING:
            self._journal.find(f"after {after} the session still has {remains}")

    # -- what it says ---------------------------------------------------------------------------

    def _message(self) -> Sent:
        name, chance = self._world.name(), self._chance
        address = self._address(name)
        sender = "" if chance.random() < 0.08 else address
        domain = address.partition("@")[2]
        head = b"".join(
            (
                MARK + name.encode() + b"\r\n",
                b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n",
                f"Message-ID: <{name}@{domain}>\r\n".encode(),
                f"From: <{address}>\r\nTo: <somebody@ours.example>\r\n".encode(),
                f"Subject: message {name}\r\n\r\n".encode(),
            )
        )
        size = 50_000 if self._world.heavy else int(100 * 300 ** (chance.random() ** 2))
        if self.manner is Manner.LYING and chance.random() < 0.4:
            size = self._world.limits.message_size_bytes + 1000
        line = bytes(chance.choice(b"abcdefgh .\xc3") for _ in range(60)).replace(b"\xc3", b"\xc3\xa4")
        body = (
            b"\r\n".join(b"." * chance.choice((0, 0, 1, 2)) + line for _ in range(size // 60 + 1)) + b"\r\n"
        )
        signed = ""
        if (
            not self._inside
            and self.manner is not Manner.SMUGGLING
            and domain == AWAY
            and chance.random() < 0.4
        ):
            signed = chance.choice(("pass", "pass", "fail"))
            field = signature_of(head, body, at=self._journal.wall_at())
            head = head.removesuffix(b"\r\n") + field + b"\r\n"
            body = body if signed == "pass" else body + b"added\r\n"
        sent = Sent(name, sender, part=head + body, signed=signed)
        self._journal.sent[name] = sent
        return sent

    def _address(self, name: str) -> str:
        """Whose mail it is."""
        return f"{name}@{'ours.example' if self._inside else 'away.example'}"

    def _recipients(self) -> list[str]:
        world, chance = self._world, self._chance
        pool = [*world.users, *world.partners, *(world.far if self._inside else ())]
        if self.manner is Manner.CROWD:
            return [f"all{n}@relay.example" for n in range(world.limits.recipients + 5)]
        chosen = chance.sample(pool, chance.choice((1, 1, 2, 2, 3, 5)))
        if chance.random() < 0.2:
            chosen.append(chance.choice((*world.strangers, *(() if self._inside else world.far))))
        return chosen

    def _notify(self) -> str:
        return self._chance.choice(
            (*[""] * 12, " NOTIFY=NEVER", " NOTIFY=FAILURE", " NOTIFY=SUCCESS,FAILURE")
        )

    def _announced(self, sent: Sent) -> str:
        if self.manner is not Manner.LYING:
            return ""
        return f" SIZE={self._chance.choice((1, len(sent.part), self._world.limits.message_size_bytes * 2))}"

    def _smuggled(self, text: bytes) -> bytes:
        end = self._chance.choice((b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"))
        return (
            text[:-2]
            + end
            + b"MAIL FROM:<evil@away.example>\r\nRCPT TO:<u0@ours.example>\r\nDATA\r\n"
            + MARK
            + b"smuggled\r\nFrom: <evil@away.example>\r\n\r\nboo\r\n"
        )

    def _pieces(self, wire: bytes) -> list[bytes]:
        if self.manner not in (Manner.SLOW, Manner.CUTTING):
            return [wire]
        cuts = sorted(self._chance.randint(0, len(wire)) for _ in range(4))
        return [wire[a:b] for a, b in zip((0, *cuts), (*cuts, len(wire)), strict=True)]

    # -- how it says it ---------------------------------------------------------------------------

    async def _ask(self, line: bytes) -> tuple[int, str]:
        self._write(line)
        return await self._reply()

    async def _reply(self) -> tuple[int, str]:
        code, text = await self._stream.reply()
        if code == 0:
            raise Gone
        return code, text

    def _write(self, data: bytes) -> None:
        self._budget -= len(data)
        if self._budget >= 0:
            self._stream.write(data)
            return
        self._stream.write(data[: self._budget])
        if self._chance.random() < 0.5:
            self._stream.abort()
        else:
            self._stream.close()
        raise Gone
