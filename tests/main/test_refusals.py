"""Where the gateway refuses to start, and what it keeps of its rights when it does: told before a port is bound."""

from __future__ import annotations

import os
import re
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.services.gateway import GatewayUnderTest, gateway_in

from gatepost.config.settings import Queue, Server, Settings
from gatepost.main.privileges import close_the_room
from gatepost.main.refusals import GatewayLock, prepare_state, refuse_to_start
from gatepost.model.fault import WorldFault

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
Start = Callable[..., GatewayUnderTest]


def settings(state: Path, **more: object) -> Settings:
    server = Server.model_validate({"hostname": "mx.ours.example", "state-directory": str(state), **more})
    return Settings(server=server, queue=Queue.model_validate({"allow-volatile": True}))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    prepare_state(made, "")
    return made


@pytest.mark.threat("O08")
@pytest.mark.parametrize("kind", ["nfs4", "cifs", "tmpfs"])
def test_a_disk_that_forgets_is_refused(state: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr("gatepost.adapters.disk.file_system_of", lambda *_: kind)
    safe = settings(state).model_copy(update={"queue": Queue()})
    with pytest.raises(WorldFault, match=f"{state} is on {kind}"):
        refuse_to_start(safe)


def test_a_place_that_is_ours_alone_is_taken(state: Path) -> None:
    refuse_to_start(settings(state))
    refuse_to_start(settings(state / "that" / "is" / "not" / "there"))


@pytest.mark.threat("T03")
def test_a_state_directory_open_to_others_is_refused(state: Path) -> None:
    state.chmod(0o755)
    with pytest.raises(
        WorldFault, match=rf"is open to every user of this machine \(mode 0755\): chmod 700 {state}"
    ):
        refuse_to_start(settings(state))
    state.chmod(0o750)
    refuse_to_start(settings(state))


@ROOT_ONLY
@pytest.mark.threat("T03")
def test_a_state_directory_of_somebody_else_is_refused(state: Path) -> None:
    os.chown(state, 65534, 65534)
    with pytest.raises(WorldFault, match="belongs to nobody, and the gateway would run as root"):
        refuse_to_start(settings(state))
    # As that account it is right, and root gives it away
    refuse_to_start(settings(state, user="nobody"))
    os.chown(state, 0, 0)
    refuse_to_start(settings(state, user="nobody"))
    # A store in it that root wrote is not
    (state / "worker-0").mkdir()
    with pytest.raises(
        WorldFault, match=r"worker-0 belongs to root, and the gateway would run as nobody: .* chown -R"
    ):
        refuse_to_start(settings(state, user="nobody"))


@ROOT_ONLY
@pytest.mark.threat("T03")
@pytest.mark.parametrize("name", ["lock", "in-flight", "bodies"])
def test_a_part_of_a_store_that_root_wrote_is_named_before_a_port_is_bound(state: Path, name: str) -> None:
    """A worker would die of it again and again while the port is open."""
    (state / "worker-0").mkdir()
    (state / "worker-0" / name).mkdir() if name == "bodies" else (state / "worker-0" / name).touch()
    for path in (state, state / "worker-0"):
        os.chown(path, 65534, 65534)
    with pytest.raises(
        WorldFault, match=f"worker-0/{name} belongs to root, and the gateway would run as nobody"
    ):
        refuse_to_start(settings(state, user="nobody"))
    os.chown(state / "worker-0" / name, 65534, 65534)
    refuse_to_start(settings(state, user="nobody"))


@pytest.mark.threat("T10", "O14")
def test_a_store_of_a_newer_gatepost_is_refused(state: Path) -> None:
    (state / "worker-0").mkdir()
    with sqlite3.connect(state / "worker-0" / "store.db") as store:
        store.execute("CREATE TABLE x (y)")
        store.execute("PRAGMA user_version = 4000")
    store.close()
    with pytest.raises(
        WorldFault, match=r"store.db has version 4000, this gatepost knows \d+: .* newer gatepost"
    ):
        refuse_to_start(settings(state))


@pytest.mark.threat("O11")
def test_a_state_directory_has_one_gateway(state: Path) -> None:
    first = GatewayLock(settings(state))
    with pytest.raises(WorldFault, match=rf"is used by another gateway that runs \(process {os.getpid()}\)"):
        GatewayLock(settings(state))
    first.leave()
    GatewayLock(settings(state)).leave()


@ROOT_ONLY
@pytest.mark.threat("T06")
def test_agents_of_third_parties_are_not_run_as_root(state: Path, tmp_path: Path) -> None:
    wanted = settings(state)
    policy = wanted.policy.model_copy(update={"agents_directory": str(tmp_path)})
    with pytest.raises(WorldFault, match=r"are not run as root: name an account in server.user"):
        refuse_to_start(wanted.model_copy(update={"policy": policy}))
    refuse_to_start(settings(state, user="nobody").model_copy(update={"policy": policy}))


def test_an_account_that_is_gone_is_told(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.main.refusals.os.geteuid", lambda: 0)
    with pytest.raises(WorldFault, match="there is no account 'nosuch'"):
        refuse_to_start(settings(state, user="nosuch"))


@pytest.mark.threat("T07")
def test_a_hostile_environment_is_left_behind() -> None:
    mask, limits = os.umask(0), resource.getrlimit(resource.RLIMIT_CORE)
    environment = {
        "PATH": "/home/evil/bin",
        "LD_PRELOAD": "/home/evil/lib.so",
        "PYTHONPATH": "/home/evil",
        "PYTHONSTARTUP": "/home/evil/x.py",
        "https_proxy": "http://evil.example",
        "OPENSSL_CONF": "/home/evil/openssl.cnf",
        "LC_ALL": "tr_TR",
        "TZ": "Europe/Berlin",
    }
    try:
        close_the_room(environment)
        assert sorted(environment) == ["PATH", "TZ"]
        assert "evil" not in environment["PATH"]
        assert os.umask(0o077) == 0o077
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    finally:
        os.umask(mask)
        del limits  # a hard limit that was lowered stays: the tests write no core files


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@ROOT_ONLY
@pytest.mark.threat("T05", "T06", "T07", "S07")
def test_after_the_start_nothing_of_root_is_left(tmp_path: Path) -> None:
    directory = Path(f"/tmp/gp-{os.getpid()}-root")
    made = gateway_in(directory, smart_host="[127.0.0.1]:9")
    file = made.process.configuration
    file.write_text(file.read_text("utf-8").replace("workers = 1", 'workers = 1\nuser = "nobody"'), "utf-8")
    for path in (directory, directory / "recipients.txt", file):
        path.chmod(0o755)
    made.start()
    try:
        supervisor = psutil.Process(made.process.pid)
        for process in (supervisor, *supervisor.children()):
            said = status_of(process.pid)
            assert said["Uid"].split() == ["65534"] * 4  # real, effective, saved, file system
            assert said["Gid"].split() == ["65534"] * 4
            assert said["Groups"].split() in ([], ["65534"])
            assert {said[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
            assert (said["NoNewPrivs"], said["Umask"]) == ("1", "0077")
            limits = Path(f"/proc/{process.pid}/limits").read_text("ascii")
            assert re.search(r"Max core file size +0 +0 ", limits)
        assert {path.stat().st_uid for path in made.state.rglob("*")} == {65534}
        assert all(path.stat().st_mode & 0o077 == 0 for path in made.state.rglob("*"))
    finally:
        made.stop()
        for path in sorted(directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        directory.rmdir()
