"""Gatepost as an administrator would run it, but with its way out suspended, or into a sink."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

import apsw

import gatepost
from bench.measures import DOMAIN, LISTED, RECIPIENTS
from bench.server import Server
from bench.sink import MailSink
from gatepost.lab.dns_server import LabDns

_CONFIGURATION: Final = """\
[server]
hostname = "gate.bench.test"
state-directory = "{dir}/state"

[accepted-domains."{domain}"]

[recipients]
file = "{dir}/recipients"

[receive-connectors.internet]
listen = ["127.0.0.1:{port}"]
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

[send-connectors.mailbox]
address-spaces = ["{domain}"]
smart-hosts = ["[127.0.0.1]:{sink}"]
suspended = {suspended}

[metrics]
listen = ""

[dns]
servers = ["127.0.0.1:{dns}"]
"""


class Gatepost(Server):
    """`gatepost run` with all defaults: workers = auto, every agent, synchronous=FULL."""

    name = "Gatepost"

    def __init__(self, directory: Path, sink: MailSink | None = None) -> None:
        super().__init__(directory, sink)
        self._names = NameServer()

    def prepare(self) -> None:
        """Writes gatepost.toml and the recipients, and starts a name server for it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "recipients").write_text("\n".join(RECIPIENTS) + "\n")
        text = _CONFIGURATION.format(
            dir=self.directory,
            domain=DOMAIN,
            port=self.port,
            dns=self._names.start(),
            sink=self.sink.port if self.sink is not None else 9,
            suspended="false" if self.sink is not None else "true",
        )
        (self.directory / "gatepost.toml").write_text(text)

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
        for file in (self.directory / "state").glob("worker-*/store.db"):
            database = apsw.Connection(str(file), apsw.SQLITE_OPEN_READONLY)
            total += next(database.execute("SELECT count(*) FROM mail"))[0]
            database.close()
        return total

    @property
    def version(self) -> str:
        """With the SQLite it brings."""
        return f"{gatepost.__version__}, SQLite {apsw.sqlite_lib_version()}"

    @property
    def pid(self) -> int:
        """Of the supervisor."""
        return self._process.pid if self._process is not None else 0


class ListingGatepost(Gatepost):
    """With a block list and a list provider."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        reverse = ".".join(reversed(LISTED["by-provider"].split(".")))
        self._names = NameServer(
            f"{reverse}.bl.bench.test A 127.0.0.2\n2.0.0.127.bl.bench.test A 127.0.0.2\n"
        )

    def prepare(self) -> None:
        """As Gatepost's, with the lists."""
        super().prepare()
        file = self.directory / "gatepost.toml"
        file.write_text(file.read_text() + '[block-list-providers.bench]\nzone = "bl.bench.test"\n')
        command = [sys.executable, "-m", "gatepost", "--config", str(file), "list", "add", "block"]
        subprocess.run([*command, LISTED["by-list"]], check=True, stdout=subprocess.DEVNULL)


class NameServer:
    """The lab's name server in a thread of its own. zone: what it knows; nobody has a name otherwise."""

    def __init__(self, zone: str = "") -> None:
        self._server = LabDns(zone)

    def start(self) -> int:
        """Its port."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)
        return self._server.port

    def stop(self) -> None:
        """Frees the port."""
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
