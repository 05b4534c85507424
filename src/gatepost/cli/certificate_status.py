"""The certificates in force, for `gatepost status`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from gatepost.cli.output import say, say_table, when
from gatepost.control.commands import CertificateState, WorkerStatus

DAY_S: Final = 86400.0
_HEADS: Final = ("CERTIFICATE", "SHOWN BY", "ISSUER", "ENDS", "DAYS")
_NAMES_SHOWN: Final = 3


def certificates_of(workers: Sequence[WorkerStatus]) -> list[CertificateState]:
    """Each once: workers that took a new file over in different seconds show both."""
    found = dict.fromkeys(one for worker in workers for one in worker.certificates)
    return sorted(found, key=lambda one: one.expires_at)


def say_certificates(workers: Sequence[WorkerStatus], *, now: float, warning_s: float) -> None:
    """A table, and a line for each that ends within warning_s."""
    shown = certificates_of(workers)
    if not shown:
        return
    say()
    say_table(_HEADS, [_row(one, now) for one in shown], empty="")
    for line in _ends(shown, now, warning_s):
        say(line)
    say()


def certificate_json(one: CertificateState, now: float) -> dict[str, object]:
    """The same words as in the table."""
    return {
        "direction": one.direction,
        "connector": one.connector,
        "file": one.file,
        "names": list(one.names),
        "issuer": one.issuer,
        "expires": when(one.expires_at),
        "days_left": _days(one, now),
    }


def _row(one: CertificateState, now: float) -> tuple[object, ...]:
    names = ", ".join(one.names[:_NAMES_SHOWN]) or "(no name)"
    more = f" (+{len(one.names) - _NAMES_SHOWN})" if len(one.names) > _NAMES_SHOWN else ""
    return (
        f"{names}{more}",
        f"{one.direction} {one.connector}",
        one.issuer,
        when(one.expires_at),
        _days(one, now),
    )


def _days(one: CertificateState, now: float) -> int:
    return math.floor((one.expires_at - now) / DAY_S)


def _ends(shown: Sequence[CertificateState], now: float, warning_s: float) -> Iterator[str]:
    for one in shown:
        if one.expires_at <= now:
            yield f"the certificate {one.file} of {one.direction} connector {one.connector} has ended"
        elif one.expires_at - now <= warning_s:
            yield (
                f"the certificate {one.file} of {one.direction} connector {one.connector} ends in "
                f"{_days(one, now)} days: put a new one in its place"
            )
