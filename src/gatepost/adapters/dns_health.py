"""Which name server is asked first, and what is done while none of them answers (RFC 1035 §7.2, threats M01)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

from gatepost.adapters.dns_udp import NameServer
from gatepost.ports.log import Log

Order = Literal["fastest", "listed"]
AVOID_S: Final = 10.0
"""How long a silent server is asked last."""
SLOWEST_S: Final = 10.0
_NEW_SHARE: Final = 0.3
"""What one answer counts in the usual time of a server."""
_FADING: Final = 0.98
"""What is known of a server fades with each answer of another, so that it is tried again."""
SUSPECT_AFTER: Final = 10
"""Questions in a row to which no server said a word: then one is asked that every server can answer."""
PROBE_S: Final = 1.0
"""While all are silent, that question is asked this often, and no other."""


def in_order(servers: Sequence[NameServer], now: float, order: Order) -> list[NameServer]:
    """Those that answer, then those whose word on DNSSEC counts, then by their usual time or as they are listed."""
    if len(servers) == 1:
        return list(servers)
    if order == "listed":
        return sorted(servers, key=lambda server: server.avoid_until > now)
    return sorted(servers, key=lambda s: (s.avoid_until > now, not s.trust_ad, s.usual_s))


def answered(server: NameServer, others: Sequence[NameServer], took_s: float) -> None:
    """It took so long. A server nobody asked yet has a usual time of 0: it is asked next."""
    server.avoid_until = 0.0
    server.usual_s += _NEW_SHARE * (took_s - server.usual_s) if server.usual_s else took_s
    if len(others) > 1:
        for other in others:
            if other is not server:
                other.usual_s *= _FADING


def was_silent(server: NameServer, waited_s: float, now: float) -> None:
    """It did not answer for so long."""
    server.avoid_until = now + AVOID_S
    server.usual_s = min(max(2 * server.usual_s, waited_s), SLOWEST_S)


class Silence:
    """Whether all servers are silent: then questions end at once, until a probe is answered.

    Else each mail would wait for each of its questions, and what waits would pile up. A probe is a question
    that every server can answer: that nobody answers for some names says nothing of the servers.
    """

    __slots__ = ("_heard_at", "_log", "_patience_s", "_probed_at", "_unanswered", "began_at")

    def __init__(self, patience_s: float, log: Log | None = None) -> None:
        self._patience_s = patience_s
        self._log = log
        self._heard_at = self._probed_at = float("-inf")
        self._unanswered = 0
        self.began_at: float | None = None
        """When it was noticed (monotonic); None: a server answers."""

    @property
    def is_there(self) -> bool:
        """No question is sent but the probe."""
        return self.began_at is not None

    def wants_probe(self, now: float) -> bool:
        """Whether it is time to ask one; that it is asked is noted."""
        if self._unanswered < SUSPECT_AFTER or now < self._probed_at + PROBE_S:
            return False
        self._probed_at = now
        return True

    def heard(self, now: float) -> None:
        """A server said something, be it that it does not know."""
        self._heard_at = now
        self._unanswered = 0
        if self.began_at is not None:
            self._tell("info", "dns-answers-again", silent_s=round(now - self.began_at))
            self.began_at = None

    def not_heard(self, asked_at: float, now: float, *, is_probe: bool) -> None:
        """A question came to its end without a word from anybody."""
        if asked_at < self._heard_at:
            return  # somebody was heard meanwhile
        self._unanswered += 1
        if is_probe and self.began_at is None and self._unanswered > SUSPECT_AFTER:
            self.began_at = now
            self._tell("error", "dns-is-silent", questions=self._unanswered, patience_s=self._patience_s)

    def _tell(self, level: str, event: str, **facts: object) -> None:
        if self._log is not None:
            self._log.write(level, event, **facts)
