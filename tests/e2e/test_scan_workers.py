"""Agents of third parties in a real gateway: whatever a mail makes one do, other mail flows and nothing is lost."""

from __future__ import annotations

import os
import shutil
import smtplib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.services.background import Background
from tests.services.gateway import GatewayUnderTest, gateway_in, wait_until

from gatepost.lab.sink import Behaviour, Sink

HOSTILE = Path(__file__).with_name("hostile_agent.py")
LIMITS = '[scan-workers]\nprocesses = 2\ntime = "1s"\ncpu-time = "1s"\nmemory = "64MiB"\n'
DEFERRED = (451, b"4.3.0")


@pytest.fixture(scope="module")
def mailbox_server() -> Iterator[Sink]:
    """One for all tests of this file."""
    background = Background()
    made = Sink(Behaviour())
    background.run(made.start())
    yield made
    background.run(made.stop())
    background.close()


@pytest.fixture
def sink(mailbox_server: Sink) -> Sink:
    mailbox_server.mails.clear()
    return mailbox_server


@pytest.fixture(scope="module")
def running(mailbox_server: Sink) -> Iterator[GatewayUnderTest]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the account that the gateway becomes
        agents = folder / "agents"
        agents.mkdir(mode=0o755)
        shutil.copy(HOSTILE, agents / "obedient.py")
        more = (
            f'[policy]\nagents-directory = "{agents}"\n{LIMITS}'
            f'[agents.obedient]\nsecret = "{folder / "state" / "secret"}"\n'
        )
        gateway = gateway_in(folder, smart_host=f"[127.0.0.1]:{mailbox_server.port}", more=more)
        gateway.state.mkdir(mode=0o700)
        (gateway.state / "secret").write_text("the key", "ascii")
        if os.geteuid() == 0:  # agents of third parties are not run as root
            file = gateway.process.configuration
            text = file.read_text("utf-8").replace("workers = 1", 'workers = 1\nuser = "nobody"')
            file.write_text(text, "utf-8")
            for place in (gateway.state, gateway.state / "secret"):
                shutil.chown(place, "nobody")
        gateway.start()
        try:
            yield gateway
        finally:
            gateway.stop()


def send(gateway: GatewayUnderTest, subject: str) -> tuple[int, bytes]:
    with smtplib.SMTP(gateway.host, gateway.port, timeout=60) as client:
        client.ehlo("client.example")
        client.mail("ann@client.example")
        client.rcpt("bob@ours.example")
        return client.data(f"From: ann@client.example\r\nSubject: {subject}\r\n\r\nhi\r\n".encode())


def scan_workers(gateway: GatewayUnderTest) -> set[int]:
    found = psutil.Process(gateway.process.pid).children()
    return {one.pid for one in found if one.name().startswith("gate:s")}


def seen(sink: Sink) -> str:
    """What the agent wrote into the mail that came out last: which process it was in, and what it could do."""
    wait_until(lambda: sink.mails)
    head, _, _ = sink.mails.pop().content.partition(b"\r\n\r\n")
    return next(line[8:].decode() for line in head.split(b"\r\n") if line.startswith(b"X-Seen: "))


def test_an_agent_is_asked_in_a_scan_worker(running: GatewayUnderTest, sink: Sink) -> None:
    assert send(running, "hello")[0] == 250
    process, _, what = seen(sink).partition(" ")
    assert int(process) in scan_workers(running)
    assert what == "possible"
    code, text = send(running, "refuse")
    assert (code, text) == (550, b"5.7.1 Refused as it wished")


@pytest.mark.threat("T04")
@pytest.mark.parametrize("deed", ["connect", "fork", "execute", "write", "read", "kill"])
def test_it_reaches_nothing(running: GatewayUnderTest, sink: Sink, deed: str) -> None:
    assert send(running, deed)[0] == 250
    assert seen(sink).partition(" ")[2].startswith("not possible")
    assert not (running.state / "written").exists()
    assert psutil.pid_exists(running.process.pid)


@pytest.mark.slow  # each takes its second of time three times
@pytest.mark.threat("P02", "P03")
@pytest.mark.parametrize("deed", ["spin", "sleep", "crash", "leave"])
def test_a_mail_that_kills_the_scan_worker_is_put_off_and_then_held(
    running: GatewayUnderTest, sink: Sink, deed: str
) -> None:
    before, held = scan_workers(running), len(running.ask("quarantine", "list"))
    for _ in range(2):
        code, text = send(running, deed)
        assert (code, text[:5]) == DEFERRED
    assert send(running, deed)[0] == 250  # the third time it is held, unread, for a person to look at
    now_held = running.ask("quarantine", "list")
    assert len(now_held) == held + 1
    assert all("killed the scan worker 3 times" in str(one) for one in now_held)
    wait_until(lambda: len(scan_workers(running)) == len(before) and scan_workers(running) != before)
    assert send(running, "hello")[0] == 250
    assert seen(sink).endswith("possible")


@pytest.mark.threat("P03")
@pytest.mark.parametrize("deed", ["raise", "exit", "leak", "lie"])
def test_a_bug_puts_the_mail_off(running: GatewayUnderTest, sink: Sink, deed: str) -> None:
    code, text = send(running, deed)
    assert (code, text[:5]) == DEFERRED
    wait_until(lambda: "agent-bug" in (running.directory / "gatepost.log").read_text("utf-8"))
    assert send(running, "hello")[0] == 250
    assert seen(sink).endswith("possible")


@pytest.mark.threat("P03")
@pytest.mark.parametrize("deed", ["print", "locale"])
def test_what_it_does_to_its_own_process_stays_there(
    running: GatewayUnderTest, sink: Sink, deed: str
) -> None:
    assert send(running, deed)[0] == 250
    assert seen(sink)
    assert "forged" not in running.process.log_end()


def test_a_reload_gives_scan_workers_the_new_file(running: GatewayUnderTest, sink: Sink) -> None:
    before = scan_workers(running)
    file = running.process.configuration
    file.write_text(file.read_text("utf-8").replace("processes = 2", "processes = 3"), "utf-8")
    assert running.cli("reload").returncode == 0
    wait_until(lambda: len(scan_workers(running) - before) == 3 and not scan_workers(running) & before)
    assert send(running, "hello")[0] == 250
    assert seen(sink).endswith("possible")
