"""The gateway under test: a real `gatepost run` in a directory of its own, started again when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from crash.message import USERS
from crash.process import children_of, is_called, kill
from gatepost.lab.ports import free_port

WORKERS: Final = 2
NAME: Final = "gate.crash.test"
"""What it calls itself in its banner: a port it does not listen on may be taken by a server of others."""
_CONTROL: Final = "control"
_READY_S: Final = 30.0
_STOP_S: Final = 30.0
_CONFIGURATION: Final = """\
[server]
hostname = "{name}"
state-directory = "{state}"
workers = {workers}
stop-timeout = "1s"
event-loop = "{event_loop}"

[accepted-domains."crash.test"]

[recipients]
file = "{recipients}"

[receive-connectors.internet]
listen = ["127.0.0.1:{port}"]
tls = "none"
tarpit = "0s"

[receive-connectors.internet.limits]
connections-per-source = 1000
connections-per-network = 1000
source-share = 100
connection-rate = 0
connection-rate-per-source = 0
message-rate-per-source = 0
recipient-rate-per-source = 0

[send-connectors.mailbox]
address-spaces = ["crash.test", "notes.test"]
smart-hosts = ["[127.0.0.1]:{sink}"]
tls = "none"

[queue]
first-retry = "1s"
retry-factor = 1.0
longest-retry = "2s"
crash-limit = 10
memory-body = "64KiB"
{queue}

[notices]
to = "everyone"
delay-after = "1s"
hourly-limit = 1000000
hourly-limit-per-sender = 1000000

[remote-domains."sender.test"]
failure-notices = false
delay-notices = false

[metrics]
listen = "127.0.0.1:{metrics}"

[dns]
servers = ["127.0.0.1:{dns}"]
timeout = "1s"
"""


@dataclass(slots=True)
class Gateway:
    """One gateway below `directory`. arguments: of Python: the product, or a doctored one."""

    directory: Path
    sink_port: int
    dns_port: int
    arguments: tuple[str, ...] = ("-m", "gatepost")
    event_loop: str = "uvloop"
    workers_wanted: int = WORKERS
    queue: str = ""
    """More lines of [queue]."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """More of it."""
    more_recipients: Iterable[str] = ()
    is_held: bool = False
    """While it is, a dead gateway is not started again."""
    port: int = 0
    starts: int = 0
    failed_starts: int = 0
    ready_after_s: list[float] = field(default_factory=list)
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _is_ready: bool = False

    def prepare(self) -> None:
        """Writes the configuration and the list of recipients."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        recipients = self.directory / "recipients"
        recipients.write_text("\n".join([*USERS, *self.more_recipients]) + "\n")
        self.configuration.write_text(
            _CONFIGURATION.format(
                name=NAME,
                state=self.state,
                workers=self.workers_wanted,
                queue=self.queue,
                recipients=recipients,
                port=self.port,
                sink=self.sink_port,
                dns=self.dns_port,
                metrics=free_port(),
                event_loop=self.event_loop,
            )
        )

    @property
    def configuration(self) -> Path:
        """The file it runs with."""
        return self.directory / "gatepost.toml"

    @property
    def state(self) -> Path:
        """Its state directory."""
        return self.directory / "state"

    @property
    def log(self) -> Path:
        """All it said."""
        return self.directory / "gatepost.log"

    @property
    def pid(self) -> int:
        """Of the supervisor; 0 when it does not run."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else 0

    def workers(self) -> list[int]:
        """The pids of the workers that live."""
        return [pid for pid in self.children() if not is_called(pid, _CONTROL)]

    def control(self) -> int:
        """The pid of the control process; 0 when there is none."""
        return next((pid for pid in self.children() if is_called(pid, _CONTROL)), 0)

    def children(self) -> list[int]:
        """All its processes but the supervisor."""
        return children_of(self.pid) if self.pid else []

    def start(self) -> None:
        """Starts it; ready() tells when it answers."""
        command = [sys.executable, *self.arguments, "--config", str(self.configuration), "run"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                env={**_environment(), **self.environment},
                start_new_session=True,
            )
        self.starts += 1
        self._started_at, self._is_ready = time.monotonic(), False

    async def keep_running(self) -> None:
        """Starts it again whenever it is dead, and measures how long each start takes. Ends when cancelled."""
        while True:
            if self.is_held:
                pass
            elif not self.pid:
                self.failed_starts += not self._is_ready and self._ended_by_itself()
                self.start()
            elif not self._is_ready and await _greets(self.port):
                self._is_ready = True
                self.ready_after_s.append(time.monotonic() - self._started_at)
            await asyncio.sleep(0.02)

    @property
    def is_ready(self) -> bool:
        """It has shown a banner since it was started last."""
        return self._is_ready

    async def ready(self) -> None:
        """Waits for the first banner. Raises TimeoutError."""
        async with asyncio.timeout(_READY_S):
            while not self._is_ready:
                await asyncio.sleep(0.02)

    def stop(self) -> int:
        """SIGTERM, and the exit status; -9 when it had to be killed."""
        process = self._process
        if process is None:
            return 0
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """The end of it, whatever state it is in."""
        process = self._process
        if process is None:
            return
        for pid in [*self.children(), process.pid]:
            kill(pid)
        process.wait()

    def _ended_by_itself(self) -> bool:
        return self._process is not None and (self._process.returncode or 0) > 0


def _environment() -> dict[str, str]:
    """Ours, with compiled modules kept: a gateway that is started a hundred times is an installed one."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


async def _greets(port: int) -> bool:
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return (await reader.readline()).startswith(b"220 " + NAME.encode())
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):  # ValueError: a line without end
        return False
