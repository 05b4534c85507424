"""postsrsd (Debian's) on private ports of loopback: another forwarder that rewrites return paths."""

from __future__ import annotations

import socket
import subprocess
import time
from pathlib import Path

from gatepost.lab.ports import free_port


class PostsrsdServer:
    """domain: where its rewritten addresses are. It is asked as Postfix's tcp_table: get ADDRESS, 200 ADDRESS."""

    def __init__(self, directory: Path, domain: str) -> None:
        secret = directory / "postsrsd.secret"
        secret.write_text("a secret of the other forwarder\n")
        self._forward, self._reverse = free_port(), free_port()
        self._process = subprocess.Popen(
            [
                "/usr/sbin/postsrsd",
                "-4",
                f"-s{secret}",
                f"-d{domain}",
                f"-f{self._forward}",
                f"-r{self._reverse}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def forward(self, sender: str) -> str:
        """The return path it forwards mail of this sender with."""
        return self._ask(self._forward, sender)

    def reverse(self, recipient: str) -> str:
        """Where it sends a notice to a return path of its own; "" when it is none."""
        return self._ask(self._reverse, recipient)

    def _ask(self, port: int, address: str) -> str:
        with self._connected(port) as link:
            link.sendall(f"get {address}\n".encode())
            answer = link.makefile("r").readline().split()
        return answer[1] if answer[0] == "200" else ""

    def _connected(self, port: int) -> socket.socket:
        for _ in range(600):
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=30)
            except ConnectionRefusedError:
                assert self._process.poll() is None, "postsrsd has ended"
                time.sleep(0.05)
        raise AssertionError("postsrsd does not answer")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
