"""Gateways that sync too little or promise too early: an explorer that finds nothing in one of them proves nothing.

`python -m powercut.mutants synchronous-off --config FILE run` is the gateway with one fault.
The product has no setting for any of this.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from crash.mutants import EarlyAcknowledgement, FourIsFine, LyingStore, SettledTooEarly, doctor, run_gateway

from gatepost.model.queued import Change
from gatepost.ports.store import Done


class _WithoutFileSyncs:
    """The module os, but a sync of a file does nothing."""

    def fsync(self, descriptor: int) -> None:
        """Directories only."""
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


def _synchronous(level: str) -> Callable[[], None]:
    def mutate() -> None:
        from gatepost.adapters import sqlite_store

        names = vars(sqlite_store)
        open_honestly = names["open_writer"]

        def open_careless(*places: Any, **wishes: Any) -> Any:
            database = open_honestly(*places, **wishes)
            database.execute(f"PRAGMA synchronous = {level}").fetchall()
            return database

        names["open_writer"] = open_careless

    return mutate


def _no_body_sync() -> None:
    from gatepost.adapters import bodies

    vars(bodies)["os"] = _WithoutFileSyncs()


def _no_directory_sync() -> None:
    from gatepost.adapters import bodies

    vars(bodies)["sync_directory"] = lambda _path: None


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    "synchronous-normal": _synchronous("NORMAL"),
    "synchronous-off": _synchronous("OFF"),
    "no-body-sync": _no_body_sync,
    "no-directory-sync": _no_directory_sync,
    "early-acknowledgement": lambda: doctor(EarlyAcknowledgement),
    "settled-too-early": lambda: doctor(SettledTooEarly),
    "four-is-fine": lambda: doctor(FourIsFine),
}
"""Each must be found as a mail that is lost or damaged."""


class DeafStore(LyingStore):
    """Says 250 whatever the disk says."""

    def accept(self, changes: Sequence[Change], done: Done | None) -> None:
        """The failure is kept from the caller."""
        told = done
        self._honest.commit(changes, None if told is None else lambda _error: told(None))


OF_FAULTS: Final[dict[str, Callable[[], None]]] = {"deaf-to-errors": lambda: doctor(DeafStore)}
"""Found by calls that fail (powercut.faults), not by a power cut."""


def main(arguments: Sequence[str]) -> None:
    """The gateway's command line with the fault named first."""
    {**MUTANTS, **OF_FAULTS}[arguments[0]]()
    run_gateway(arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
