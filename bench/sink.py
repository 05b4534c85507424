"""Postfix's smtp-sink as the mailbox server that relayed mail goes to, and how many mails it has."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final, Self

from gatepost.lab.ports import free_port

_COUNT: Final = re.compile(rb"mesg=(\d+)")
_TAIL_BYTES: Final = 4096
_LIMIT_S: Final = 300.0


class MailSink:
    """Takes everything. `with` starts and stops it."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self._counts = directory / f"sink-{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        program = shutil.which("smtp-sink", path="/usr/sbin:/usr/bin:/usr/local/sbin")
        if program is None:
            raise RuntimeError("smtp-sink is not installed (tools/services.sh installs it)")
        with self._counts.open("wb") as counts:
            command = [program, "-c", "-u", "nobody", f"127.0.0.1:{self.port}", "1000"]
            self._process = subprocess.Popen(command, stdout=counts, stderr=subprocess.STDOUT)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def mails(self) -> int:
        """How many have come since it was started."""
        with self._counts.open("rb") as counts:
            counts.seek(max(0, self._counts.stat().st_size - _TAIL_BYTES))
            found = _COUNT.findall(counts.read())
        return int(found[-1]) if found else 0

    def wait_for(self, mails: int) -> None:
        """Until so many have come. Raises TimeoutError."""
        until = time.monotonic() + _LIMIT_S
        while self.mails < mails:
            if time.monotonic() > until:
                raise TimeoutError(f"{self.mails} of {mails} mails reached the sink")
            time.sleep(0.01)
