"""HAProxy in front of something, on a private port: one configuration, one process, in the foreground."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services.gateway import wait_until

from gatepost.lab.ports import free_port

_CONFIGURATION = """\
defaults
    mode tcp
    timeout connect 10s
    timeout client 60s
    timeout server 60s
listen smtp
    bind 127.0.0.1:{port}
    server gateway 127.0.0.1:{to} {options}
"""


class HaproxyServer:
    """Takes connections at `port` and opens one to the port `to` for each. options: of the `server` line."""

    def __init__(self, directory: Path, *, to: int, options: Sequence[str]) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self._file = directory / "haproxy.cfg"
        self._file.write_text(_CONFIGURATION.format(port=self.port, to=to, options=" ".join(options)))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(self._file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_until(self._is_listening)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=5).close()
        except OSError:
            return False
        return True
