"""BIND in the foreground, on a private port of loopback: a primary that takes updates signed by Kerberos."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from shutil import rmtree

from tests.services.foreground import wait_for_end
from tests.services.gateway import wait_until
from tests.services.validating import _answer

from gatepost.lab.ports import free_port

_CONF = """\
options {{
    directory "{dir}";
    pid-file "{dir}/pid";
    session-keyfile "{dir}/session.key";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
    tkey-gssapi-keytab "{keytab}";
}};
controls {{ }};
zone "b.example" {{
    type primary;
    file "{dir}/b.example.zone";
    update-policy {{ {policy} }};
}};
"""


class BindServer:
    """zone: its text, of b.example. policy: of update-policy. environment: what Kerberos needs to see."""

    def __init__(self, zone: str, *, keytab: Path, policy: str, environment: Mapping[str, str]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gp-bind-"))
        self.port = free_port()
        (self.directory / "b.example.zone").write_text(zone)
        (self.directory / "named.conf").write_text(
            _CONF.format(dir=self.directory, port=self.port, keytab=keytab, policy=policy)
        )
        log = (self.directory / "log").open("wb")
        self._process = subprocess.Popen(
            ["/usr/sbin/named", "-g", "-c", str(self.directory / "named.conf")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
        )
        log.close()
        wait_until(lambda: bool(self.records("b.example", "SOA")))

    def records(self, name: str, kind: str) -> list[str]:
        """As text."""
        assert self._process.poll() is None, (self.directory / "log").read_text()[-2000:]
        return _answer(self.port, name, kind)

    def stop(self) -> None:
        """End it and remove everything."""
        self._process.terminate()
        wait_for_end(self._process)
        rmtree(self.directory, ignore_errors=True)
