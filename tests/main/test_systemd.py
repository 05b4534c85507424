"""What systemd and the gateway tell each other, and the unit that is shipped."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.delivery.fakes import ListLog
from tests.services.gateway import GatewayUnderTest, gateway_in, wait_until

from gatepost.cli.front import COMMANDS
from gatepost.config.load import load_text
from gatepost.config.networks import Binding
from gatepost.config.settings import Server
from gatepost.main.children import Child
from gatepost.main.orders import Orders
from gatepost.main.supervisor import Supervisor
from gatepost.main.systemd import Notifier, handed_over, matched
from gatepost.model.fault import WorldFault

Start = Callable[..., GatewayUnderTest]
NOWHERE = "[127.0.0.1]:9"
PACKAGING = Path(__file__).resolve().parents[2] / "packaging"


class Manager:
    """The socket systemd listens at."""

    def __init__(self, path: str) -> None:
        self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._wire.bind(path)
        self._wire.settimeout(30)
        self.heard: list[str] = []

    def hears(self, word: str) -> str:
        """Wait for a message that begins with the word."""
        while True:
            self.heard.append(self._wire.recv(4096).decode())
            if self.heard[-1].startswith(word):
                return self.heard[-1]

    def close(self) -> None:
        self._wire.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(f"\0gatepost-test-{tmp_path.name}-{os.getpid()}")
    yield made
    made.close()


@pytest.fixture
def watched(manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manager:
    monkeypatch.setenv("NOTIFY_SOCKET", f"@gatepost-test-{tmp_path.name}-{os.getpid()}")
    monkeypatch.setenv("WATCHDOG_USEC", "4000000")
    return manager


def test_systemd_hears_of_start_life_reload_and_stop(watched: Manager, gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    assert re.fullmatch(r"READY=1\nSTATUS=1 worker, configuration [0-9a-f]{12}", watched.hears("READY"))
    watched.hears("WATCHDOG=1")
    assert running.cli("reload").returncode == 0
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", watched.hears("RELOADING"))
    watched.hears("READY=1")
    running.stop()
    watched.hears("STOPPING=1")


@dataclass(frozen=True)
class Case:
    name: str
    silent_s: float
    is_ready: bool
    alive: bool


LIVES = (
    Case("a worker was heard a moment ago", 1.0, is_ready=True, alive=True),
    Case("a worker hangs", 11.0, is_ready=True, alive=False),
    Case("one that starts may take its time", 11.0, is_ready=False, alive=True),
)


@pytest.mark.parametrize("case", LIVES, ids=lambda c: c.name)
def test_a_sign_of_life_is_one_of_every_worker(manager: Manager, tmp_path: Path, case: Case) -> None:
    environment = {
        "NOTIFY_SOCKET": f"@gatepost-test-{tmp_path.name}-{os.getpid()}",
        "WATCHDOG_USEC": "10000000",
    }
    notifier = Notifier(environment)
    configuration = load_text('[server]\nhostname = "mx.example.com"\n', file="g", agent_settings={})
    log = ListLog()
    orders = Orders(
        configuration=configuration,
        load=lambda: configuration,
        ask=lambda worker, command: "",
        log=log,
        change_log=lambda before, wanted: None,
        notifier=notifier,
        now=lambda: 0.0,
        is_announced=True,
    )
    supervisor = Supervisor(
        orders=orders,
        worker=lambda configuration, number, birth: 0,
        control=lambda configuration: 0,
        log=log,
        workers=2,
        notifier=notifier,
    )
    healthy = Child(0, pid=1, is_ready=True, heard_at=1000.0)
    supervisor._children = [healthy, Child(1, pid=2, is_ready=case.is_ready, heard_at=1000.0 - case.silent_s)]
    supervisor._tell_systemd(1000.0)
    notifier.stopping()
    manager.hears("STOPPING")
    assert ("WATCHDOG=1" in manager.heard) is case.alive


def test_nobody_who_is_not_asked_speaks() -> None:
    environment = {"NOTIFY_SOCKET": "/nowhere/notify", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    notifier = Notifier(environment)
    notifier.ready("a socket that is not there is no error")
    assert (notifier.watchdog_s, environment) == (0.0, {})


LAUNCHER = """
import os, socket, sys
sockets = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[1].split(",")]
os.dup2(sockets[0].fileno(), 3) if sockets[0].fileno() != 3 else os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_FDNAMES="internet", LISTEN_PID=str(os.getpid()))
os.execv(sys.executable, [sys.executable, "-m", "gatepost", "run"])
"""


def launched(made: GatewayUnderTest, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(port)],
        env={**os.environ, "GATEPOST_CONFIG": str(made.process.configuration)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_socket_that_systemd_opened_is_served(tmp_path: Path) -> None:
    made = gateway_in(Path(short := f"/tmp/gp-{os.getpid()}-handed"), smart_host=NOWHERE)
    process = launched(made, made.port)
    try:

        def greets() -> bool:
            try:
                with socket.create_connection((made.host, made.port), timeout=20) as wire:
                    return wire.recv(3) == b"220"
            except OSError:
                return False

        wait_until(greets)
    finally:
        process.terminate()
        process.communicate(timeout=60)
        subprocess.run(["rm", "-rf", short], check=True)
    assert process.returncode == 0


def test_a_socket_nobody_listens_at_is_told(tmp_path: Path, free_port: Callable[[], int]) -> None:
    made = gateway_in(tmp_path / "g", smart_host=NOWHERE)
    other = free_port()
    process = launched(made, other)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 3
    assert (
        f"systemd handed over a socket for 127.0.0.1:{other}, and no receive connector listens there" in said
    )
    assert f"127.0.0.1:{made.port}" in said


def test_sockets_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    assert handed_over(environment) == {}
    assert environment == {}


def test_a_number_that_is_none_is_told() -> None:
    with pytest.raises(WorldFault, match="LISTEN_FDS='many' is not a number"):
        handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"})


def test_addresses_are_compared_and_not_texts() -> None:
    with socket.socket() as one:
        found = matched({Binding("::1", 25): one}, {"[0::1]:25": ["internet"]})
        assert found == {"[0::1]:25": one}


@pytest.mark.service("systemd-analyze")
def test_the_unit_scores_two_or_better() -> None:
    unit = PACKAGING / "gatepost.service"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_unit_fits_the_gateway() -> None:
    lines = (PACKAGING / "gatepost.service").read_text("utf-8").splitlines()
    said = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    for name in ("ExecStart", "ExecReload"):
        assert said[name].split()[1] in COMMANDS
    stop_timeout_s = Server.model_fields["stop_timeout_s"].default
    assert float(said["TimeoutStopSec"]) > stop_timeout_s + 30
    assert said["Type"] == "notify"


@pytest.mark.service("systemd-analyze")
@pytest.mark.parametrize("name", ["gatepost.service", "gatepost.socket"])
def test_the_units_are_well_formed(name: str) -> None:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(PACKAGING / name)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = [
        line for line in done.stderr.splitlines() if "gatepost" in line and "is not executable" not in line
    ]
    assert said == []
