"""The load: Postfix's smtp-source for rates, clients of our own for latency, TLS, refusals and idle sessions."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from typing import Final

from bench.cost import cpu_s, memory_bytes
from bench.measures import (
    MESSAGE_BYTES,
    RECIPIENT,
    REFUSALS,
    SENDER,
    Latency,
    Load,
    Scenario,
    Work,
    percentile,
)
from bench.server import Server

_LIMIT_S: Final = 600.0
_TRAILING_S: Final = 1.1
"""After the load: work that a server puts off (records, checkpoints) belongs to the messages that caused it."""


class LoadFailed(Exception):
    """A server refused or broke the load: there is no figure."""


def smtp_source() -> str | None:
    """The program, where it is installed."""
    return shutil.which("smtp-source", path="/usr/sbin:/usr/bin:/usr/local/sbin")


def offer(scenario: Scenario, server: Server) -> Load:
    """Runs the load against a server. Raises LoadFailed."""
    pids, sink = server.pids, server.sink
    delivered = sink.mails if sink is not None else 0
    command = load_command(scenario, server.port)
    cpu_before_s = cpu_s(*pids)
    began_at = time.perf_counter()
    done = subprocess.run(command, capture_output=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise LoadFailed(f"{server.name}, {scenario.title}: {said}")
    if sink is not None:
        try:
            sink.wait_for(delivered + scenario.messages)
        except TimeoutError as error:
            raise LoadFailed(f"{server.name}, {scenario.title}: {error}") from error
    seconds = time.perf_counter() - began_at
    memory = memory_bytes(*pids)
    time.sleep(_TRAILING_S)
    return Load(
        messages=scenario.messages,
        seconds=seconds,
        cpu_s=cpu_s(*pids) - cpu_before_s,
        memory_bytes=memory,
    )


def load_command(scenario: Scenario, port: int) -> list[str]:
    """What runs the load. Raises LoadFailed."""
    if scenario.work in (Work.TLS, *REFUSALS):
        counts = [str(scenario.sessions), str(scenario.messages)]
        return [sys.executable, "-m", "bench.client", str(port), scenario.work.value, *counts]
    program = smtp_source()
    if program is None:
        raise LoadFailed("smtp-source is not installed")
    command = [program, "-s", str(scenario.sessions), "-m", str(scenario.messages)]
    command += ["-l", str(scenario.size_bytes), "-M", "load.sender.test", "-f", SENDER, "-t", RECIPIENT]
    return [*command, *(["-d"] if scenario.kept else []), f"127.0.0.1:{port}"]


def measure_idle(server: Server, *, sessions: int, tls: bool) -> float:
    """Octets of the server's memory that one idle connection takes. Raises LoadFailed."""
    before = memory_bytes(*server.pids)
    work = "idle-tls" if tls else "idle"
    command = [sys.executable, "-m", "bench.client", str(server.port), work, str(sessions), "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        said = client.stdout.readline().strip()
        if said != str(sessions).encode():
            client.kill()
            raise LoadFailed(f"{server.name} did not hold {sessions} idle connections")
        time.sleep(_TRAILING_S)
        held = memory_bytes(*server.pids)
        client.communicate(timeout=_LIMIT_S)
    return (held - before) / sessions


def measure_latency(*, port: int, kept: bool, messages: int) -> Latency:
    """One session, one message after the other, a command at a time. Raises LoadFailed."""
    text = message_text()
    times: list[float] = []
    client: Client | None = None
    try:
        for _ in range(messages):
            began_at = time.perf_counter()
            if client is None:
                client = Client(port)
            client.send(text)
            if not kept:
                client.quit()
                client = None
            times.append(time.perf_counter() - began_at)
        if client is not None:
            client.quit()
    except OSError as error:
        raise LoadFailed(str(error)) from error
    return Latency(p50_s=percentile(times, 0.5), p99_s=percentile(times, 0.99))


class Client:
    """The least an SMTP client can be."""

    def __init__(self, port: int) -> None:
        self._wire = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect(220)
        self._ask(b"EHLO load.sender.test\r\n", 250)

    def send(self, text: bytes) -> None:
        """One message, from MAIL to the 250."""
        self._ask(b"MAIL FROM:<%s>\r\n" % SENDER.encode(), 250)
        self._ask(b"RCPT TO:<%s>\r\n" % RECIPIENT.encode(), 250)
        self._ask(b"DATA\r\n", 354)
        self._ask(text, 250)

    def quit(self) -> None:
        """QUIT, its answer, and the end."""
        self._ask(b"QUIT\r\n", 221)
        self._wire.close()

    def _ask(self, command: bytes, expected: int) -> None:
        self._wire.sendall(command)
        self._expect(expected)

    def _expect(self, expected: int) -> None:
        reply = b""
        while not _is_complete(reply):
            more = self._wire.recv(4096)
            if not more:
                raise LoadFailed(f"hung up instead of {expected}")
            reply += more
        if not reply.startswith(b"%d" % expected):
            raise LoadFailed(reply.decode("utf-8", "replace").strip())


def _is_complete(reply: bytes) -> bool:
    """Whether the last line is there: a code with a blank behind it."""
    last = reply.rstrip(b"\r\n").rpartition(b"\n")[2]
    return reply.endswith(b"\r\n") and last[3:4] != b"-"


def message_text() -> bytes:
    """A message of MESSAGE_BYTES, as smtp-source makes them: lines of X."""
    head = f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nSubject: bench\r\n"
    head += "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-Id: <bench@sender.test>\r\n\r\n"
    line = "X" * 78 + "\r\n"
    body = line * (MESSAGE_BYTES // len(line)) + "X" * (MESSAGE_BYTES % len(line) - 2) + "\r\n"
    return (head + body + ".\r\n").encode()
