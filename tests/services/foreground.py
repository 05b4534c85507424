"""What all real mail servers of the tests share: they run in the foreground, and greet."""

from __future__ import annotations

import socket
import subprocess


def greets(port: int) -> bool:
    """Whether somebody at this port of loopback says 220."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as wire:
            return wire.recv(3) == b"220"
    except OSError:
        return False


def wait_for_end(process: subprocess.Popen[bytes] | None) -> None:
    """It was told to stop: wait a while, then kill it."""
    if process is None:
        return
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
