"""Postfix with Debian's rspamd as its milter: the comparison with a gateway that also looks at the mail."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Final

from bench.cost import cpu_s
from bench.name_server import NameServer
from bench.postfix import Postfix
from bench.server import SYSTEM_PATH
from bench.sink import MailSink
from gatepost.lab.ports import free_port

_OWNER: Final = "_rspamd"
_CONFIGURATION: Final = Path("/etc/rspamd/rspamd.conf")
_MILTER: Final = "smtpd_milters = inet:127.0.0.1:{port}\nmilter_default_action = tempfail\n"
# Debian's configuration, with the answers of the bench's own name server, and without what would ask the internet. The
# milter scans by itself (rspamd's self-scan): the shortest way it has.
_LOCAL: Final = {
    "options.inc": 'dns {{ nameserver = ["127.0.0.1:{dns}"]; }}\n',
    "worker-proxy.inc": (
        'bind_socket = "127.0.0.1:{milter}";\ncount = {cores};\n'
        'upstream "local" {{ default = yes; self_scan = yes; }}\n'
    ),
    "worker-normal.inc": "enabled = false;\n",
    "worker-controller.inc": "enabled = false;\n",
}
OFF: Final = (
    "rbl",
    "fuzzy_check",
    "asn",
    "phishing",
    "dcc",
    "mx_check",
    "url_redirector",
    "rspamd_update",
    "dkim_signing",
)
"""Modules that only ask the internet; and signing, which is not compared here."""
_READY_S: Final = 60.0
_IDLE_CPU_S: Final = 0.05
"""In a second: not busy any more."""


class FilteredPostfix(Postfix):
    """As Postfix; every mail goes through rspamd before the 250."""

    name = "Postfix+rspamd"

    def __init__(self, directory: Path, sink: MailSink | None = None) -> None:
        super().__init__(directory, sink)
        self._milter_port = free_port()
        self._names = NameServer()
        self._milter: subprocess.Popen[bytes] | None = None

    @classmethod
    def why_not(cls) -> str:
        """Both must be there."""
        if reason := super().why_not():
            return reason
        if shutil.which("rspamd", path=SYSTEM_PATH) is None or not _CONFIGURATION.exists():
            return "rspamd is not installed (tools/peers.sh installs it)"
        return ""

    def more_settings(self) -> str:
        """The milter; a mail that it does not answer for is not taken."""
        return _MILTER.format(port=self._milter_port)

    def prepare(self) -> None:
        """As Postfix's; starts rspamd, too."""
        super().prepare()
        place = self.directory / "rspamd"
        (place / "local.d").mkdir(parents=True)
        ports = {"dns": self._names.start(), "milter": self._milter_port, "cores": os.cpu_count() or 1}
        for name, text in _LOCAL.items():
            (place / "local.d" / name).write_text(text.format(**ports))
        for module in OFF:
            (place / "local.d" / f"{module}.conf").write_text("enabled = false;\n")
        owner = pwd.getpwnam(_OWNER)
        os.chown(place, owner.pw_uid, owner.pw_gid)
        self._milter = self._start_milter(place)
        self._wait_for_milter()

    def _start_milter(self, place: Path) -> subprocess.Popen[bytes]:
        program = shutil.which("rspamd", path=SYSTEM_PATH) or "rspamd"
        command = [program, "-f", "-u", _OWNER, "-g", _OWNER, "-c", str(_CONFIGURATION)]
        places = ("LOCAL_CONFDIR", "DBDIR", "RUNDIR", "LOGDIR")
        command += [f"--var={name}={place}" for name in places]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)

    def _wait_for_milter(self) -> None:
        """Until its port is open. Raises RuntimeError."""
        until = time.monotonic() + _READY_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._milter_port), timeout=5).close()
                break
            except OSError:
                dead = self._milter is None or self._milter.poll() is not None
                if dead or time.monotonic() > until:
                    self.__exit__()
                    raise RuntimeError(f"rspamd does not come up; look below {self.directory}") from None
                time.sleep(0.1)
        if self._milter is not None:
            _wait_for_rest(self._milter.pid, until)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._milter is not None:
            self._milter.terminate()
            self._milter.wait()
        self._names.stop()

    @property
    def version(self) -> str:
        """Both."""
        done = subprocess.run(["rspamd", "--version"], capture_output=True, check=True)
        return f"{super().version} with rspamd {done.stdout.decode().split()[-1]}"

    @property
    def pids(self) -> tuple[int, ...]:
        """What mail goes through."""
        return (self.pid, self._milter.pid if self._milter is not None else 0)


def _wait_for_rest(pid: int, until: float) -> None:
    """It compiles its expressions after its start, which is no mail's cost. until: by the monotonic clock."""
    before_s = cpu_s(pid)
    while time.monotonic() < until:
        time.sleep(1.0)
        now_s = cpu_s(pid)
        if now_s - before_s < _IDLE_CPU_S:
            return
        before_s = now_s
