"""Agents of third parties in a real gateway: whatever a mail makes one do, other mail flows and nothing is lost."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import smtplib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from tests.services.background import Background
from tests.services.gateway import GatewayUnderTest, gateway_in, wait_until

from gatepost.lab.sink import Behaviour, Sink

HOSTILE = Path(__file__).with_name("hostile_agent.py")
HOSTILE_FACT = Path(__file__).with_name("hostile_fact.py")
FAULTS = 20
LIMITS = f"[policy.faults]\nlimit = {FAULTS}\n"
LIMITS += '[scan-workers]\nprocesses = 2\ntime = "1s"\ncpu-time = "1s"\nmemory = "64MiB"\n'
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
    with a_gateway(mailbox_server, workers=1) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def two_workers(mailbox_server: Sink) -> Iterator[GatewayUnderTest]:
    with a_gateway(mailbox_server, workers=2) as gateway:
        yield gateway


@contextmanager
def a_gateway(mailbox_server: Sink, *, workers: int) -> Iterator[GatewayUnderTest]:
    """With the hostile agent and the hostile fact."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the account that the gateway becomes
        agents = folder / "agents"
        agents.mkdir(mode=0o755)
        shutil.copy(HOSTILE, agents / "obedient.py")
        shutil.copy(HOSTILE_FACT, agents / "mood.py")
        more = (
            f'[policy]\nagents-directory = "{agents}"\n{LIMITS}'
            f'[agents.obedient]\nsecret = "{folder / "state" / "secret"}"\n'
        )
        smart_host = f"[127.0.0.1]:{mailbox_server.port}"
        gateway = gateway_in(folder, smart_host=smart_host, more=more, workers=workers)
        gateway.state.mkdir(mode=0o700)
        (gateway.state / "secret").write_text("the key", "ascii")
        if os.geteuid() == 0:  # agents of third parties are not run as root
            file = gateway.process.configuration
            text = file.read_text("utf-8").replace("[server]", '[server]\nuser = "nobody"')
            file.write_text(text, "utf-8")
            for place in (gateway.state, gateway.state / "secret"):
                shutil.chown(place, "nobody")
        gateway.start()
        try:
            yield gateway
        finally:
            gateway.stop()


def send(gateway: GatewayUnderTest, subject: str, body: str = "hi") -> tuple[int, bytes]:
    with smtplib.SMTP(gateway.host, gateway.port, timeout=60) as client:
        client.ehlo("client.example")
        client.mail("ann@client.example")
        client.rcpt("bob@ours.example")
        return client.data(f"From: ann@client.example\r\nSubject: {subject}\r\n\r\n{body}\r\n".encode())


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


LATE = """
from gatepost.message.headers import HeaderIndex
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Stage, Verdict

class Agent:
    "Refuse what comes late."
    name = "late"
    needs = {Stage.END_OF_HEADERS: ()}
    when_unknown = Action.PASS
    is_filter = False
    findings = ()

    def __init__(self, settings, site): ...

    def examine(self, mail, known):
        if HeaderIndex.parse(mail.head).first(b"subject") != b"late":
            return Verdict(agent=self.name)
        return Verdict.reject(self.name, Reply(550, "5.7.1", "WORDS"), "it is late")
"""


def wait_until_others_than(before: set[int], running: GatewayUnderTest) -> None:
    """Every scan worker was begun anew."""
    wait_until(lambda: scan_workers(running) and not scan_workers(running) & before)


def test_a_reload_takes_new_and_changed_agents_although_the_configuration_is_the_same(
    running: GatewayUnderTest, sink: Sink
) -> None:
    # Given a file beside the others, then another one in its place; the configuration is not touched
    for words in ("Too late", "Much too late"):
        (running.directory / "agents" / "late.py").write_text(LATE.replace("WORDS", words), "utf-8")
        before = scan_workers(running)
        # When
        assert running.cli("reload").returncode == 0
        wait_until_others_than(before, running)
        # Then
        assert send(running, "late") == (550, f"5.7.1 {words}".encode())
    assert send(running, "hello")[0] == 250
    assert seen(sink).endswith("possible")


def off(gateway: GatewayUnderTest) -> list[str]:
    """What `gatepost status` says is switched off."""
    return [one["plug_in"] for one in gateway.ask("status")["plug_ins_off"]]


@pytest.mark.slow  # twenty mails, and a reload
@pytest.mark.threat("P03")
def test_an_agent_that_fails_again_and_again_is_switched_off_in_every_worker(
    two_workers: GatewayUnderTest, sink: Sink
) -> None:
    numbers = itertools.count()

    def until_off() -> None:
        wait_until(lambda: send(two_workers, "raise", f"mail {next(numbers)}")[0] == 250)

    until_off()
    assert next(numbers) > FAULTS
    # In each worker its mail is taken without it, as its when_unknown says; all others hear it as ever
    wait_until(lambda: all(send(two_workers, "raise", "again")[0] == 250 for _ in range(8)))
    lines = [json.loads(line) for line in two_workers.process.log.read_text("utf-8").splitlines()]
    assert {line["level"] for line in lines if line["event"] == "plug-in-off"} == {"error"}
    assert [one["plug_in"] for one in two_workers.ask("plug-ins", "list")] == ["agent obedient"]
    said = two_workers.cli("status").stdout
    assert re.search(r"agent obedient is switched off after 2\d faults \(ValueError\), until", said)
    # It comes back when somebody says so,
    assert two_workers.cli("plug-ins", "resume", "obedient").stdout == "agent obedient: asked again\n"
    wait_until(lambda: all(send(two_workers, "raise", "again")[0] == 451 for _ in range(8)))
    # and by a reload
    until_off()
    assert two_workers.cli("reload").returncode == 0
    wait_until(lambda: all(send(two_workers, "refuse")[0] == 550 for _ in range(8)))
    assert off(two_workers) == []
    assert two_workers.cli("plug-ins", "resume", "obedient").returncode == 1


@pytest.mark.slow  # two deaths
@pytest.mark.threat("P03")
def test_a_fact_in_which_workers_die_is_switched_off(two_workers: GatewayUnderTest, sink: Sink) -> None:
    def ends_it() -> bool:
        try:
            return send(two_workers, "end the worker")[0] != 250
        except (OSError, smtplib.SMTPException):
            return True

    deaths = 0
    while ends_it():
        deaths += 1
        assert deaths < 20, "it is never switched off"
    assert deaths >= 2
    assert off(two_workers) == ["fact mood"]
    wait_until(lambda: sink.mails)
    assert b"X-Mood" not in sink.mails.pop().content
    assert two_workers.cli("plug-ins", "resume", "fact mood").returncode == 0
    wait_until(lambda: send(two_workers, "hello")[0] == 250 and b"X-Mood" in arrived(sink))


def arrived(sink: Sink) -> bytes:
    wait_until(lambda: sink.mails)
    return sink.mails.pop().content
