"""Recipients by call-forward: the next hop is asked with MAIL FROM:<> and RCPT, and never gets a mail by it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from gatepost.config.check_directories import parse_call_host
from gatepost.config.directory_settings import Directory
from gatepost.model.address import Address
from gatepost.model.envelope import Recipient
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.ports.directory import NOT_LISTED, Entry
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.wire import Dialer, OutgoingWire
from gatepost.ports.world import Randomness
from gatepost.protocol.replies import PeerReply, ReplyReader
from gatepost.protocol.smtp_client_commands import parse_offers, rcpt_command
from gatepost.routing.addresses import is_address

REFUSALS_OF_A_CONNECTION: Final = 8
"""Servers slow down or hang up after some unknown recipients: a new connection is polite and quicker."""
QUESTIONS_OF_A_CONNECTION: Final = 100
IDLE_S: Final = 30.0
CATCH_ALL_DOMAINS: Final = 10_000
PROBE_BYTES: Final = 10
_UNKNOWN_MAILBOX_CODES: Final = (550, 551, 553)
_LINK: Final = LinkTls(mode=LinkMode.OPPORTUNISTIC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a question needs of the house. hostname: our name in EHLO."""

    dialer: Dialer
    resolver: Resolver
    randomness: Randomness
    monotonic: Callable[[], float]
    hostname: str
    log: Log
    counters: Counters


@dataclass(slots=True)
class _Line:
    """The kept connection."""

    wire: OutgoingWire
    reader: ReplyReader = field(default_factory=ReplyReader)
    smtputf8: bool = False
    questions: int = 0
    refusals: int = 0
    used_at: float = 0.0

    async def reply(self, timeout_s: float) -> PeerReply:
        """Raises WorldFault."""
        try:
            async with asyncio.timeout(
                2 * timeout_s
            ):  # a peer that answers in drops would keep every question waiting
                while (found := self.reader.next_reply()) is None:
                    if not (data := await self.wire.read(timeout_s=timeout_s)):
                        raise WorldFault("the next hop closed the connection")
                    self.reader.receive(data)
        except TimeoutError as error:
            raise WorldFault(f"no whole answer within {2 * timeout_s:.0f} s") from error
        return found

    async def say(self, command: bytes, timeout_s: float) -> PeerReply:
        """Raises WorldFault."""
        if not self.reader.is_empty:
            raise WorldFault("the next hop broke the protocol: a reply to nothing")
        self.wire.write(command)
        return await self.reply(timeout_s)


class CallForward:
    """One next hop that knows its recipients. One connection, one question at a time, answers remembered."""

    def __init__(self, name: str, settings: Directory, around: Surroundings) -> None:
        self._name = name
        self._settings = settings.call_forward
        self._timeout_s = settings.timeout_s
        self._around = around
        self._host, self._port = parse_call_host(settings.call_forward.host)
        self._answers: OrderedDict[str, tuple[bool, float]] = OrderedDict()
        self._catch_all: OrderedDict[str, tuple[bool, float]] = OrderedDict()
        """Domain -> whether it takes everybody, and until when that is believed."""
        self._open: dict[str, asyncio.Task[bool]] = {}
        self._turn = asyncio.Lock()
        self._line: _Line | None = None
        self._minute = (0.0, 0)
        self._failed = False
        self._listed = Entry(True, source=name)
        self._idle: asyncio.TimerHandle | None = None

    async def ask(self, recipient: Address) -> Entry:
        """From memory, or of the next hop. Raises WorldFault when it does not say."""
        key = recipient.key
        if (known := self._remembered(self._answers, key)) is not None:
            return self._listed if known else NOT_LISTED
        task = self._open.get(key)
        if task is None:
            if len(self._open) >= self._settings.questions_waiting:
                raise WorldFault("too many questions wait for the next hop", directory=self._name)
            task = asyncio.get_running_loop().create_task(self._found_out(recipient))
            self._open[key] = task
            task.add_done_callback(partial(self._over, key))
        # Whoever asked first may go: the others, and the memory, still want the answer.
        return self._listed if await asyncio.shield(task) else NOT_LISTED

    def _over(self, key: str, task: asyncio.Task[bool]) -> None:
        self._open.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone: nobody else looks at it

    def close(self) -> None:
        """Hang up."""
        for task in tuple(self._open.values()):
            task.cancel()
        self._hang_up()

    async def _found_out(self, recipient: Address) -> bool:
        async with self._turn:
            try:
                takes_all = await self._takes_everybody(recipient.domain)
                listed = takes_all or await self._asked(recipient)
            except WorldFault as fault:
                self._tell(fault.reason)
                raise
            except PeerFault as fault:
                self._tell(fault.reason)
                raise WorldFault(f"{self._host}: {fault.reason}") from fault
            self._tell("")
        if not takes_all:
            keep_s = self._settings.positive_ttl_s if listed else self._settings.negative_ttl_s
            self._remember(self._answers, recipient.key, listed, keep_s, self._settings.cache_entries)
        return listed

    async def _takes_everybody(self, domain: str) -> bool:
        """A next hop that takes a name nobody can have says nothing about the others: then all are listed."""
        if (known := self._remembered(self._catch_all, domain)) is not None:
            return known
        nobody = Address(f"gatepost-{self._around.randomness.token_hex(PROBE_BYTES)}", domain)
        found = await self._asked(nobody)
        self._remember(self._catch_all, domain, found, self._settings.catch_all_check_s, CATCH_ALL_DOMAINS)
        if found:
            self._around.log.write(
                "warning",
                "directory-catch-all",
                directory=self._name,
                domain=domain,
                host=self._host,
                consequence="every recipient of the domain is taken for existing",
            )
        takes_some = any(takes for takes, _ in self._catch_all.values())
        self._around.counters.set("directory_catch_all", int(takes_some), directory=self._name)
        return found

    async def _asked(self, recipient: Address) -> bool:
        """One question; a kept connection that has died is opened once more. Raises WorldFault, PeerFault."""
        self._count()
        kept = self._line is not None
        try:
            return await self._question(recipient)
        except WorldFault:
            self._hang_up()
            if not kept:
                raise
        except BaseException:
            self._hang_up()  # cancelled in the middle: whose answer comes next, nobody knows
            raise
        try:
            return await self._question(recipient)
        except BaseException:
            self._hang_up()
            raise

    async def _question(self, recipient: Address) -> bool:
        line = self._line or await self._connect()
        self._line = line
        line.questions += 1
        utf8 = not recipient.is_ascii
        if utf8 and not line.smtputf8:
            raise WorldFault("the next hop does not know SMTPUTF8, and cannot be asked for this recipient")
        timeout_s = self._timeout_s
        answer = await line.say(b"MAIL FROM:<>" + (b" SMTPUTF8" if utf8 else b"") + b"\r\n", timeout_s)
        if not answer.is_positive:
            raise WorldFault(f"{self._host} refused MAIL FROM:<>: {answer.text}")
        command = rcpt_command(Recipient(address=recipient), dsn=False, smtputf8=utf8)
        answer = await line.say(command, timeout_s)
        listed = meaning_of(answer)
        if not answer.is_positive:
            line.refusals += 1
        if (
            line.refusals >= REFUSALS_OF_A_CONNECTION
            or line.questions >= QUESTIONS_OF_A_CONNECTION
            or answer.code == 421
            or not (await line.say(b"RSET\r\n", timeout_s)).is_positive
        ):
            self._hang_up()
        else:
            self._keep(line)
        if listed is None:
            raise WorldFault(f"{self._host} does not say whether the recipient exists: {answer.text}")
        return listed

    async def _connect(self) -> _Line:
        address = self._host
        if not is_address(address):
            found = await self._around.resolver.addresses(address, timeout_s=self._timeout_s)
            if not found:
                raise WorldFault(f"{self._host} has no address")
            address = found[0]
        wire = await self._around.dialer.connect(
            address, self._port, source_address="", timeout_s=self._timeout_s
        )
        line = _Line(wire)
        try:
            _agreed(await line.reply(self._timeout_s), f"{self._host} does not greet")
            starttls = await self._hello(line)
            if starttls and (await line.say(b"STARTTLS\r\n", self._timeout_s)).is_positive:
                await wire.start_tls(self._host, link=_LINK, timeout_s=self._timeout_s)
                await self._hello(line)
        except BaseException:
            wire.close()
            raise
        return line

    async def _hello(self, line: _Line) -> bool:
        hostname = self._around.hostname.encode("ascii")
        answer = await line.say(b"EHLO " + hostname + b"\r\n", self._timeout_s)
        if answer.is_permanent:
            answer = await line.say(b"HELO " + hostname + b"\r\n", self._timeout_s)
            _agreed(answer, f"{self._host} refused HELO")
            return False
        _agreed(answer, f"{self._host} refused EHLO")
        offers = parse_offers(answer.lines)
        line.smtputf8 = offers.smtputf8
        return offers.starttls

    def _keep(self, line: _Line) -> None:
        self._stop_waiting()
        self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._hang_up_if_idle, line)

    def _hang_up_if_idle(self, line: _Line) -> None:
        if self._line is line and not self._turn.locked():
            self._hang_up()

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _hang_up(self) -> None:
        self._stop_waiting()
        line, self._line = self._line, None
        if line is not None:
            with suppress(WorldFault):  # TLS broke: there is nothing to say goodbye to
                line.wire.write(b"QUIT\r\n")
            line.wire.close()

    def _count(self) -> None:
        """Raises WorldFault beyond questions-per-minute (threats F30)."""
        now = self._around.monotonic()
        since, asked = self._minute
        if now - since >= 60:
            since, asked = now, 0
        if asked >= self._settings.questions_per_minute:
            raise WorldFault("questions-per-minute is reached", directory=self._name)
        self._minute = since, asked + 1
        self._around.counters.add("directory_questions", directory=self._name)

    def _remembered(self, memory: OrderedDict[str, tuple[bool, float]], key: str) -> bool | None:
        found = memory.get(key)
        if found is None or found[1] <= self._around.monotonic():
            return None
        return found[0]

    def _remember(
        self,
        memory: OrderedDict[str, tuple[bool, float]],
        key: str,
        answer: bool,
        keep_s: float,
        limit: int,
    ) -> None:
        memory[key] = answer, self._around.monotonic() + keep_s
        memory.move_to_end(key)
        while len(memory) > limit:
            memory.popitem(last=False)

    def _tell(self, reason: str) -> None:
        """Once when it begins and once when it is over."""
        failed = bool(reason)
        self._around.counters.set("directory_failed", int(failed), directory=self._name)
        if failed and not self._failed:
            self._around.log.write(
                "error",
                "directory-unavailable",
                directory=self._name,
                reason=reason,
                consequence="recipients that are not remembered are answered 451",
            )
        elif self._failed and not failed:
            self._around.log.write("info", "directory-available", directory=self._name)
        self._failed = failed


def meaning_of(answer: PeerReply) -> bool | None:
    """What the reply to RCPT says about the mailbox; None: nothing, it is about something else.

    A full mailbox exists. A policy (5.7.1) or a wrong command (5.5.1) is no word about who exists (threats F31).
    """
    if answer.is_positive:
        return True
    subject = answer.enhanced[2:]
    if subject == "2.2":
        return True
    if not answer.is_permanent:
        return None
    if subject:
        return False if subject.startswith("1.") or subject == "2.1" else None
    return False if answer.code in _UNKNOWN_MAILBOX_CODES else None


def _agreed(reply: PeerReply, otherwise: str) -> None:
    if not reply.is_positive:
        raise WorldFault(f"{otherwise}: {reply.text}")
