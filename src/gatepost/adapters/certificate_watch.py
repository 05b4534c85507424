"""Looks after our certificates: takes new ones over, tells of broken ones and of those that end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from gatepost.adapters.certificates import Pair
from gatepost.adapters.file_mark import FileMark, marks_of
from gatepost.config.certificates import dns_names, first_certificate, issuer_of
from gatepost.model.certificate import OwnCertificate
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Counters, Log

DAY_S: Final = 86400.0
ERROR_DAYS: Final = (7, 1, 0)
"""So many days before its end a certificate is spoken of again, once each; 0: it has ended (threats D21)."""
RECEIVE: Final = "receive"
SEND: Final = "send"


class Watched(Protocol):
    """The certificates of one connector."""

    def refresh(self, now: float) -> bool:
        """Take over what has changed on disk; True when something had. Raises WorldFault: the old ones stay."""

    def shown(self) -> Iterator[OwnCertificate]:
        """Those in force."""


class WatchedContext(Protocol):
    """What one certificate is used by."""

    @property
    def names(self) -> Sequence[str]:
        """DNS names it is for."""

    @property
    def issuer(self) -> str:
        """Who signed it."""

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


class Door:
    """Of a receive connector."""

    def __init__(self, name: str, tls: WatchedTls) -> None:
        self._name, self._tls = name, tls

    def refresh(self, now: float) -> bool:
        """As ServerTls does it."""
        return self._tls.refresh(now)

    def shown(self) -> Iterator[OwnCertificate]:
        """In the order of the setting, the connector's own first."""
        for pair, context in zip(self._tls.pairs, self._tls.contexts, strict=True):
            yield OwnCertificate(
                direction=RECEIVE,
                connector=self._name,
                file=pair.certificate_file,
                names=tuple(context.names),
                issuer=context.issuer,
                expires_at=context.expires_at,
            )


class WayOut:
    """The certificate a send connector shows: each connection loads it by itself, here only its dates are read."""

    def __init__(self, name: str, file: str) -> None:
        self._name, self._file = name, file
        self._seen: tuple[FileMark, ...] = ()
        self._shown: OwnCertificate | None = None
        with contextlib.suppress(WorldFault):  # it is told of at the looks
            self.refresh(0.0)

    def refresh(self, now: float) -> bool:  # noqa: ARG002  # an expired one is told of like any other
        """Read it again when it has changed."""
        seen = marks_of((self._file,))
        if seen == self._seen:
            return False
        self._shown = self._read()
        self._seen = seen
        return True

    def shown(self) -> Iterator[OwnCertificate]:
        """It, when it can be read."""
        if self._shown is not None:
            yield self._shown

    def _read(self) -> OwnCertificate:
        try:
            certificate = first_certificate(self._file)
            names = dns_names(certificate)
        except (OSError, ValueError) as error:
            raise WorldFault(f"certificate {self._file} cannot be used: {error}", file=self._file) from error
        return OwnCertificate(
            direction=SEND,
            connector=self._name,
            file=self._file,
            names=names,
            issuer=issuer_of(certificate),
            expires_at=certificate.not_valid_after_utc.timestamp(),
        )


class CertificateWatch:
    """Of one worker. doors, ways: by the connector's name; ways are files.

    warning_s: how long before its end a certificate is spoken of first.
    """

    def __init__(
        self,
        doors: Mapping[str, WatchedTls],
        ways: Mapping[str, str] | None = None,
        *,
        warning_s: float,
        log: Log,
        counters: Counters,
    ) -> None:
        self._watched: dict[tuple[str, str], Watched] = {
            (RECEIVE, name): Door(name, tls) for name, tls in doors.items()
        }
        for name, file in (ways or {}).items():
            self._watched[SEND, name] = WayOut(name, file)
        self._days = (warning_s / DAY_S, *(days for days in ERROR_DAYS if days * DAY_S < warning_s))
        self._log = log
        self._counters = counters
        self._failing: dict[tuple[str, str], tuple[str, int]] = {}
        self._told: dict[tuple[str, str, str], tuple[float, float]] = {}

    def look(self, now: float) -> None:
        """To be called at start and about once a second, in a thread if need be. now: seconds since the epoch."""
        for key, watched in self._watched.items():
            self._take_over(key, watched, now)
            self._tell_of_ends(key, watched, now)

    def shown(self) -> tuple[OwnCertificate, ...]:
        """Every certificate in force."""
        return tuple(one for watched in self._watched.values() for one in watched.shown())

    def _take_over(self, key: tuple[str, str], watched: Watched, now: float) -> None:
        direction, name = key
        try:
            is_new = watched.refresh(now)
        except WorldFault as fault:
            self._alarm(key, fault.reason)
            return
        self._failing.pop(key, None)
        self._counters.set("certificate_failed", 0, connector=name, direction=direction)
        if is_new:
            files = ", ".join(one.file for one in watched.shown())
            self._log.write("info", "certificate-read", connector=name, direction=direction, files=files)

    def _alarm(self, key: tuple[str, str], reason: str) -> None:
        """Told at the second look: at the first, certificate and key may be on their way one after the other."""
        direction, name = key
        before, looks = self._failing.get(key, ("", 0))
        looks = looks + 1 if reason == before else 1
        self._failing[key] = (reason, looks)
        if looks == 2:
            self._counters.set("certificate_failed", 1, connector=name, direction=direction)
            stays = (
                "the old certificate stays in force" if direction == RECEIVE else "nothing is sent with it"
            )
            self._log.write(
                "error",
                "certificate-failed",
                connector=name,
                direction=direction,
                reason=reason,
                consequence=stays,
            )

    def _tell_of_ends(self, key: tuple[str, str], watched: Watched, now: float) -> None:
        shown = tuple(watched.shown())
        if not shown:
            return
        direction, name = key
        first = min(one.expires_at for one in shown)
        ends_soon = (first - now) / DAY_S <= self._days[0]
        self._counters.set("certificate_expires", first, connector=name, direction=direction)
        self._counters.set("certificate_warning", float(ends_soon), connector=name, direction=direction)
        if ends_soon:
            for one in shown:
                self._tell_of_end(one, days=(one.expires_at - now) / DAY_S)

    def _tell_of_end(self, one: OwnCertificate, *, days: float) -> None:
        reached = [limit for limit in self._days if days <= limit]
        if not reached:
            return
        key = (one.direction, one.connector, one.file)
        told_end, told_days = self._told.get(key, (0.0, self._days[0] + 1))
        if told_end == one.expires_at and told_days <= reached[-1]:
            return
        self._told[key] = (one.expires_at, reached[-1])
        self._log.write(
            "error" if reached[-1] <= ERROR_DAYS[0] else "warning",
            "certificate-expired" if days <= 0 else "certificate-expires",
            connector=one.connector,
            direction=one.direction,
            file=one.file,
            days=max(0, round(days)),
        )
