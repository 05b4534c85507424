"""The server's side of SMTP: bytes in, events out, replies to bytes; who may say what is in smtp_states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gatepost.model.envelope import BodyType
from gatepost.model.fault import PeerFault
from gatepost.model.reply import HANG_UP_CODES, POSITIVE_BELOW, Reply
from gatepost.protocol import refusals
from gatepost.protocol.announcement import announced
from gatepost.protocol.data import FAR_TOO_LARGE_FACTOR, ContentMeter, DataFramer
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
    StartTls,
    Verb,
    Violation,
    XClient,
)
from gatepost.protocol.smtp_commands import (
    Command,
    cut_line,
    read_auth,
    read_auth_response,
    read_chunk_size,
    read_command,
    read_hello,
    read_mail,
    read_rcpt,
)
from gatepost.protocol.smtp_states import CELLS, IN_TRANSACTION, LAST_IN_GROUP, State
from gatepost.protocol.xclient import read_xclient

RECIPIENTS_OVERSHOOT: Final = 1000
"""Recipients above the limit that are no error yet: the client may not know it (RFC 5321 §4.5.3.1.10)."""
DRAIN_LIMIT_BYTES: Final = 64 << 20
"""Octets of a refused chunk that are read and thrown away when there is no size limit to go by."""

_WITHOUT_TLS: Final = frozenset({Verb.EHLO, Verb.HELO, Verb.STARTTLS, Verb.NOOP, Verb.RSET, Verb.QUIT})
"""Allowed before TLS where TLS is demanded (RFC 3207 §4)."""
_BARE_VERBS: Final = frozenset({Verb.DATA, Verb.RSET, Verb.QUIT, Verb.STARTTLS})
"""Verbs that take no argument (RFC 5321 §4.1.1, RFC 3207 §4)."""
_OFFERED: Final = frozenset({Verb.STARTTLS, Verb.AUTH, Verb.XCLIENT, Verb.BDAT, Verb.LAST})
"""Verbs of extensions: allowed where the offer has them."""
# Members by name: reading one off its class calls into enum every time, and this runs for every command.
_CONNECTED: Final = State.CONNECTED
_FRESH: Final = State.FRESH
_READY: Final = State.READY
_EXCHANGE: Final = State.EXCHANGE
_HANDSHAKE: Final = State.HANDSHAKE
_IN_DATA: Final = State.DATA
_CLOSED: Final = State.CLOSED
_DATA: Final = Verb.DATA
_BDAT: Final = Verb.BDAT
_MAIL: Final = Verb.MAIL
_RCPT: Final = Verb.RCPT
_EHLO: Final = Verb.EHLO
_QUIT: Final = Verb.QUIT
_AUTH: Final = Verb.AUTH
_STARTTLS: Final = Verb.STARTTLS
_VRFY: Final = Verb.VRFY
_XCLIENT: Final = Verb.XCLIENT
_HELLOS: Final = frozenset({Verb.EHLO, Verb.HELO})
_NEED_DATA: Final = Pause.NEED_DATA
_NEED_ANSWER: Final = Pause.NEED_ANSWER
_BINARY_MIME: Final = BodyType.BINARY_MIME
_DATA_EVENT: Final = Data()
_OUT_OF_TURN: Final = "commands behind one that must be waited for"


@dataclass(slots=True)
class _Chunk:
    """A BDAT whose octets are being read. refusal: they are thrown away, and this is said at the end."""

    size_bytes: int
    left_bytes: int
    is_last: bool
    refusal: Reply | None


class ServerEngine:
    """One SMTP conversation, server side (RFC 5321).

    The driver's loop: receive(bytes); while next_event() is not a Pause: answer it with
    send(reply) (BodyChunk needs none), write what send returned.

    Whether a transaction is open is the engine's to say: after a refused DATA, after
    EndOfData and after RSET or an accepted EHLO, `in_transaction` is False and the
    driver forgets what it has of it. A refused EHLO leaves it open (threats B17).
    """

    __slots__ = (
        "_at",
        "_authenticated",
        "_buffer",
        "_chunk",
        "_esmtp",
        "_framer",
        "_limits",
        "_mail",
        "_meter",
        "_must_wait",
        "_next",
        "_pending",
        "_recipients",
        "_refused_recipients",
        "_spoke_early",
        "_state",
        "_then",
        "_tls",
        "broke_off",
        "offer",
    )

    offer: Offer
    """Set a new one after STARTTLS, AUTH or a change of the connector."""
    broke_off: bool
    """We hung up inside of content: the client still sends, and looks for a reply when it is done."""

    def __init__(self, offer: Offer, limits: EngineLimits, *, tls: bool = False) -> None:
        """tls: the connection began with TLS (implicit TLS, RFC 8314)."""
        self.offer = offer
        self.broke_off = False
        self._limits = limits
        self._tls = tls
        self._buffer = b""
        self._at = 0
        self._state = _CONNECTED
        self._pending: Event | None = None
        self._next: Event | None = None
        """An event that is known already but must come after the one before it."""
        self._then = _CONNECTED
        """Where a positive answer to the pending event leads."""
        self._must_wait = False
        """The client has to wait for the answer to the pending event before it says more."""
        self._spoke_early = False
        self._esmtp = False
        self._authenticated = False
        self._mail: Mail | None = None
        """The accepted MAIL of the transaction; what it asked for holds for all that follows."""
        self._recipients = 0
        self._refused_recipients = 0
        self._chunk: _Chunk | None = None
        self._meter = _NO_CONTENT
        self._framer = _NO_DATA

    # What the driver says.

    def greet(self, reply: Reply) -> bytes:
        """The first thing said: 220, or 421/554 and the engine is closed."""
        self._state = _FRESH if reply.is_positive else _CLOSED
        if self._spoke_early:
            self._next = _violation(refusals.SPOKE_BEFORE_GREETING, "spoke before the greeting", closes=True)
        return reply.encode()

    def ehlo_reply(self, greeting: str) -> Reply:
        """The 250 to EHLO with everything the offer announces now; greeting stands behind our name."""
        return announced(self.offer, greeting, tls=self._tls, authenticated=self._authenticated)

    def receive(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._state is _CONNECTED:
            self._spoke_early = self._spoke_early or bool(data)
        elif self._state is not _CLOSED:
            self._buffer = self._buffer[self._at :] + data
            self._at = 0

    def next_event(self) -> Event | Pause:
        """The next thing the client did."""
        if self._pending is not None:
            return _NEED_ANSWER
        state = self._state
        if state is _CLOSED:
            return Pause.CLOSED
        event: Event | None
        try:
            if self._next is not None:
                event, self._next = self._next, None
            elif state is _IN_DATA:
                event = self._read_data()
            elif self._chunk is not None:
                event = self._read_chunk(self._chunk)
            elif self._at >= len(self._buffer) or state is _HANDSHAKE or state is _CONNECTED:
                return _NEED_DATA
            else:
                event = self._read_response() if state is _EXCHANGE else self._read_command()
        except PeerFault as fault:
            closes = isinstance(fault, refusals.BrokenFraming)
            event = _violation(fault.reply, fault.reason, closes=closes)
        if event is None:
            return _NEED_DATA
        if type(event) is not BodyChunk:
            self._pending = event
        return event

    def send(self, reply: Reply) -> bytes:
        """Answer the pending event; the bytes for the wire. Raises ValueError when there is none."""
        event, self._pending = self._pending, None
        if event is None:
            raise ValueError("there is nothing to answer")
        if reply.code in HANG_UP_CODES or (type(event) is Violation and event.closes):
            self._close()
        else:
            self._answered(event, reply)
            if self._must_wait and self._at < len(self._buffer) and self._state is not _HANDSHAKE:
                self._next = _violation(refusals.SPOKE_OUT_OF_TURN, _OUT_OF_TURN, closes=True)
            self._must_wait = False
        return reply.encode()

    def tls_started(self) -> None:
        """The handshake is done: as after connecting, without a banner (RFC 3207 §4.2)."""
        self._tls = True
        self._buffer, self._at = b"", 0
        self._pending = self._next = None
        self._esmtp = self._authenticated = self._must_wait = False
        self._forget_transaction()
        if self._state is not _CONNECTED:
            self._state = _FRESH

    # What the driver may ask.

    @property
    def state(self) -> State:
        """Where the conversation is, by the table."""
        return self._state

    @property
    def buffered_bytes(self) -> int:
        """Octets received and not yet consumed: 0 before a handshake, or it is refused (D01)."""
        return len(self._buffer) - self._at

    @property
    def in_transaction(self) -> bool:
        """Between an accepted MAIL and its end."""
        return self._state in IN_TRANSACTION

    @property
    def in_content(self) -> bool:
        """Inside DATA or a BDAT chunk."""
        return self._state is _IN_DATA or self._chunk is not None

    @property
    def spoke_early(self) -> bool:
        """The client sent something before it was greeted; that is never read (threats C01)."""
        return self._spoke_early

    # Reading.

    def _read_command(self) -> Event | None:
        line = self._cut(self._limits.command_line_bytes)
        if line is None:
            return None
        command = read_command(line)
        verb = command.verb
        if verb is _BDAT:
            return self._begin_chunk(command)
        # PIPELINING was announced to a client that said EHLO (RFC 2920 §3.1), and to no other.
        must_wait = self._must_wait = verb in LAST_IN_GROUP or not (self._esmtp and self.offer.pipelining)
        if must_wait and self._at < len(self._buffer) and verb is not _QUIT:
            return _violation(refusals.SPOKE_OUT_OF_TURN, _OUT_OF_TURN, closes=True)
        return self._understand(command)

    def _cut(self, limit_bytes: int, too_long: Reply = refusals.LINE_TOO_LONG) -> bytes | None:
        if self.offer.auth and self._buffer[self._at : self._at + 5].upper() == b"AUTH ":
            limit_bytes, too_long = self._limits.auth_line_bytes, refusals.AUTH_LINE_TOO_LONG
        line = cut_line(self._buffer, self._at, limit_bytes, too_long)
        if line is not None:
            self._at += len(line) + 2
        return line

    def _understand(self, command: Command) -> Event:
        verb, argument = command.verb, command.argument
        if verb in _BARE_VERBS and argument:
            return _violation(refusals.NO_ARGUMENT, "an argument where none may be")
        if (refusal := self._not_now(verb)) is not None:
            return _violation(refusal, f"{verb.name} not allowed now")
        if verb is _MAIL:
            return read_mail(argument, self.offer, tls=self._tls)
        if verb is _RCPT:
            return self._read_recipient(argument)
        if verb is _DATA:
            return _DATA_EVENT
        if verb in _HELLOS:
            return read_hello(command)
        if verb is _AUTH:
            return read_auth(argument, self.offer)
        if verb is _XCLIENT:
            return read_xclient(argument, self.offer)
        if verb is _VRFY and not argument:
            return _violation(refusals.VRFY_SYNTAX, "VRFY without a name")
        return StartTls() if verb is _STARTTLS else Other(verb, argument)

    def _read_recipient(self, argument: str) -> Event:
        if self._recipients >= self.offer.recipients:
            self._refused_recipients += 1
            return Violation(
                refusals.TOO_MANY_RECIPIENTS,
                "more recipients than the limit",
                counts=self._refused_recipients > RECIPIENTS_OVERSHOOT,
            )
        return read_rcpt(argument, self.offer, utf8=self._mail is not None and self._mail.smtputf8)

    def _read_response(self) -> Event | None:
        line = self._cut(self._limits.auth_line_bytes, refusals.AUTH_LINE_TOO_LONG)
        if line is None:
            return None
        self._must_wait = True
        if self.buffered_bytes:
            return _violation(refusals.SPOKE_OUT_OF_TURN, _OUT_OF_TURN, closes=True)
        return AuthResponse(read_auth_response(line))

    def _read_data(self) -> Event | None:
        data = self._buffer[self._at :]
        if not data:
            return None
        self._buffer, self._at = b"", 0
        framed = self._framer.feed(data)
        if framed.rest is None:
            return BodyChunk(framed.content) if framed.content else None
        self._buffer = framed.rest
        self._then = _READY
        end = EndOfData(self._meter.form, self._meter.refusal)
        if not framed.content:
            return end
        self._next = end
        return BodyChunk(framed.content)

    # Chunks. Their octets are read whatever we think of them: they are never commands (threats C09).

    def _begin_chunk(self, command: Command) -> Event | None:
        size = read_chunk_size(command.argument)
        refusal = self._not_now(Verb.LAST if size.is_last else Verb.BDAT)
        before = self._meter.size_bytes if refusal is None else 0
        limit_bytes = FAR_TOO_LARGE_FACTOR * self.offer.size_bytes
        if refusal is not None and not limit_bytes:
            limit_bytes = DRAIN_LIMIT_BYTES
        self._chunk = _Chunk(size.size_bytes, size.size_bytes, size.is_last, refusal)
        if limit_bytes and before + size.size_bytes > limit_bytes:
            return _violation(
                refusals.FAR_TOO_LARGE, "a chunk of more than twice the size limit", closes=True
            )
        return self._read_chunk(self._chunk)

    def _read_chunk(self, chunk: _Chunk) -> Event | None:
        if chunk.left_bytes:
            data = self._buffer[self._at : self._at + chunk.left_bytes]
            self._at += len(data)
            chunk.left_bytes -= len(data)
            if chunk.refusal is None and data and (content := self._meter.take(data)):
                return BodyChunk(content)
        if chunk.left_bytes:
            return None
        self._chunk = None
        return self._chunk_complete(chunk)

    def _chunk_complete(self, chunk: _Chunk) -> Event:
        if chunk.refusal is not None:
            return _violation(chunk.refusal, "BDAT not allowed now")
        refusal = self._meter.refusal
        if chunk.is_last or refusal is not None:
            self._then = _READY
            return EndOfData(self._meter.form, refusal, by_bdat=True)
        return BdatChunk(chunk.size_bytes)

    # Deciding.

    def _not_now(self, verb: Verb) -> Reply | None:
        """Why the command is refused here, or None; then `_then` is where it leads."""
        if self.offer.tls_needed and not self._tls and verb not in _WITHOUT_TLS:
            return refusals.TLS_NEEDED
        if verb in _OFFERED and (refusal := self._not_offered(verb)) is not None:
            return refusal
        state = self._state
        if state is _FRESH and verb is _MAIL and not self.offer.helo_needed:
            state = _READY
        then = CELLS[state, verb]
        if then is None:
            return _out_of_sequence(state, verb)
        if verb is _DATA and self._mail is not None and self._mail.body is _BINARY_MIME:
            return refusals.NEEDS_BDAT
        self._then = then
        return None

    def _not_offered(self, verb: Verb) -> Reply | None:
        offer = self.offer
        match verb:
            case Verb.STARTTLS:
                if self._tls:
                    return refusals.TLS_ALREADY
                return None if offer.starttls else refusals.NOT_IMPLEMENTED
            case Verb.AUTH if self._authenticated:
                return refusals.AUTH_ALREADY
            case Verb.AUTH if not offer.auth:
                in_clear = offer.auth_under_tls and not self._tls
                return refusals.AUTH_NEEDS_TLS if in_clear else refusals.NOT_IMPLEMENTED
            case Verb.XCLIENT if not offer.xclient:
                return refusals.NOT_PERMITTED
            case Verb.BDAT | Verb.LAST if not offer.chunking:
                return refusals.NOT_IMPLEMENTED
        return None

    # Remembering.

    def _answered(self, event: Event, reply: Reply) -> None:
        kind = type(event)
        if self._state is _EXCHANGE or kind is Auth:
            self._exchanged(event, reply)
        elif kind is Violation:
            pass  # nothing changes
        elif reply.code < POSITIVE_BELOW:
            self._state = self._then
            self._keep(event)
        elif kind is Data or kind is BdatChunk or kind is EndOfData:
            self._state = _READY
        if self._state not in IN_TRANSACTION:
            self._forget_transaction()

    def _exchanged(self, event: Event, reply: Reply) -> None:
        """AUTH, or what came inside its exchange: a response, a cancel, or a line that is neither."""
        if isinstance(event, (Auth, AuthResponse)):
            self._state = _EXCHANGE if reply.code == 334 else _READY
            self._authenticated = reply.code == 235
        else:
            self._state = _READY

    def _keep(self, event: Event) -> None:
        """What the state does not tell: who says hello, what MAIL asked for, how many recipients."""
        match event:
            case Rcpt():
                self._recipients += 1
            case Mail():
                self._mail = event
                self._meter = self._new_meter(event)
            case Data():
                self._framer = DataFramer(self._meter, normalize=self.offer.normalize_newlines)
            case Hello():
                self._esmtp = event.verb is _EHLO
                self._forget_transaction()
            case XClient():
                self._esmtp = self._authenticated = False

    def _new_meter(self, mail: Mail) -> ContentMeter:
        has_lines = mail.body is not _BINARY_MIME
        return ContentMeter(
            size_limit_bytes=self.offer.size_bytes,
            line_limit_bytes=self._limits.text_line_bytes if has_lines else None,
        )

    def _forget_transaction(self) -> None:
        self._mail = None
        self._recipients = self._refused_recipients = 0
        self._chunk = None
        self._meter, self._framer = _NO_CONTENT, _NO_DATA

    def _close(self) -> None:
        self.broke_off = self._state is _IN_DATA or self._chunk is not None
        self._state = _CLOSED
        self._buffer, self._at = b"", 0
        self._next = None
        self._forget_transaction()


_NO_CONTENT: Final = ContentMeter(size_limit_bytes=0, line_limit_bytes=None)
_NO_DATA: Final = DataFramer(_NO_CONTENT)


def _out_of_sequence(state: State, verb: Verb) -> Reply:
    if state is _FRESH:
        return refusals.SAY_HELLO_FIRST
    if state is State.MAIL and verb in (Verb.DATA, Verb.BDAT, Verb.LAST):
        return refusals.NO_VALID_RECIPIENTS
    return refusals.BAD_SEQUENCE


def _violation(reply: Reply, what: str, *, closes: bool = False) -> Violation:
    return Violation(reply, what, closes=closes)
