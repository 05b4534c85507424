"""Next hops that fail in every documented way, and keep account of what they took and said.

Every reply carries a token of its own, so that whatever the gateway writes down about it can be held against it.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from sim.journal import Copy, Journal, Said
from sim.network import Transport
from sim.plan import VAULT
from sim.signing import without_our_signature
from sim.stream import Stream
from sim.tls import UNTRUSTED, WRONG_NAME, SimTls

STAGES: Final = ("greeting", "ehlo", "mail", "rcpt", "data", "content", "dot")
FAULTS: Final = ("4xx", "4xx", "5xx", "hang", "cut", "garbage", "slow", "silent-cut")
OUR_MAIL: Final = re.compile(
    rb"^From: (?:[^<\r\n]*<)?[^<>@\r\n]*@ours\.example>?\r?$", re.MULTILINE | re.IGNORECASE
)
"""Whose author the gateway signs for."""
_ADDRESS: Final = re.compile(rb"<([^>]*)>")
_GARBAGE: Final = (
    b"\xff\xfe\r\n",
    b"999 what\r\n",
    b"250-a\r\n550 b\r\n",
    b"\r\n",
    b"2",
    b"HTTP/1.1 200 OK\r\n",
)


class _Over(Exception):
    """The conversation ends here."""


@dataclass(kw_only=True)
class Hop:
    """One next hop.

    mischief: how often a stage goes wrong while it is bad; bad_until_s: by the loop's time.
    down: refuse or silent while it is bad, instead of talking. greylist_s: first time 450.
    """

    name: str
    place: tuple[str, int]
    chance: Random
    journal: Journal
    lmtp: bool = False
    mischief: float = 0.0
    bad_until_s: float = 0.0
    down: str = ""
    greylist_s: float = 0.0
    pipelining: bool = True
    tls: str = ""
    """The certificate it shows; "": STARTTLS is not offered."""
    tls_faults: tuple[str, ...] = ()
    """What its handshakes come to while it is bad: alert, hang, cut, garbage, missing, or another certificate."""
    demands: str = ""
    expects_signatures: bool = False
    """What the gateway has been told to ask of it: required or verified; "": nothing."""
    connections_limit: Callable[[], int] = lambda: 1000
    on_taken: Callable[[Transport | None], None] = lambda _: None
    """A mail was taken, and nothing is said yet; with the hop's end of the connection."""
    silent_after_one: float = 0.0
    """LMTP: how often it answers one recipient, and then nobody for minutes."""
    on_silence: Callable[[Transport | None], None] = lambda _: None
    open_to: Callable[[], int] = lambda: 0
    """How many connections the gateway holds to this place."""
    connections: int = 0
    _seen: dict[tuple[str, str], float] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def is_bad(self) -> bool:
        """At the moment."""
        return asyncio.get_running_loop().time() < self.bad_until_s

    def accept(self, transport: Transport) -> None:
        """A connection comes. Raises ConnectionRefusedError."""
        if self.down == "refuse" and self.is_bad:
            self.journal.count("hop refuses connection")
            raise ConnectionRefusedError(111, "Connection refused")
        stream = Stream()
        transport.set_protocol(stream)
        stream.connection_made(transport)
        task = asyncio.get_running_loop().create_task(_Talk(self, stream).hold())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        """The end of the world."""
        for task in list(self._tasks):
            task.cancel()

    def greylisted(self, sender: str, recipient: str) -> bool:
        """Seen too recently for the first time."""
        now = asyncio.get_running_loop().time()
        return now < self._seen.setdefault((sender, recipient), now) + self.greylist_s


class _Talk:
    """One connection."""

    def __init__(self, hop: Hop, stream: Stream) -> None:
        self._hop = hop
        self._stream = stream
        self._journal = hop.journal
        self._sender = ""
        self._taken: list[str] = []
        self._in_mail = False
        self._certificate = ""
        self._garbled = False
        self._tls_fault = ""
        """It has said something nobody can read: whatever it says afterwards is not heard."""

    async def hold(self) -> None:
        """To its end, whoever makes it."""
        hop = self._hop
        hop.connections += 1
        self._tls_fault = self._chosen_tls_fault()
        if (held := hop.open_to()) > (allowed := hop.connections_limit()):
            self._journal.find(f"{held} connections to {hop.name}, {allowed} are allowed")
        try:
            await self._converse()
        except _Over:
            pass
        finally:
            hop.connections -= 1
            self._stream.close()

    def _chosen_tls_fault(self) -> str:
        hop = self._hop
        if not hop.tls_faults or not hop.is_bad or hop.chance.random() < 0.4:
            return ""
        return hop.chance.choice(hop.tls_faults)

    async def _converse(self) -> None:
        if not await self._obstacle("greeting"):
            self._say(220, "greeting")
        while line := await self._stream.line(timeout_s=3600.0):
            verb = line[:4].upper()
            if verb in (b"EHLO", b"LHLO", b"HELO"):
                await self._hello()
            elif verb == b"MAIL":
                await self._mail(line)
            elif verb == b"RCPT":
                await self._rcpt(line)
            elif verb == b"DATA":
                await self._data()
            elif verb == b"STAR" and self._offers_tls:
                await self._start_tls()
            elif verb == b"RSET":
                self._forget()
                self._say(250, "rset")
            elif verb == b"QUIT":
                self._say(221, "quit")
                return
            else:
                self._say(500, "unknown")

    async def _hello(self) -> None:
        self._forget()
        if await self._obstacle("ehlo"):
            return
        options = [
            *(["STARTTLS"] if self._offers_tls else []),
            "8BITMIME",
            "SIZE 100000000",
            "SMTPUTF8",
            *(["PIPELINING"] if self._hop.pipelining else []),
        ]
        self._stream.write("".join(f"250-{o}\r\n" for o in (self._hop.name, *options)).encode())
        self._say(250, "ehlo")

    @property
    def _offers_tls(self) -> bool:
        return (
            bool(self._tls_fault or self._hop.tls) and self._tls_fault != "missing" and not self._stream.tls
        )

    async def _start_tls(self) -> None:
        """The handshake, or what goes wrong in it."""
        fault = self._tls_fault
        self._forget()
        self._say(220, "starttls")
        if fault:
            self._journal.count(f"hop tls {fault}")
        if fault == "hang":
            await self._stream.until(b"\x00never\x00", timeout_s=5000.0)
            raise _Over
        if fault == "cut":
            self._stream.abort()
            raise _Over
        if fault == "garbage":
            self._stream.write(self._hop.chance.choice(_GARBAGE))
            raise _Over
        good = UNTRUSTED if self._hop.tls == UNTRUSTED else self._hop.name
        self._certificate = fault if fault in (UNTRUSTED, WRONG_NAME) else good
        breaks = "handshake failure" if fault == "alert" else ""
        if not await self._stream.start_tls(SimTls(server_side=True, shows=self._certificate, breaks=breaks)):
            raise _Over
        self._journal.count("hop tls")

    async def _mail(self, line: bytes) -> None:
        self._forget()
        self._sender = _path(line)
        if not await self._obstacle("mail"):
            self._in_mail = True
            self._say(250, "mail")

    async def _rcpt(self, line: bytes) -> None:
        recipient = _path(line)
        if not self._in_mail:
            self._say(503, "sequence")
        elif self._hop.greylist_s and self._hop.greylisted(self._sender, recipient):
            self._journal.count("hop greylists")
            self._say(450, "rcpt", recipient)
        elif not await self._obstacle("rcpt", recipient):
            self._taken.append(recipient)
            self._say(250, "rcpt", recipient)

    async def _data(self) -> None:
        if not self._taken:
            self._say(503, "sequence")
            return
        if await self._obstacle("data"):
            return
        self._say(354, "data")
        if self._goes_wrong("content"):
            await self._stream.exactly(self._hop.chance.randint(1, 400), timeout_s=60.0)
            self._stream.abort()
            self._journal.count("hop cuts content")
            raise _Over
        text = await self._stream.until(b"\r\n.\r\n", timeout_s=3600.0)
        if not text:
            raise _Over
        content = text[:-3].replace(b"\r\n..", b"\r\n.")
        await self._end_of_data(self._unsigned(content[1:] if content.startswith(b"..") else content))

    def _unsigned(self, content: bytes) -> bytes:
        """As it was before it was signed. Whether it had to be is known by its author."""
        content, result = without_our_signature(content, now=self._journal.wall_at())
        ours = OUR_MAIL.search(content.partition(b"\r\n\r\n")[0]) is not None
        if self._hop.expects_signatures and (result == "pass") != ours:
            self._journal.find(f"{self._hop.name} got a mail, and its signature is {result or 'missing'}")
        if result:
            self._journal.count(f"signatures {result}")
        return content

    async def _end_of_data(self, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        fault = self._fault("dot")
        if self._hop.lmtp:
            for number, recipient in enumerate(list(self._taken)):
                if number == 1 and self._hop.chance.random() < self._hop.silent_after_one:
                    self._journal.count("hop is silent after one")
                    self._hop.on_silence(self._stream.transport)
                    await asyncio.sleep(self._hop.chance.uniform(60.0, 500.0))
                await self._one_end(digest, recipient, fault)
                fault = fault if fault in ("hang", "cut") else self._fault("dot")
        else:
            await self._one_end(digest, "", fault)
        self._forget()

    async def _one_end(self, digest: str, recipient: str, fault: str) -> None:
        """One answer to the end of the data, for all or (LMTP) for one."""
        chance, whose = self._hop.chance, [recipient] if recipient else list(self._taken)
        if fault:
            self._journal.count(f"hop dot {fault}")
        if fault in ("4xx", "5xx"):
            if chance.random() < 0.15 and fault == "4xx":
                self._take(digest, whose, "", end=-1)  # it lies: taken all the same
            self._say(451 if fault == "4xx" else 554, "dot", recipient)
            return
        if fault in ("cut", "silent-cut", "hang", "garbage"):
            if chance.random() < 0.6:
                self._take(digest, whose, "", end=-1)
            await self._misbehave(fault)
            return
        if fault == "slow":
            await asyncio.sleep(chance.uniform(1.0, 900.0))
        token = self._say(250, "dot", recipient, quietly=True)
        transport = self._stream.transport
        assert transport is not None
        wire = self._stream.sealed(self._text(250, token))
        end = -1 if self._garbled else transport.sent + len(wire)
        self._take(digest, whose, token, end=end)
        transport.write(wire)

    def _take(self, digest: str, whose: list[str], token: str, *, end: int) -> None:
        now = asyncio.get_running_loop().time()
        self._look_at_the_link()
        for recipient in whose:
            copy = Copy(digest, recipient, token, now, wire=self._stream.transport, end=end)
            self._journal.copy(copy)
            self._journal.tell(f"{self._hop.name} took {digest[:12]} for {recipient} {token}")
        self._journal.count("copies", len(whose))
        self._hop.on_taken(self._stream.transport)

    def _look_at_the_link(self) -> None:
        demands = self._hop.demands
        if demands and not self._stream.is_encrypted:
            self._journal.find(f"{self._hop.name} got a mail in the clear, and TLS is {demands}")
        elif demands == "verified" and self._certificate != self._hop.name:
            self._journal.find(f"{self._hop.name} got a mail, and its certificate is {self._certificate}")
        for recipient in self._taken:
            if recipient.endswith(f"@{VAULT}") and demands != "verified":
                self._journal.find(f"{self._hop.name} got a mail for {recipient}, and has proven nothing")

    async def _obstacle(self, stage: str, recipient: str = "") -> bool:
        """True when this stage was answered by a fault."""
        fault = self._fault(stage)
        if not fault:
            return False
        self._journal.count(f"hop {stage} {fault}")
        if fault == "slow":
            await asyncio.sleep(self._hop.chance.uniform(0.5, 250.0))
            return False
        if fault in ("4xx", "5xx"):
            self._say({"4xx": 450, "5xx": 550}[fault], stage, recipient)
            return True
        await self._misbehave(fault)
        return True

    async def _misbehave(self, fault: str) -> None:
        if fault == "garbage":
            self._garbled = True
            self._stream.write(self._hop.chance.choice(_GARBAGE))
            return
        if fault == "hang":
            await self._stream.until(b"\x00never\x00", timeout_s=5000.0)
        elif fault == "cut":
            self._stream.abort()
        raise _Over

    def _fault(self, stage: str) -> str:
        return self._hop.chance.choice(FAULTS) if self._goes_wrong(stage) else ""

    def _goes_wrong(self, stage: str) -> bool:
        if not self._hop.is_bad:
            return False
        share = 0.3 if stage in ("greeting", "ehlo", "content") else 1.0
        return self._hop.chance.random() < self._hop.mischief * share

    def _say(self, code: int, stage: str, recipient: str = "", *, quietly: bool = False) -> str:
        """One reply with a new token; quietly: only write down that it will be said."""
        token = f"t{len(self._journal.said)}t"
        now = asyncio.get_running_loop().time()
        self._journal.said[token] = Said(token, code, stage, recipient, self._sender, now)
        self._journal.tell(f"{self._hop.name} {stage} {code} {token} {recipient}")
        if not quietly:
            self._stream.write(self._text(code, token))
        return token

    @staticmethod
    def _text(code: int, token: str) -> bytes:
        return (
            f"{code} {str(code)[0]}.0.0 {token}\r\n".encode() if code != 354 else f"354 {token}\r\n".encode()
        )

    def _forget(self) -> None:
        self._sender, self._taken, self._in_mail = "", [], False


def _path(line: bytes) -> str:
    found = _ADDRESS.search(line)
    return found[1].decode("utf-8", "replace") if found else ""
