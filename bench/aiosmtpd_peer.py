"""aiosmtpd with a handler that keeps each mail in a file: written, synced, its directory synced, before the 250.

`python -m bench.aiosmtpd_peer PORT DIRECTORY` is the server.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measures import RECIPIENTS
from bench.server import Server

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope


class Aiosmtpd(Server):
    """One process, which is what it is; files are synced in threads, so that sessions do not wait for each other."""

    name = "aiosmtpd"
    can_relay = False

    @classmethod
    def why_not(cls) -> str:
        """It is in the lock of what tests need."""
        return "" if find_spec("aiosmtpd") else "aiosmtpd is not installed (make dev installs it)"

    def prepare(self) -> None:
        """A directory for the mail."""
        (self.directory / "kept").mkdir(parents=True)

    def launch(self) -> subprocess.Popen[bytes]:
        """This module."""
        command = [sys.executable, "-m", "bench.aiosmtpd_peer", str(self.port), str(self.directory / "kept")]
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self) -> None:
        """SIGTERM."""
        if self._process is not None:
            self._process.terminate()

    def kept(self) -> int:
        """Files."""
        return sum(1 for _ in (self.directory / "kept").iterdir())

    @property
    def version(self) -> str:
        """Of the package."""
        return version("aiosmtpd")


class Keeping:
    """Known recipients only; each mail a file, and a line that it came."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._names = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._known = frozenset(RECIPIENTS)
        self._numbers = count()

    async def handle_RCPT(  # noqa: N802  # aiosmtpd's name
        self, _server: Any, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Whether it is ours."""
        if address.lower() not in self._known:
            return "550 5.1.1 no such recipient"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Envelope) -> str:  # noqa: N802  # aiosmtpd's name
        """On disk, then 250."""
        number = next(self._numbers)
        await asyncio.to_thread(self._keep, number, envelope)
        print(f"{number} {session.peer[0]} {envelope.mail_from} {envelope.rcpt_tos}", flush=True)
        return "250 OK"

    def _keep(self, number: int, envelope: Envelope) -> None:
        head = f"{envelope.mail_from}\n{' '.join(envelope.rcpt_tos)}\n".encode()
        file = os.open(self._directory / str(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            content = envelope.original_content or b""
            os.writev(file, [head, content])
            os.fsync(file)
        finally:
            os.close(file)
        os.fsync(self._names)


async def serve(port: int, directory: Path) -> None:
    """Until it is stopped."""
    from aiosmtpd.smtp import SMTP  # only the server's own process needs it

    handler = Keeping(directory)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="aiosmtpd.bench.test", loop=loop), "127.0.0.1", port, backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), Path(sys.argv[2])))
