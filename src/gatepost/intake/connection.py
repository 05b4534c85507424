"""One connection: bytes between the socket, TLS and the engine; deadlines; nothing is decided here.

The only part of a session that waits. Content goes through without a task or a future a
command; what has to wait (disk, DNS, a password) stops reading until it is there.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, cast

from gatepost.config.limit_settings import Limits
from gatepost.intake.conversation import Conversation
from gatepost.intake.limit_hit import LimitHit
from gatepost.intake.rates import Counted
from gatepost.intake.replies import EARLY, STOPPING, TIMED_OUT, TOO_LONG, TOO_SLOW
from gatepost.intake.reply_to_come import Answer, ReplyToCome
from gatepost.intake.session_notes import note_tls_failure
from gatepost.intake.transcript import command_text
from gatepost.model.fault import WorldFault, reply_for
from gatepost.model.reply import HANG_UP_CODES, Reply
from gatepost.ports.log import Counters, Log
from gatepost.ports.tls import TlsPump
from gatepost.protocol.events import BodyChunk, Pause, StartTls
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.records.wire_log import Transcript

WRITE_BUFFER_BYTES: Final = 64 * 1024
TIMER_S: Final = 15.0
"""Deadlines are looked at this often at the latest: a timer a session, not one a command."""
RATE_GRACE_S: Final = 30.0
TRACE_LIMIT_CHARACTERS: Final = 1000
_CLOSING_LINGER_S: Final = 5.0
_OTHER_OFFER: Final = (235, 220)
"""After AUTH and XCLIENT the client may do other things."""
_NEED_DATA: Final = Pause.NEED_DATA
_CONTENT_FOLLOWS: Final = 354
# What is waited for: the setting's name.
_COMMAND: Final = "command-timeout"
_DATA: Final = "data-timeout"
_HANDSHAKE: Final = "handshake-timeout"
_LINGER: Final = "linger"


class House(Protocol):
    """What a connection reports to: the listener."""

    counters: Counters
    log: Log

    def gone(self, connection: Connection) -> None:
        """The connection is over."""


class Connection(asyncio.Protocol):
    """The driver of one session."""

    __slots__ = (
        "_content_bytes",
        "_content_since",
        "_conversation",
        "_deadline",
        "_deadline_of",
        "_encrypted",
        "_engine",
        "_eof",
        "_greeted",
        "_greeting",
        "_house",
        "_limits",
        "_loop",
        "_out",
        "_pump",
        "_started",
        "_stopping",
        "_timer",
        "_transcript",
        "_transport",
        "_waiting",
        "_write_blocked",
    )

    def __init__(
        self,
        house: House,
        conversation: Conversation,
        engine: ServerEngine,
        *,
        pump: TlsPump | None = None,
        transcript: Transcript | None = None,
    ) -> None:
        """pump: for implicit TLS, the handshake comes before the greeting. transcript: the protocol log."""
        self._house = house
        self._conversation = conversation
        self._limits = limits = conversation.limits.limits
        self._engine = engine
        self._pump = pump
        self._transcript = transcript
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._greeting: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Future[object] | ReplyToCome | None = None
        self._out: list[bytes] = []
        self._started = self._loop.time()
        self._deadline = self._started + limits.command_timeout_s
        self._deadline_of = _COMMAND
        self._content_since, self._content_bytes = 0.0, 0  # of the content that comes now; 0.0: none does
        self._eof = self._stopping = self._write_blocked = self._greeted = self._encrypted = False

    # What the event loop tells us.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: the handshake of implicit TLS, or the greeting."""
        transport = cast(asyncio.Transport, transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        if self._transcript is not None:
            self._transcript.connected()
        self._timer = self._loop.call_later(self._patience(), self._look_at_the_clock)
        if self._pump is None:
            self._greet_later()
        else:
            self._expect(_HANDSHAKE)

    def begin(self, transport: asyncio.Transport, early: bytes) -> None:
        """As connection_made, behind a proxy's header. early: what the client said with it.

        A handshake belongs there; anything else was said before our greeting (threats C01, Q04).
        """
        if self._pump is None:
            self._engine.receive(early)
        self.connection_made(transport)
        if self._pump is not None and early:
            self.data_received(early)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client, in the clear or not."""
        if self._transport is None or self._engine.broke_off:
            return
        if self._pump is not None:
            data = self._decrypt(self._pump, data)
        if data:
            self._take(data)

    def eof_received(self) -> bool:
        """The client will say no more; what it said is still answered (threats A23)."""
        self._eof = True
        if self._waiting is None:
            self._close()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The end, whatever the reason."""
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._greeting is not None:
            self._greeting.cancel()
        self._conversation.over()
        if self._transcript is not None:
            self._transcript.disconnected()
        self._house.gone(self)

    def pause_writing(self) -> None:
        """The client does not read: say and read nothing more until it does (threats C06, G06)."""
        self._write_blocked = True
        if self._transport is not None:
            self._transport.pause_reading()
        self._expect(_COMMAND)

    def resume_writing(self) -> None:
        """It reads again."""
        self._write_blocked = False
        if self._waiting is None and self._transport is not None:
            self._transport.resume_reading()
            self._go_on()

    # What the listener tells us.

    def count_for(self, minute: Counted) -> None:
        """The rates of this source hold for the session."""
        self._conversation.limits.minute = minute

    def use_limits(self, limits: Limits) -> None:
        """Others are in force for strangers; a deadline under way comes no later than they say."""
        if self._conversation.is_spared:
            return
        self._limits = self._conversation.limits.limits = limits
        deadline = self._loop.time() + self._patience_with(self._deadline_of)
        if deadline < self._deadline and self._transport is not None and not self._transport.is_closing():
            self._expect(self._deadline_of)

    def stop(self) -> None:
        """Finish what is in hand, then say 421 and close (threats O25)."""
        self._stopping = True
        if self._deadline_of is _LINGER:
            self.abort()
        elif self._waiting is None and not self._engine.in_content and self._transport is not None:
            self._say_and_close(STOPPING)

    def abort(self) -> None:
        """Close now."""
        if self._transport is not None:
            self._transport.abort()

    # Inside.

    def _decrypt(self, pump: TlsPump, data: bytes) -> bytes:
        try:
            clear, answer = pump.receive(data)
        except WorldFault as fault:
            note_tls_failure(self._house.counters, self._house.log, self._conversation.session, fault.reason)
            alert = fault.facts.get("alert")
            if isinstance(alert, bytes) and alert and self._transport is not None:
                self._transport.write(alert)
            self._close()
            return b""
        if answer and self._transport is not None:
            self._transport.write(answer)
        if pump.established and not self._encrypted:
            self._tls_started(pump)
        if pump.peer_closed and self._transport is not None:
            # Whatever follows on the socket is not part of the session (threats C13).
            self._finish_after_tls(clear)
            return b""
        return clear

    def _finish_after_tls(self, clear: bytes) -> None:
        if clear and not self._engine.in_content:
            self._take(clear)
        self._eof = True
        if self._waiting is None:
            self._close()

    def _tls_started(self, pump: TlsPump) -> None:
        self._encrypted = True  # the session's TLS is its client's, which XCLIENT may take away
        implicit = not self._greeted
        info = pump.info
        self._conversation.tls_started(info)
        if self._transcript is not None:
            self._transcript.note(f"{info.version} {info.cipher}")
        self._house.counters.add("tls_sessions", version=info.version)
        self._engine.offer = self._conversation.offer
        self._engine.tls_started()
        self._expect(_COMMAND)
        if implicit:
            self._greet_later()

    def _greet_later(self) -> None:
        """With greet-delay, who cannot wait shows it now, before anything was spent on him (threats C01)."""
        if self._limits.greet_delay_s and not self._conversation.is_spared and not self._engine.spoke_early:
            self._greeting = self._loop.call_later(self._limits.greet_delay_s, self._greet)
        else:
            self._greet()

    def _greet(self) -> None:
        if self._greeted or self._transport is None or self._transport.is_closing():
            return
        self._greeted = True
        if self._engine.spoke_early:
            self._say_greeting(EARLY)
            return
        answer = self._conversation.greet()
        if isinstance(answer, Reply):
            self._say_greeting(answer)
        else:
            self._wait_for(answer, self._say_greeting)

    def _say_greeting(self, reply: object) -> None:
        assert isinstance(reply, Reply)
        if self._engine.spoke_early and (reply.is_positive or reply is EARLY):
            self._conversation.spoke_early(EARLY)
            reply = EARLY
        self._out.append(self._engine.greet(reply))
        self._flush()
        if not reply.is_positive:
            self._close()

    def _take(self, data: bytes) -> None:
        engine = self._engine
        if engine.in_content:
            self._expect(_DATA)
            if not self._content_since:
                self._content_since, self._content_bytes = self._loop.time(), 0
            self._content_bytes += len(data)
        engine.receive(data)
        if not self._greeted:
            self._greet()  # it did not wait: it is told so at once
            return
        if self._waiting is not None:
            if self._transport is not None:
                self._transport.pause_reading()  # no more than this piece, until the reply is there
        elif not self._write_blocked:
            self._go_on()

    def _go_on(self) -> None:
        """Answer what the engine has understood, until it needs more or we have to wait."""
        engine, conversation = self._engine, self._conversation
        while self._waiting is None and not self._write_blocked and self._transport is not None:
            event = engine.next_event()
            if type(event) is BodyChunk:
                slow = conversation.keep(event.data)
                if slow is not None:
                    self._wait_for(slow, None)
                continue
            if type(event) is Pause:
                if event is _NEED_DATA and not (self._eof or self._stopping):
                    self._flush()
                else:
                    self._pause(event)
                return
            if self._transcript is not None:
                self._transcript.asked(command_text(event))
            try:
                answer = conversation.answer(event)
            except Exception as error:  # noqa: BLE001  # the same edge, for what is answered at once
                answer = self._our_fault(error)
            if type(event) is StartTls:
                self._start_tls(answer)
                return
            if type(answer) is Reply:
                self._say(answer)
            elif type(answer) is ReplyToCome:
                self._waiting = answer
                answer.then(self._come)
            else:
                self._wait_for(answer, self._say)
        self._flush()

    def _pause(self, pause: Pause) -> None:
        self._flush()
        if pause is Pause.CLOSED or self._eof:
            self._close()
        elif self._stopping and not self._engine.in_content:
            self._say_and_close(STOPPING)

    def _come(self, answer: Answer) -> None:
        """The reply of which we knew that it would come, without a task."""
        self._waiting = None
        if type(answer) is not Reply:
            self._wait_for(answer, self._say)
        elif self._transport is not None:
            self._say(answer)
            self._read_on()

    def _read_on(self) -> None:
        if not self._write_blocked and self._transport is not None:
            self._transport.resume_reading()
            self._go_on()

    def _say(self, reply: object) -> None:
        assert type(reply) is Reply
        engine = self._engine
        self._out.append(engine.send(reply))
        if reply.code == _CONTENT_FOLLOWS and engine.in_content:
            self._content_since, self._content_bytes = self._loop.time(), 0
            self._expect(_DATA)
        else:
            self._content_since = 0.0
            self._expect(_COMMAND)
        if reply.code in _OTHER_OFFER:
            engine.offer = self._conversation.offer
            self._limits = self._conversation.limits.limits
        if self._conversation.wants_to_hang_up or reply.code in HANG_UP_CODES:
            self._flush()
            self._close()

    def _start_tls(self, answer: Answer) -> None:
        assert isinstance(answer, Reply)
        self._say(answer)
        self._flush()
        tls = self._conversation.tls_server
        if not answer.is_positive or tls is None or self._transport is None:
            return
        self._pump = tls.pump()
        self._expect(_HANDSHAKE)

    def _wait_for(self, awaitable: Awaitable[object], then: Callable[[object], None] | None) -> None:
        """Stop reading until it is done, then go on. The edge for our own bugs in a session."""
        if self._transport is not None:
            self._transport.pause_reading()
        future = awaitable if isinstance(awaitable, asyncio.Future) else asyncio.ensure_future(awaitable)
        self._waiting = future

        def done(finished: asyncio.Future[object]) -> None:
            self._waiting = None
            try:
                result = finished.result()
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # the edge of a session
                if finished.cancelled() and (self._transport is None or self._transport.is_closing()):
                    return  # the worker ends, and this session has: no bug, and nobody to answer
                result = self._our_fault(error)  # a bug never accepts a mail and never bounces one
            if self._transport is None:
                return
            if then is not None:
                then(result)
            self._read_on()

        future.add_done_callback(done)

    def _our_fault(self, error: BaseException) -> Reply:
        self._house.counters.add("bugs", place="intake")
        trace = "".join(traceback.format_exception(error))[-TRACE_LIMIT_CHARACTERS:]
        self._house.log.write("error", "bug", place="intake", error=repr(error), trace=trace)
        return reply_for(error)

    def _flush(self) -> None:
        if not self._out or self._transport is None:
            return
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        if self._transcript is not None:
            self._transcript.replied(data)
        if self._pump is not None and self._pump.established:
            try:
                data = self._pump.send(data)
            except WorldFault:
                self._transport.abort()
                return
        self._transport.write(data)

    def _say_and_close(self, reply: Reply) -> None:
        if self._pump is None or self._pump.established:
            self._out.append(reply.encode())
            self._flush()
        self._close()

    def _close(self) -> None:
        """At once; but who still sends content may go on for a while, and then reads why it was refused."""
        if self._transport is None:
            return
        if self._pump is not None and self._deadline_of is not _LINGER:
            self._transport.write(self._pump.close())
        if not self._engine.broke_off or self._eof or self._transport.is_closing():
            self._transport.close()
        elif self._deadline_of is not _LINGER:
            self._transport.write_eof()
        self._expect(_LINGER)

    def _expect(self, limit: str) -> None:
        """Set the deadline by a limit; the timer is moved only when it would come too late for it."""
        self._deadline_of = limit
        patience_s = self._limits.command_timeout_s if limit is _COMMAND else self._patience_with(limit)
        self._deadline = self._loop.time() + patience_s
        if patience_s < TIMER_S and self._timer is not None and self._timer.when() > self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_later(self._patience(), self._look_at_the_clock)

    def _patience_with(self, limit: str) -> float:
        if limit in (_COMMAND, _DATA):
            return self._limits.command_timeout_s if limit is _COMMAND else self._limits.data_timeout_s
        return self._limits.handshake_timeout_s if limit is _HANDSHAKE else _CLOSING_LINGER_S

    def _patience(self) -> float:
        ends_at = min(self._deadline, self._started + self._limits.session_timeout_s)
        return max(0.05, min(TIMER_S, ends_at - self._loop.time()))

    def _look_at_the_clock(self) -> None:
        if self._transport is None:
            return
        hit = self._overdue(self._loop.time())
        if hit is None:
            self._timer = self._loop.call_later(self._patience(), self._look_at_the_clock)
            return
        if self._deadline_of is not _LINGER:
            self._conversation.out_of_time(hit)
        if self._write_blocked or self._deadline_of is _LINGER:
            self._transport.abort()  # it reads nothing: nothing more can be told
        else:
            self._say_and_close(hit.reply)
            self._timer = self._loop.call_later(_CLOSING_LINGER_S, self.abort)

    def _overdue(self, now: float) -> LimitHit | None:
        if self._waiting is not None:
            return None  # it is we who take our time
        limits = self._limits
        if now >= self._deadline:
            patience_s = self._patience_with(self._deadline_of)
            return LimitHit(
                self._deadline_of, patience_s, round(now - self._deadline + patience_s, 1), TIMED_OUT
            )
        lasted_s = now - self._started
        if lasted_s >= limits.session_timeout_s:
            return LimitHit("session-timeout", limits.session_timeout_s, round(lasted_s, 1), TOO_LONG)
        elapsed_s = now - self._content_since
        if not (self._content_since and self._engine.in_content) or elapsed_s <= RATE_GRACE_S:
            return None
        rate_bytes = self._content_bytes / elapsed_s
        if rate_bytes >= limits.data_rate_bytes:
            return None
        return LimitHit("data-rate", limits.data_rate_bytes, round(rate_bytes, 1), TOO_SLOW)
