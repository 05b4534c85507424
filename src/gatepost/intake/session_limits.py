"""What one session has used of its limits, and which of them it reached. No I/O: the conversation tells and answers."""

from __future__ import annotations

from typing import Final

from gatepost.config.limit_settings import Limits
from gatepost.intake.limit_hit import LimitHit
from gatepost.intake.rates import Counted, Doing
from gatepost.model.reply import Reply

TOO_MANY_ERRORS: Final = Reply(
    421, "4.7.0", "Too many errors on this connection, closing transmission channel"
)
_TOO_MANY_MESSAGES: Final = Reply(421, "4.7.0", "Too many messages on this connection")
_TOO_MUCH: Final = Reply(421, "4.7.0", "Too much content on this connection")
_MESSAGES_TOO_OFTEN: Final = Reply(
    421, "4.4.2", "Message submission rate for this client has exceeded the configured limit"
)
_RECIPIENTS_TOO_OFTEN: Final = Reply(450, "4.7.1", "Too many recipients in a short time, try again later")
_UNKNOWN_TOO_OFTEN: Final = Reply(421, "4.7.0", "Too many unknown recipients, closing transmission channel")
SMALL_CHUNK_BYTES: Final = 512
"""A BDAT chunk that is smaller, and not the last, counts as an idle command."""


class SessionLimits:
    """The counts of one session.

    limits: those in force; set new ones when the connector's load or the client's standing changes.
    minute: the source's counts; None for clients that are spared.
    """

    __slots__ = ("_content_bytes", "_errors", "_held_back_s", "_junk", "_messages", "limits", "minute")

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.minute: Counted | None = None
        self._errors = self._junk = self._messages = self._content_bytes = 0
        self._held_back_s = 0.0

    def at_mail(self, declared_bytes: int, now: float) -> LimitHit | None:
        """The limit that one more message would exceed. now: monotonic seconds. declared_bytes: SIZE, 0 without."""
        limits = self.limits
        if self._messages >= limits.messages_per_session:
            return LimitHit(
                "messages-per-session", limits.messages_per_session, self._messages + 1, _TOO_MANY_MESSAGES
            )
        content_bytes = self._content_bytes + declared_bytes
        if content_bytes > limits.session_size_bytes:
            return LimitHit("session-size", limits.session_size_bytes, content_bytes, _TOO_MUCH)
        if self.minute is None:
            return None
        return self._rate(
            Doing.MESSAGES,
            "message-rate-per-source",
            limits.message_rate_per_source,
            _MESSAGES_TOO_OFTEN,
            now,
        )

    def at_rcpt(self, now: float) -> LimitHit | None:
        """The limit that one more recipient would exceed."""
        return self._rate(
            Doing.RECIPIENTS,
            "recipient-rate-per-source",
            self.limits.recipient_rate_per_source,
            _RECIPIENTS_TOO_OFTEN,
            now,
        )

    def at_unknown_recipient(self, now: float) -> LimitHit | None:
        """The limit that one more unknown recipient exceeds (threats F28)."""
        return self._rate(
            Doing.UNKNOWN,
            "unknown-rate-per-source",
            self.limits.unknown_rate_per_source,
            _UNKNOWN_TOO_OFTEN,
            now,
        )

    def message_begun(self) -> None:
        """MAIL was agreed to: what stands between two mails is nothing to count."""
        self._messages += 1
        self._junk = 0

    def content(self, size_bytes: int) -> None:
        """Octets of content came."""
        self._content_bytes += size_bytes

    def junk(self) -> bool:
        """A command that brings no mail forward. True: it counted as an error, after so many since the last MAIL."""
        self._junk += 1
        if self._junk <= self.limits.junk_commands:
            return False
        self._errors += 1
        return True

    def forgive(self) -> None:
        """The refusal that follows is no error."""
        self._errors -= 1

    def error(self) -> LimitHit | None:
        """One more error; the limit when that was one too many."""
        self._errors += 1
        return self.too_many_errors if self._errors > self.limits.errors_hard else None

    @property
    def too_many_errors(self) -> LimitHit | None:
        """The limit, when there was one error too many."""
        if self._errors <= self.limits.errors_hard:
            return None
        return LimitHit("errors-hard", self.limits.errors_hard, self._errors, TOO_MANY_ERRORS)

    @property
    def delay_s(self) -> float:
        """How long the next refusal is held back (threats 0.3, errors-soft)."""
        errors_s = self.limits.error_delay_s if self._errors > self.limits.errors_soft else 0.0
        return max(errors_s, self._held_back_s)

    def hold_back(self, delay_s: float) -> None:
        """How long refusals are held back at least from now on."""
        self._held_back_s = delay_s

    def _rate(self, doing: Doing, limit: str, value: int, reply: Reply, now: float) -> LimitHit | None:
        if self.minute is None or not value:
            return None
        actual = self.minute.add(doing, now)
        return LimitHit(limit, value, actual, reply) if actual > value else None
