"""A real gateway as a child process: started, waited for, asked by its own command line, stopped."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 40.0
COMMAND_TIMEOUT_S: Final = 60.0
_LOOK_S: Final = 0.05


class GatewayFailed(Exception):
    """It did not start or did not stop. The text has the end of its log."""


class GatewayProcess:
    """`gatepost run` with a configuration file. Everything it writes goes to `log`.

    greeters: addresses and ports that must greet before it counts as started.
    """

    def __init__(self, configuration: Path, log: Path, *, greeters: tuple[tuple[str, int], ...]) -> None:
        self.configuration = configuration
        self.log = log
        self._greeters = greeters
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it greets. Raises GatewayFailed."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gatepost", "run"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C in the terminal is for us; we stop it in order
            )
        until = time.monotonic() + START_TIMEOUT_S
        for host, port in self._greeters:
            while not _greets(host, port):
                if self._process.poll() is not None or time.monotonic() > until:
                    self.kill()
                    raise GatewayFailed(f"the gateway does not greet on {host}:{port}\n{self.log_end()}")
                time.sleep(_LOOK_S)

    def stop(self) -> int:
        """SIGTERM, and wait; its exit status. Raises GatewayFailed when it does not end."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            self.kill()
            raise GatewayFailed(f"the gateway does not stop\n{self.log_end()}") from error

    def kill(self) -> None:
        """SIGKILL to the supervisor; its workers end with it."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        if self._process is not None:
            self._process.send_signal(number)

    @property
    def pid(self) -> int:
        """Of the supervisor; 0 before it is started."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    def cli(self, *words: str, text_in: str = "") -> subprocess.CompletedProcess[str]:
        """Run `gatepost WORDS` on the same configuration."""
        return subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "gatepost", *words],
            env=self._environment(),
            input=text_in,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )

    def log_end(self, lines: int = 30) -> str:
        """The last lines of what it wrote."""
        with contextlib.suppress(OSError):
            return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])
        return ""

    def _environment(self) -> Mapping[str, str]:
        return {**os.environ, "GATEPOST_CONFIG": str(self.configuration), "PYTHONUNBUFFERED": "1"}


def _greets(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=5) as wire:
            return wire.recv(3) == b"220"
    except OSError:
        return False
