"""The client's side of SMTP and LMTP: replies in, events and commands out; no socket, no clock.

The driver's loop: write `to_send()`, feed `receive()`, take `next_event()` until it is None.
Every reply must answer a command that was sent: one that comes ahead is an error, because
from there on nobody knows which answer belongs to what (threats N04, D04).
"""

from __future__ import annotations

import base64
import binascii
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import msgspec

from gatepost.protocol.replies import PeerReply, ReplyReader, broken
from gatepost.protocol.smtp_client_commands import PeerOffers, parse_offers

_NO_OFFERS: Final = PeerOffers()


class Step(Enum):
    """What a reply answers."""

    GREETING = auto()
    HELLO = auto()
    HELO_AFTER_EHLO = auto()
    STARTTLS = auto()
    AUTH = auto()
    MAIL = auto()
    RCPT = auto()
    DATA = auto()
    CHUNK = auto()
    END_OF_DATA = auto()
    VOID_DATA = auto()
    """The end of an empty text, sent because DATA was agreed to without any recipient (RFC 2920 §3.1)."""
    RSET = auto()
    QUIT = auto()


_PLACES: Final = {
    Step.GREETING: "before its greeting",
    Step.HELLO: "after our EHLO",
    Step.HELO_AFTER_EHLO: "after our HELO",
    Step.CHUNK: "after BDAT",
    Step.END_OF_DATA: "after the whole mail was sent: it may have arrived",
    Step.VOID_DATA: "after an empty text",
}
"""Words for whoever reads why a conversation ended; other steps are after their command."""
COMMAND_LIMIT_BYTES: Final = 510  # RFC 5321 §4.5.3.1.4, without CR LF
AUTH_CHALLENGES_LIMIT: Final = 8
_POSITIVE: Final = {Step.DATA: 3, Step.AUTH: 0}
"""First digit of a yes where it is not 2; 0: several are possible."""


@dataclass(frozen=True, slots=True)
class Greeted:
    """The banner came: `reply` may be a refusal. name: the first word, what the peer calls itself."""

    reply: PeerReply
    name: str


@dataclass(frozen=True, slots=True)
class Introduced:
    """EHLO, LHLO or at last HELO was answered; `offers` is empty when refused or after HELO."""

    reply: PeerReply
    offers: PeerOffers


@dataclass(frozen=True, slots=True)
class TlsAnswered:
    """STARTTLS: when positive, do the handshake now, then call `tls_started` and `hello`."""

    reply: PeerReply


@dataclass(frozen=True, slots=True)
class AuthAnswered:
    """AUTH is over."""

    reply: PeerReply


@dataclass(frozen=True, slots=True)
class AuthChallenged:
    """AUTH goes on: answer with `auth_response`."""

    challenge: bytes


class ContentWanted(msgspec.Struct, frozen=True, gc=False):
    """Send the content now, then call `content_sent` (DATA), or send it by `chunk` (BDAT).

    accepted: positions of the recipients that were agreed to; never empty.
    """

    accepted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChunkTaken:
    """A BDAT chunk that was not the last arrived."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The last word about one recipient, and at which step it was said."""

    step: Step
    reply: PeerReply


class TransactionOver(msgspec.Struct, frozen=True, gc=False):
    """One answer a recipient, in the order of the RCPT commands."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Reset:
    """RSET was answered."""

    reply: PeerReply


@dataclass(frozen=True, slots=True)
class HungUp:
    """421 came, or the answer to QUIT: the connection is of no more use."""

    reply: PeerReply


ClientEvent = (
    Greeted
    | Introduced
    | TlsAnswered
    | AuthAnswered
    | AuthChallenged
    | ContentWanted
    | ChunkTaken
    | TransactionOver
    | Reset
    | HungUp
)


class ClientEngine:
    """One conversation with a next hop. Methods that receive raise WorldFault when the peer breaks SMTP.

    hostname: our name in EHLO.  lmtp: LHLO, and one reply a recipient after the content (RFC 2033).
    """

    def __init__(self, hostname: str, *, lmtp: bool = False) -> None:
        self.offers = _NO_OFFERS
        self.closed = False
        self.replies = 0
        """So many were taken."""
        self._hostname = hostname.encode("ascii")
        self._lmtp = lmtp
        self._reader = ReplyReader()
        self._out = bytearray()
        self._awaited: deque[Step] = deque([Step.GREETING])
        self._later: deque[tuple[Step, bytes]] = deque()
        self._auth_held_back: bytes | None = None
        self._auth_challenges = 0
        self._answers: list[Answer | None] = []
        self._in_transaction = False
        self._mail_was_answered = False
        self._mail_was_refused = False
        self._left_open = False
        """The next hop still has our MAIL: an end of data or RSET ends that, and nothing else (RFC 5321 §4.1.1.5)."""
        self._rcpt_at = 0
        self._ends: list[int] = []
        self._ends_wanted = 0
        """Positions whose recipients wait for a reply to the end of data."""

    def to_send(self) -> bytes:
        """What is to be written; taken once."""
        if not self._out:
            return b""
        out = bytes(self._out)
        self._out.clear()
        return out

    def receive(self, data: bytes) -> None:
        """Bytes of the next hop. Raises WorldFault."""
        self._reader.receive(data)

    def next_event(self) -> ClientEvent | None:
        """What happened; None: nothing until more bytes come. Raises WorldFault."""
        while not self.closed and (reply := self._reader.next_reply()) is not None:
            self.replies += 1
            if not self._awaited:
                raise broken("a reply to nothing")
            event = self._take(self._awaited.popleft(), reply)
            if event is not None:
                return event
        return None

    # -- what the driver says -----------------------------------------------------------------

    def hello(self, *, plain: bool = False) -> None:
        """EHLO or LHLO; a refused EHLO is followed by HELO (RFC 5321 §3.2). plain: HELO at once."""
        if plain:
            self._say(Step.HELO_AFTER_EHLO, b"HELO " + self._hostname + b"\r\n")
            return
        self._say(Step.HELLO, (b"LHLO " if self._lmtp else b"EHLO ") + self._hostname + b"\r\n")

    def start_tls(self) -> None:
        """STARTTLS (RFC 3207)."""
        self._say(Step.STARTTLS, b"STARTTLS\r\n")

    def tls_started(self) -> None:
        """The handshake is done: whatever was offered in the clear is forgotten (RFC 3207 §4.2)."""
        self._quiet()
        self.offers = _NO_OFFERS

    def authenticate(self, mechanism: str, initial: bytes | None) -> None:
        """AUTH (RFC 4954). Only to be called under TLS (threats N12). initial: None when there is none.

        An initial response that makes the line too long waits for the first challenge (§4).
        """
        self._auth_held_back, self._auth_challenges = None, 0
        command = b"AUTH " + mechanism.encode("ascii")
        if initial is not None:
            whole = command + b" " + (base64.b64encode(initial) or b"=")
            if len(whole) <= COMMAND_LIMIT_BYTES:
                command = whole
            else:
                self._auth_held_back = initial
        self._say(Step.AUTH, command + b"\r\n")

    def auth_response(self, response: bytes) -> None:
        """The answer to AuthChallenged."""
        self._say(Step.AUTH, base64.b64encode(response) + b"\r\n")

    def begin(self, mail: bytes, rcpts: Sequence[bytes], *, chunked: bool, pipelined: bool) -> None:
        """Start a transaction. mail, rcpts: complete command lines; at least one recipient.

        RSET goes first when the last transaction was refused before its end: its sender would
        be taken for ours.
        """
        self._answers = [None] * len(rcpts)
        self._in_transaction, self._mail_was_answered, self._rcpt_at = True, False, 0
        self._mail_was_refused = False
        self._later.clear()
        if self._left_open:
            self._later.append((Step.RSET, b"RSET\r\n"))
        self._later.append((Step.MAIL, mail))
        self._later.extend([(Step.RCPT, rcpt) for rcpt in rcpts])
        if not chunked:
            self._later.append((Step.DATA, b"DATA\r\n"))
        self._say(*self._later.popleft())
        if pipelined:
            for step, command in self._later:
                self._awaited.append(step)
                self._out += command
            self._later.clear()

    def content_sent(self) -> None:
        """The end of data was written (DATA)."""
        self._await_ends()

    def chunk(self, data: bytes, *, last: bool) -> bytes:
        """One BDAT chunk as bytes for the wire (RFC 3030)."""
        self._quiet()
        if last:
            self._await_ends()
        else:
            self._awaited.append(Step.CHUNK)
        return b"BDAT %d%s\r\n%b" % (len(data), b" LAST" if last else b"", data)

    def reset(self) -> None:
        """RSET."""
        self._say(Step.RSET, b"RSET\r\n")

    def quit(self) -> None:
        """QUIT; nobody needs to wait for the answer. Nothing in the middle of a text."""
        if not self.closed and not self._in_transaction:
            self._out += b"QUIT\r\n"
        self.closed = True

    @property
    def is_idle(self) -> bool:
        """Between transactions, with nothing awaited and nothing left over."""
        return not self.closed and not self._awaited and not self._in_transaction and self._reader.is_empty

    @property
    def has_part_of_a_reply(self) -> bool:
        """A reply has begun and its end is missing."""
        return not self._reader.is_empty

    @property
    def place(self) -> str:
        """Where the conversation is, in words."""
        if not self._awaited:
            return "while the content was sent" if self._in_transaction else "between two commands"
        step = self._awaited[0]
        half = "; what it said has no CR LF" if self._reader.has_half_a_line else ""
        return (_PLACES.get(step) or f"after {step.name}") + half

    @property
    def mail_was_answered(self) -> bool:
        """The next hop took note of the transaction at all."""
        return self._mail_was_answered

    @property
    def is_partly_answered(self) -> bool:
        """LMTP: the content was answered for some recipients, and for others not yet (RFC 2033 §4.2)."""
        return bool(self._ends) and len(self._ends) < self._ends_wanted

    @property
    def answers_so_far(self) -> tuple[Answer | None, ...]:
        """Of a transaction that broke off: None is unknown, and unknown is never "delivered"."""
        return tuple(self._answers)

    # -- what the next hop says ---------------------------------------------------------------

    def _take(self, step: Step, reply: PeerReply) -> ClientEvent | None:
        if reply.bare and step is not Step.END_OF_DATA and not (step is Step.AUTH and reply.code == 334):
            # After the text a lone 250 is believed: the mail was taken, and trying again doubles it.
            raise broken(f"a code without a text in answer to {step.name}")
        if reply.code == 421:
            self.closed = True
            return self._over(self._all(step, reply)) if self._in_transaction else HungUp(reply)
        wanted = _POSITIVE.get(step, 2)
        if wanted and reply.code < 400 and reply.code // 100 != wanted:
            raise broken(f"{reply.code} in answer to {step.name}")
        match step:
            case Step.MAIL:
                return self._mail_answered(reply)
            case Step.RCPT:
                return self._rcpt_answered(reply)
            case Step.DATA:
                return self._data_answered(reply)
            case Step.END_OF_DATA:
                return self._end_answered(reply)
            case Step.CHUNK:
                return ChunkTaken() if reply.is_positive else self._over(self._all(Step.CHUNK, reply))
            case Step.VOID_DATA:
                self._left_open = False
                return self._over(self._decided())
            case Step.RSET:
                return self._reset_answered(reply)
            case _:
                return self._opening_answered(step, reply)

    def _opening_answered(self, step: Step, reply: PeerReply) -> ClientEvent | None:
        match step:
            case Step.GREETING:
                words = reply.lines[0].decode("ascii", "replace").split()
                return Greeted(reply, words[0].lower() if words else "")
            case Step.HELLO if reply.is_permanent and not self._lmtp:
                self._say(Step.HELO_AFTER_EHLO, b"HELO " + self._hostname + b"\r\n")
                return None
            case Step.HELLO | Step.HELO_AFTER_EHLO:
                offered = step is Step.HELLO and reply.is_positive
                self.offers = parse_offers(reply.lines) if offered else _NO_OFFERS
                return Introduced(reply, self.offers)
            case Step.STARTTLS:
                self._quiet()
                return TlsAnswered(reply)
            case Step.AUTH:
                return self._auth_answered(reply)
            case _:
                self.closed = True
                return HungUp(reply)

    def _auth_answered(self, reply: PeerReply) -> ClientEvent | None:
        if not 300 <= reply.code < 400:
            return AuthAnswered(reply)
        self._auth_challenges += 1
        if reply.code != 334 or self._auth_challenges > AUTH_CHALLENGES_LIMIT:
            raise broken(f"{reply.code} in answer to AUTH" if reply.code != 334 else "AUTH without end")
        if self._auth_held_back is not None:
            response, self._auth_held_back = self._auth_held_back, None
            self.auth_response(response)
            return None
        try:
            return AuthChallenged(binascii.a2b_base64(reply.lines[0].strip(), strict_mode=True))
        except binascii.Error:
            return AuthChallenged(b"")  # old servers ask for LOGIN's two words in clear text

    def _reset_answered(self, reply: PeerReply) -> ClientEvent | None:
        if not reply.is_positive:
            raise broken("RSET was refused")
        self._left_open = False
        return self._next_command() if self._in_transaction else Reset(reply)

    def _mail_answered(self, reply: PeerReply) -> ClientEvent | None:
        self._mail_was_answered = True
        if reply.is_positive:
            self._left_open = True
            return self._next_command()
        self._mail_was_refused = True
        self._answers = list(self._all(Step.MAIL, reply))
        return self._over(self._decided()) if not self._awaited else None

    def _rcpt_answered(self, reply: PeerReply) -> ClientEvent | None:
        if not reply.is_positive and self._answers[self._rcpt_at] is None:
            self._answers[self._rcpt_at] = Answer(Step.RCPT, reply)
        self._rcpt_at += 1
        return self._next_command()

    def _data_answered(self, reply: PeerReply) -> ClientEvent | None:
        if not reply.code < 400:
            return self._over(self._all(Step.DATA, reply))
        accepted = self._accepted()
        if accepted:
            self._quiet()
            return ContentWanted(accepted)
        if self._mail_was_refused:
            raise broken("DATA agreed to without our MAIL")  # whose mail would it be?
        if self._lmtp:
            raise broken("DATA agreed to without recipients")  # RFC 2033 §4.2 forbids it
        self._say(Step.VOID_DATA, b".\r\n")
        return None

    def _end_answered(self, reply: PeerReply) -> ClientEvent | None:
        answer = Answer(Step.END_OF_DATA, reply)
        self._left_open = False
        if not self._lmtp:
            return self._over(tuple([a or answer for a in self._answers]))
        self._answers[self._ends.pop(0)] = answer
        return None if self._ends else self._over(self._decided())

    # -- within ---------------------------------------------------------------------------------

    def _next_command(self) -> ClientEvent | None:
        """One command at a time, for peers without PIPELINING; and the turn to BDAT after the last RCPT."""
        if self._awaited:
            return None
        accepted = self._accepted()
        if self._later and accepted:
            self._say(*self._later.popleft())
            return None
        self._later.clear()
        return ContentWanted(accepted) if accepted else self._over(self._decided())

    def _accepted(self) -> tuple[int, ...]:
        return tuple([n for n, answer in enumerate(self._answers) if answer is None])

    def _await_ends(self) -> None:
        self._ends = list(self._accepted()) if self._lmtp else []
        self._ends_wanted = len(self._ends)
        self._awaited.extend([Step.END_OF_DATA] * (len(self._ends) or 1))

    def _all(self, step: Step, reply: PeerReply) -> tuple[Answer, ...]:
        """The reply is about everybody who was not answered yet."""
        return tuple(answer or Answer(step, reply) for answer in self._answers)

    def _decided(self) -> tuple[Answer, ...]:
        return tuple(answer for answer in self._answers if answer is not None)

    def _over(self, answers: tuple[Answer, ...]) -> TransactionOver:
        self._in_transaction = False
        return TransactionOver(answers)

    def _say(self, step: Step, command: bytes) -> None:
        self._quiet()
        self._awaited.append(step)
        self._out += command

    def _quiet(self) -> None:
        """Nothing may have been said ahead of what we say now, nor ahead of a handshake."""
        if not self._reader.is_empty:
            raise broken("it speaks out of turn")
