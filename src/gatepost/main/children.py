"""The processes of the supervisor, as it sees them: who lives, who is ready, who was heard of when."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from dataclasses import dataclass, field

from gatepost.adapters.neighbours import WorkerCounts
from gatepost.main.ears import readable
from gatepost.model.connector_state import ConnectorState

READY = b"R"
ALIVE = b"."
BUSY = b"?"
"""A scan worker: it has begun with a question; ALIVE when it has answered."""
BEAT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What a worker is given: its listening sockets, connectors that do not run, and the line to the supervisor."""

    sockets: dict[str, socket.socket]
    held: dict[str, ConnectorState]
    line: socket.socket
    neighbours: WorkerCounts | None = None
    """What it counts together with the others; None: there are none."""
    is_first: bool = False
    """The gateway has just been started: no worker of this number lived under it before."""


async def beat(line: socket.socket) -> None:
    """A worker's side: it serves, and says every second that its loop turns."""
    line.setblocking(False)
    said = READY
    while True:
        with contextlib.suppress(OSError):  # a supervisor that does not listen, or is gone
            line.send(said)
            said = ALIVE
        await asyncio.sleep(BEAT_S)


@dataclass(slots=True)
class Child:
    """One process of ours. Times are monotonic seconds.

    number: of the worker; -1 for the control process; -2, -3 and so on for scan workers.
    """

    number: int
    pid: int = 0
    started_at: float = 0.0
    quick_deaths: int = 0
    restart_at: float = 0.0
    was_started: bool = False
    line: socket.socket | None = field(default=None, repr=False)
    is_ready: bool = False
    heard_at: float = 0.0
    silent_s: float = 0.0
    """For how long nothing was heard of it while the supervisor listened."""
    was_warned: bool = False
    """It was told to end because of its silence."""
    is_busy: bool = False
    """A scan worker: with a question."""

    @property
    def is_worker(self) -> bool:
        """It takes or delivers mail."""
        return self.number >= 0

    @property
    def scan_number(self) -> int:
        """Of a scan worker, from 0; below 0: it is none."""
        return -2 - self.number

    @property
    def name(self) -> str:
        """For the log."""
        if self.is_worker:
            return f"worker-{self.number}"
        return "control" if self.scan_number < 0 else f"scan-{self.scan_number}"

    @property
    def short_name(self) -> str:
        """For ps and top."""
        return self.name.replace("worker-", "w").replace("scan-", "s")

    def fileno(self) -> int:
        """Of its line, for select()."""
        assert self.line is not None
        return self.line.fileno()

    def hear(self, now: float) -> None:
        """Read what it said on its line; a line that ended is closed."""
        if self.line is None:
            return
        try:
            said = self.line.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if not said:
            self.hang_up()
            return
        self.heard_at, self.silent_s, self.was_warned = now, 0.0, False
        self.is_busy = said.endswith(BUSY)
        self.is_ready = self.is_ready or READY in said

    def becomes_ready(self, patience_s: float) -> bool:
        """Whether it serves, after so long at most."""
        until = time.monotonic() + patience_s
        while not self.is_ready and self.line is not None and (left_s := until - time.monotonic()) > 0:
            if readable([self.line.fileno()], left_s):
                self.hear(time.monotonic())
        return self.is_ready

    def hang_up(self) -> None:
        """It is gone, or its line is somebody else's."""
        if self.line is not None:
            self.line.close()
        self.line, self.is_ready, self.is_busy = None, False, False
        self.silent_s, self.was_warned = 0.0, False
