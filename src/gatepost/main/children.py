"""The processes of the supervisor, as it sees them: who lives, who is ready, who was heard of when."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import time
from dataclasses import dataclass, field

from gatepost.adapters.neighbours import WorkerCounts
from gatepost.model.connector_state import ConnectorState

READY = b"R"
ALIVE = b"."
BEAT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """What a worker is given: its listening sockets, connectors that do not run, and the line to the supervisor."""

    sockets: dict[str, socket.socket]
    held: dict[str, ConnectorState]
    line: socket.socket
    neighbours: WorkerCounts | None = None
    """What it counts together with the others; None: there are none."""


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
    """One process of ours. number: of the worker; -1 for the control process. Times are monotonic seconds."""

    number: int
    pid: int = 0
    started_at: float = 0.0
    quick_deaths: int = 0
    restart_at: float = 0.0
    line: socket.socket | None = field(default=None, repr=False)
    is_ready: bool = False
    heard_at: float = 0.0

    @property
    def name(self) -> str:
        """For the log."""
        return "control" if self.number < 0 else f"worker-{self.number}"

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
        self.heard_at = now
        self.is_ready = self.is_ready or READY in said

    def becomes_ready(self, patience_s: float) -> bool:
        """Whether it serves, after so long at most."""
        until = time.monotonic() + patience_s
        while not self.is_ready and self.line is not None and (left_s := until - time.monotonic()) > 0:
            if select.select([self.line], [], [], left_s)[0]:
                self.hear(time.monotonic())
        return self.is_ready

    def hang_up(self) -> None:
        """It is gone, or its line is somebody else's."""
        if self.line is not None:
            self.line.close()
        self.line, self.is_ready = None, False
