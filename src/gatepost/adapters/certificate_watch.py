"""Looks after the certificates of the doors: takes new ones over, tells of broken ones and of those that end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from gatepost.adapters.certificates import Pair
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Counters, Log

DAY_S: Final = 86400.0
EXPIRY_DAYS: Final = (21, 7, 1, 0)
"""So many days before its end a certificate is spoken of, once each; 0: it has ended (threats D21)."""


class WatchedContext(Protocol):
    """What one certificate is used by."""

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch."""


class WatchedTls(Protocol):
    """The TLS of one door, as far as its certificates go: adapters.tls.ServerTls."""

    @property
    def pairs(self) -> Sequence[Pair]:
        """The files."""

    @property
    def contexts(self) -> Sequence[WatchedContext]:
        """In the order of `pairs`."""

    def refresh(self, now: float) -> bool:
        """Load again what has changed; True when it is in force. Raises WorldFault."""


class CertificateWatch:
    """Of one worker. doors: by the receive connector's name."""

    def __init__(self, doors: Mapping[str, WatchedTls], *, log: Log, counters: Counters) -> None:
        self._doors = dict(doors)
        self._log = log
        self._counters = counters
        self._failing: dict[str, tuple[str, int]] = {}
        self._told: dict[tuple[str, str], tuple[float, int]] = {}

    def look(self, now: float) -> None:
        """To be called at start and about once a second, in a thread if need be. now: seconds since the epoch."""
        for name, tls in self._doors.items():
            self._take_over(name, tls, now)
            self._tell_of_ends(name, tls, now)

    def _take_over(self, name: str, tls: WatchedTls, now: float) -> None:
        try:
            is_new = tls.refresh(now)
        except WorldFault as fault:
            self._alarm(name, fault.reason)
            return
        self._failing.pop(name, None)
        self._counters.set("certificate_failed", 0, connector=name)
        if is_new:
            files = ", ".join(pair.certificate_file for pair in tls.pairs)
            self._log.write("info", "certificate-read", connector=name, files=files)

    def _alarm(self, name: str, reason: str) -> None:
        """Told at the second look: at the first, certificate and key may be on their way one after the other."""
        before, looks = self._failing.get(name, ("", 0))
        looks = looks + 1 if reason == before else 1
        self._failing[name] = (reason, looks)
        if looks == 2:
            self._counters.set("certificate_failed", 1, connector=name)
            self._log.write(
                "error",
                "certificate-failed",
                connector=name,
                reason=reason,
                consequence="the old certificate stays in force",
            )

    def _tell_of_ends(self, name: str, tls: WatchedTls, now: float) -> None:
        ends = [context.expires_at for context in tls.contexts]
        self._counters.set("certificate_expires", min(ends), connector=name)
        for pair, end in zip(tls.pairs, ends, strict=True):
            self._tell_of_end(name, pair.certificate_file, end, days=(end - now) / DAY_S)

    def _tell_of_end(self, name: str, file: str, end: float, *, days: float) -> None:
        reached = [limit for limit in EXPIRY_DAYS if days <= limit]
        if not reached:
            return
        told_end, told_days = self._told.get((name, file), (0.0, EXPIRY_DAYS[0] + 1))
        if told_end == end and told_days <= reached[-1]:
            return
        self._told[name, file] = (end, reached[-1])
        self._log.write(
            "error" if reached[-1] <= 7 else "warning",
            "certificate-expired" if days <= 0 else "certificate-expires",
            connector=name,
            file=file,
            days=max(0, round(days)),
        )
