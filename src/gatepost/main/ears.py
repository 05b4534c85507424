"""How a process without an event loop waits: for signals, sockets and time at once."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class Readable(Protocol):
    """What select() takes."""

    def fileno(self) -> int:
        """Its descriptor."""


R = TypeVar("R", bound=Readable)


class Ears:
    """From now on these signals are heard by `listen`, in their order, and none is lost."""

    def __init__(self, signals: Collection[signal.Signals]) -> None:
        self._signals = signals
        self._hear, self._wake = socket.socketpair()
        self._hear.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, _heard)

    def listen(self, others: Sequence[R], timeout_s: float) -> tuple[list[int], list[R]]:
        """The signals that came and which of `others` can be read; both empty after timeout_s."""
        ready = readable([self._hear.fileno(), *(other.fileno() for other in others)], timeout_s)
        numbers = list(self._hear.recv(4096)) if self._hear.fileno() in ready else []
        return numbers, [other for other in others if other.fileno() in ready]

    def block(self) -> None:
        """Around a fork: what comes now is heard later."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)

    def unblock(self) -> None:
        """Go on hearing."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._signals)

    def close(self) -> None:
        """In a child, while blocked: signals do again what they do in any process."""
        signal.set_wakeup_fd(-1)
        for number in self._signals:
            signal.signal(number, signal.SIG_DFL)
        self._hear.close()
        self._wake.close()


def readable(descriptors: Sequence[int], timeout_s: float) -> frozenset[int]:
    """Those that can be read, or have ended, within so long; by poll(), which counts no descriptor too high."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return frozenset(descriptor for descriptor, _ in poll.poll(timeout_s * 1000))


def _heard(number: int, frame: object) -> None:
    """The number was written to the socket before this is called."""
