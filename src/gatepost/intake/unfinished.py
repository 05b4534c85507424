"""How much of unfinished messages lies in files: bounded, so that slow senders cannot fill the disk (threats G05)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from gatepost.intake.limit_hit import LimitHit
from gatepost.model.content import SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.store import BodySpool

TOO_MUCH: Final = Reply(452, "4.3.1", "Too much mail is coming in at once, try again later")


class Unfinished:
    """Opens the files of large messages of one worker. open_file: makes one. limit_bytes: of all of them."""

    def __init__(self, open_file: Callable[[], BodySpool], limit_bytes: int) -> None:
        self._open_file = open_file
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()  # files are written in threads
        self.held_bytes = 0

    def open(self) -> BodySpool:
        """A file that counts. Raises WorldFault."""
        return _Counted(self._open_file(), self)

    def take(self, size_bytes: int) -> None:
        """More octets are to be written. Raises WorldFault (452) when that would be too many."""
        with self._lock:
            wanted = self.held_bytes + size_bytes
            if wanted > self._limit_bytes:
                raise WorldFault("too much unfinished mail", TOO_MUCH, held_bytes=self.held_bytes)
            self.held_bytes = wanted

    def give_back(self, size_bytes: int) -> None:
        """They are finished, or gone."""
        with self._lock:
            self.held_bytes -= size_bytes

    @property
    def hit(self) -> LimitHit:
        """What TOO_MUCH stands for."""
        return LimitHit("intake.unfinished", self._limit_bytes, self.held_bytes, TOO_MUCH)


class _Counted:
    """One file of an unfinished message."""

    def __init__(self, file: BodySpool, unfinished: Unfinished) -> None:
        self._file = file
        self._unfinished = unfinished
        self._bytes = 0

    def write(self, data: bytes) -> None:
        self._unfinished.take(len(data))
        self._bytes += len(data)
        self._file.write(data)

    def keep(self) -> SpooledBody:
        kept = self._file.keep()
        self._give_back()
        return kept

    def discard(self) -> None:
        self._give_back()
        self._file.discard()

    def _give_back(self) -> None:
        size_bytes, self._bytes = self._bytes, 0
        self._unfinished.give_back(size_bytes)
