"""rbldnsd in the foreground, on a private port of loopback: zones from files."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gatepost.adapters.dns import DnsResolver
from gatepost.config.dns_settings import Dns
from gatepost.config.schema import frozen
from gatepost.lab.ports import free_port
from gatepost.model.fault import WorldFault
from gatepost.ports.resolver import RecordType


class RbldnsdServer:
    """zones: "bl.test:ip4set:FILE"; files: all that they name. Started by root it runs as its own account."""

    def __init__(self, files: Sequence[Path], zones: Sequence[str]) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="rbldnsd-"))
        self._directory.chmod(0o755)  # its account must get in
        for file in files:
            copied = self._directory / file.name
            shutil.copyfile(file, copied)
            copied.chmod(0o644)
        self._process = subprocess.Popen(
            ["/usr/sbin/rbldnsd", "-n", "-w", str(self._directory), "-b", f"127.0.0.1/{self.port}", *zones],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def resolver(self, **more: object) -> DnsResolver:
        return DnsResolver(Dns.model_validate(frozen({"servers": [f"127.0.0.1:{self.port}"], **more})))

    async def ready(self, resolver: DnsResolver, name: str) -> None:
        """Wait until it answers."""
        for _ in range(600):
            try:
                await resolver.look_up(name, RecordType.A, timeout_s=1.0)
                return
            except WorldFault:
                resolver.forget()
                assert self._process.poll() is None, "rbldnsd has ended"
                await asyncio.sleep(0.05)
        raise AssertionError("rbldnsd does not answer")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        shutil.rmtree(self._directory)
