"""A server under test: started on loopback in a directory of its own, stopped, looked at from outside."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Self

from bench.sink import MailSink
from gatepost.lab.ports import free_port

SYSTEM_PATH: Final = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
_READY_S: Final = 60.0
_POLL_S: Final = 0.05
_STOP_S: Final = 30.0


class Server(ABC):
    """One mail server. `with` prepares, starts and stops it."""

    name: str
    can_relay = True
    patience_s = _READY_S
    """With its start."""

    def __init__(self, directory: Path, sink: MailSink | None = None) -> None:
        """sink: where it delivers what it takes; None: it keeps it."""
        self.directory = directory
        self.sink = sink
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Writes what it needs below `directory`."""

    @abstractmethod
    def launch(self) -> subprocess.Popen[bytes]:
        """Starts it."""

    @abstractmethod
    def end(self) -> None:
        """Asks it to stop."""

    @abstractmethod
    def kept(self) -> int:
        """How many mails it holds."""

    @classmethod
    def why_not(cls) -> str:
        """Why it cannot be measured here, and what would help; "" when it can."""
        return ""

    def accounted(self) -> int:
        """How many mails it holds, or has delivered: each that was acknowledged must be there."""
        return self.kept() if self.sink is None else self.sink.mails

    @property
    @abstractmethod
    def version(self) -> str:
        """For the table."""

    @property
    def pid(self) -> int:
        """Of the process all others descend from."""
        return self._process.pid if self._process is not None else 0

    @property
    def pids(self) -> tuple[int, ...]:
        """The same, with those of helpers that mail goes through."""
        return (self.pid,)

    def __enter__(self) -> Self:
        self.prepare()
        self.start()
        return self

    def start(self) -> float:
        """Starts what is prepared and waits for its banner: after how many seconds. Raises RuntimeError."""
        began_at = time.monotonic()
        self._process = self.launch()
        while not self._greets():
            if self._process.poll() is not None or time.monotonic() > began_at + self.patience_s:
                self.__exit__()
                raise RuntimeError(f"{self.name} does not come up; look below {self.directory}")
            time.sleep(_POLL_S)
        return time.monotonic() - began_at

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            self.end()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as wire:
                return wire.recv(3) == b"220"
        except OSError:
            return False


def run_quietly(program: str, *arguments: str) -> None:
    """Runs it to its end; what it says is not wanted."""
    found = shutil.which(program, path=SYSTEM_PATH) or program
    subprocess.run([found, *arguments], capture_output=True, check=False)
