"""A real `gatepost run` on loopback, with the configuration a test asks for."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gatepost.lab.gateway import GatewayProcess
from gatepost.lab.ports import free_port

T = TypeVar("T")
RECIPIENTS = ("ann@ours.example", "bob@ours.example", "jürgen@ours.example", "postmaster@ours.example")


class GatewayUnderTest:
    """One gateway: where it listens, where it keeps things, what its command line says."""

    def __init__(self, directory: Path, text: str, *, port: int) -> None:
        self.host, self.port = "127.0.0.1", port
        self.directory = directory
        self.state = directory / "state"
        file = directory / "gatepost.toml"
        file.write_text(text, "utf-8")
        self.process = GatewayProcess(file, directory / "gatepost.log", greeters=((self.host, port),))

    def start(self) -> None:
        self.process.start()

    def stop(self) -> None:
        """Stop it, and see that it ended by itself and cleanly."""
        status = self.process.stop()
        assert status == 0, self.process.log_end()

    def cli(self, *words: str, text_in: str = "") -> subprocess.CompletedProcess[str]:
        return self.process.cli(*words, text_in=text_in)

    def ask(self, *words: str) -> Any:
        """The answer of `gatepost WORDS --json`."""
        done = self.cli(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def configuration(
    directory: Path,
    *,
    port: int,
    smart_host: str,
    dns_port: int = 0,
    connector: Sequence[str] = (),
    sender: Sequence[str] = (),
    workers: int = 1,
    metrics: str = "",
    more: str = "",
) -> str:
    """A small gatepost.toml.

    smart_host: where everything goes. connector, sender: further lines of the receive and the
    send connector. metrics: where they are read. more: further tables.
    """
    (directory / "recipients.txt").write_text("\n".join(RECIPIENTS) + "\n", "utf-8")
    servers = f'["127.0.0.1:{dns_port}"]' if dns_port else '["127.0.0.1:1"]'
    lines = [
        "[server]",
        'hostname = "mx.ours.example"',
        f'state-directory = "{directory / "state"}"',
        f"workers = {workers}",
        'stop-timeout = "5s"',
        '[accepted-domains."ours.example"]',
        "[recipients]",
        f'file = "{directory / "recipients.txt"}"',
        "[receive-connectors.test]",
        f'listen = ["127.0.0.1:{port}"]',
        'tarpit = "0s"',
        *connector,
        "[send-connectors.out]",
        'address-spaces = ["*"]',
        f'smart-hosts = ["{smart_host}"]',
        *sender,
        "[dns]",
        f"servers = {servers}",
        'timeout = "2s"',
        "[metrics]",
        f'listen = "{metrics}"',
    ]
    return "\n".join(lines) + "\n" + more


def gateway_in(directory: Path, *, smart_host: str, **wishes: Any) -> GatewayUnderTest:
    """Made, not started."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    text = configuration(directory, port=port, smart_host=smart_host, **wishes)
    return GatewayUnderTest(directory, text, port=port)


def wait_until(look: Callable[[], T], *, timeout_s: float = 20.0) -> T:
    """What `look` returns as soon as it is true. Raises AssertionError when it never is."""
    until = time.monotonic() + timeout_s
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < until, f"never happened: {look}"
        time.sleep(0.05)
