"""Gatepost as an administrator would run it, but with its way out suspended, or into a sink."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import apsw

import gatepost
from bench.measures import DOMAIN, LISTED, NETWORKS, RECIPIENTS
from bench.name_server import NameServer
from bench.server import Server
from bench.sink import MailSink

_CONFIGURATION: Final = """\
[server]
hostname = "gate.bench.test"
state-directory = "{state}"
workers = {workers}

[accepted-domains."{domain}"]

[recipients]
file = "{dir}/recipients"

[receive-connectors.internet]
listen = ["127.0.0.1:{port}"]
{limits}
[send-connectors.mailbox]
address-spaces = ["{domain}"]
smart-hosts = ["[127.0.0.1]:{sink}"]
suspended = {suspended}

[metrics]
listen = ""

[dns]
servers = ["127.0.0.1:{dns}"]
"""
# One sender gives all the load, from one address, and must not be taken for a flood.
_ONE_SENDER: Final = """\
tarpit = "0s"

[receive-connectors.internet.limits]
connections = 20000
connections-per-source = 20000
connections-per-network = 20000
connections-per-site = 20000
source-share = 100
connection-rate = 0
connection-rate-per-source = 0
message-rate-per-source = 0
recipient-rate-per-source = 0
unknown-rate-per-source = 0

[receive-connectors.internet.limits.stress]
from-share = 0

[intake]
connections = 20000

[harvest]
first-delay = "0s"
block-at = 0
network-block-at = 0
"""


class Gatepost(Server):
    """`gatepost run` with all defaults: workers = auto, every agent, synchronous=FULL."""

    name = "Gatepost"
    limits = _ONE_SENDER
    """What may be lifted, in TOML: the rest of the receive connector, and tables that limit."""

    def __init__(
        self,
        directory: Path,
        sink: MailSink | None = None,
        *,
        state: Path | None = None,
        workers: int | str = "auto",
        more: str = "",
    ) -> None:
        """state: a state directory that is there already. more: further tables, in TOML."""
        super().__init__(directory, sink)
        self._state = state or directory / "state"
        self._workers = workers
        self._more = more
        self._names = NameServer()

    def prepare(self) -> None:
        """Writes gatepost.toml and the recipients, and starts a name server for it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "recipients").write_text("\n".join(RECIPIENTS) + "\n")
        text = _CONFIGURATION.format(
            dir=self.directory,
            state=self._state.resolve(),
            workers=self._workers if isinstance(self._workers, int) else f'"{self._workers}"',
            limits=self.limits,
            domain=DOMAIN,
            port=self.port,
            dns=self._names.start(),
            sink=self.sink.port if self.sink is not None else 9,
            suspended="false" if self.sink is not None else "true",
        )
        (self.directory / "gatepost.toml").write_text(text + self._more)

    def launch(self) -> subprocess.Popen[bytes]:
        """The supervisor."""
        command = [sys.executable, "-m", "gatepost", "--config", str(self.directory / "gatepost.toml"), "run"]
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self) -> None:
        """SIGTERM."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.stop_names()

    def stop_names(self) -> None:
        """The name server."""
        self._names.stop()

    def kept(self) -> int:
        """Mails in the stores of all workers."""
        total = 0
        for file in self._state.glob("worker-*/store.db"):
            database = apsw.Connection(str(file), apsw.SQLITE_OPEN_READONLY)
            total += next(database.execute("SELECT count(*) FROM mail"))[0]
            database.close()
        return total

    @property
    def version(self) -> str:
        """With the SQLite it brings."""
        return f"{gatepost.__version__}, SQLite {apsw.sqlite_lib_version()}"


class ListingGatepost(Gatepost):
    """With a block list and a list provider."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        reverse = ".".join(reversed(LISTED["by-provider"].split(".")))
        networks = (
            f"*.{third}.{'.'.join(reversed(net.split('.')))}" for net in NETWORKS for third in range(256)
        )
        listed = (reverse, "2.0.0.127", *networks)
        self._names = NameServer("".join(f"{name}.bl.bench.test A 127.0.0.2\n" for name in listed))

    def prepare(self) -> None:
        """As Gatepost's, with the lists."""
        super().prepare()
        file = self.directory / "gatepost.toml"
        file.write_text(file.read_text() + '[block-list-providers.bench]\nzone = "bl.bench.test"\n')
        command = [sys.executable, "-m", "gatepost", "--config", str(file), "list", "add", "block"]
        subprocess.run([*command, LISTED["by-list"]], check=True, stdout=subprocess.DEVNULL)
