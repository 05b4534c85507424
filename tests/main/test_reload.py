"""Reloading a running gateway: sessions, deliveries and the door states go on; what is wrong changes nothing."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from tests.certificates import client as tls_client
from tests.certificates import in_file, leaf
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.adapters.control_socket import ask
from gatepost.control.commands import AskStatus, Refused, WorkerStatus
from gatepost.control.commands import decode_reply as worker_reply
from gatepost.control.commands import encode as worker_command
from gatepost.control.gateway import (
    AnyGatewayCommand,
    AnyGatewayReply,
    AskWorkers,
    ConnectorVerb,
    Held,
    HoldConnector,
    Reload,
    Reloaded,
    Workers,
    decode_reply,
    encode,
)
from gatepost.lab.sink import Sink
from gatepost.model.connector_state import ConnectorState
from gatepost.model.fault import WorldFault

Start = Callable[..., GatewayUnderTest]
NOWHERE = "[127.0.0.1]:9"
LETTER = "From: you@there.example\r\nSubject: hi\r\n\r\nhi\r\n"
OLD, NEW = 'hostname = "mx.ours.example"', 'hostname = "new.ours.example"'


OFTEN = ("[receive-connectors.test.limits]", "connection-rate-per-source = 0", "message-rate-per-source = 0")
"""One client comes as often as it likes."""


def change(gateway: GatewayUnderTest, before: str, after: str) -> None:
    file = gateway.process.configuration
    text = file.read_text("utf-8")
    assert before in text
    file.write_text(text.replace(before, after), "utf-8")


def order(gateway: GatewayUnderTest, command: AnyGatewayCommand) -> AnyGatewayReply:
    """What `gatepost reload` and `gatepost connector` do, without starting Python for each."""
    path = gateway.state / "control" / "gateway.sock"
    return decode_reply(ask(str(path), encode(command), timeout_s=60))


def reload(gateway: GatewayUnderTest) -> Reloaded:
    said = order(gateway, Reload())
    assert isinstance(said, Reloaded), said
    return said


def hold(gateway: GatewayUnderTest, verb: ConnectorVerb) -> AnyGatewayReply:
    return order(gateway, HoldConnector(name="test", verb=verb))


def banner(gateway: GatewayUnderTest) -> bytes:
    with socket.create_connection((gateway.host, gateway.port), timeout=20) as wire:
        return wire.recv(200)


def goes_on(client: smtplib.SMTP) -> bool:
    try:
        return client.noop()[0] == 250
    except smtplib.SMTPServerDisconnected:
        return False


def shows_only(gateway: GatewayUnderTest, name: str) -> bool:
    """Every worker has taken the certificate for that name over."""
    return all(name in one["names"] for one in gateway.ask("status")["certificates"])


@contextmanager
def knocking(gateway: GatewayUnderTest) -> Iterator[list[bytes]]:
    """Connections, one after the other, all the while; what each was greeted with."""
    greetings: list[bytes] = []
    enough = threading.Event()

    def knock() -> None:
        while not enough.is_set():
            try:
                greetings.append(banner(gateway)[:3])
            except OSError as error:
                greetings.append(repr(error).encode())

    knocker = threading.Thread(target=knock)
    knocker.start()
    try:
        yield greetings
    finally:
        enough.set()
        knocker.join()


@pytest.mark.threat("O25")
def test_a_session_that_is_open_delivers_its_mail_after_a_reload(gateway: Start, sink: Sink) -> None:
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=OFTEN)
    with smtplib.SMTP(running.host, running.port) as client, knocking(running) as greetings:
        client.ehlo()
        client.mail("you@there.example")
        # When the configuration changes in the middle of a mail
        change(running, OLD, NEW)
        done = running.cli("reload")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "is in force in 1 worker" in done.stdout
        # Then new sessions meet the new one
        assert banner(running).startswith(b"220 new.ours.example")
        # And the old session goes on, with this mail and the next
        assert client.rcpt("ann@ours.example")[0] == 250
        assert client.data(LETTER)[0] == 250
        client.sendmail("you@there.example", ["bob@ours.example"], LETTER)
    wait_until(lambda: len(sink.mails) == 2)
    assert {mail.recipients for mail in sink.mails} == {("ann@ours.example",), ("bob@ours.example",)}
    # And nobody was refused meanwhile
    assert set(greetings) == {b"220"}
    # And the worker is the one it was
    assert "child-ended" not in running.process.log_end(1000)


@pytest.mark.slow  # load
@pytest.mark.threat("O25", "D21")
def test_reloads_and_new_certificates_under_load_lose_no_session_and_no_mail(
    gateway: Start, sink: Sink, tmp_path: Path
) -> None:
    certificate = tmp_path / "mx.pem"
    in_file(certificate, leaf("zero.ours.example"))
    lines = (f'certificate-file = "{certificate}"', *OFTEN)
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=lines)
    running.stop()
    change(running, "workers = 1", "workers = 2")
    running.start()
    wait_until(lambda: len(running.ask("status")["workers"]) == 2)
    enough = threading.Event()
    troubles: list[Exception] = []
    sent: list[str] = []

    def send(who: int) -> None:
        number = 0
        while not enough.is_set():
            try:
                with smtplib.SMTP(running.host, running.port, timeout=60) as client:
                    if who % 2:
                        client.starttls(context=tls_client())
                    for _ in range(3):
                        number += 1
                        client.sendmail(f"{who}.{number}@there.example", ["ann@ours.example"], LETTER)
                        sent.append(f"{who}.{number}@there.example")
            except (OSError, smtplib.SMTPException) as error:
                troubles.append(error)

    senders = [threading.Thread(target=send, args=(who,)) for who in range(4)]
    for sender in senders:
        sender.start()
    for name in ("one", "two", "three"):
        in_file(certificate, leaf(f"{name}.ours.example"))
        change(running, 'hostname = "', f'hostname = "{name}.')
        assert reload(running).workers == (0, 1)
        # And one that comes by itself, which each worker finds within a second or two
        in_file(certificate, leaf(f"{name}.again.ours.example"))
        wait_until(partial(shows_only, running, f"{name}.again.ours.example"), timeout_s=60)
    enough.set()
    for sender in senders:
        sender.join()
    assert troubles == []
    wait_until(lambda: running.cli("queue", "list").stdout.startswith("the queue is empty"), timeout_s=60)
    assert sorted(mail.sender for mail in sink.mails) == sorted(sent)


class PatientHop:
    """A mailbox server that answers the end of a mail when it is let go."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.recipients: list[str] = []
        self.has_mail, self.let_go = threading.Event(), threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            wire, _ = self._listening.accept()
            threading.Thread(target=self._talk, args=(wire,), daemon=True).start()

    def _talk(self, wire: socket.socket) -> None:
        with contextlib.suppress(OSError), wire, wire.makefile("rwb", buffering=0) as talk:
            talk.write(b"220 hop.example\r\n")
            in_text = False
            for line in talk:
                if in_text and line != b".\r\n":
                    continue
                if in_text:
                    self.has_mail.set()
                    self.let_go.wait(60)
                if line.upper().startswith(b"RCPT"):
                    self.recipients.append(line.decode().strip())
                in_text = line.upper().startswith(b"DATA")
                talk.write(b"354 Go on\r\n" if in_text else b"250 2.0.0 OK\r\n")


@pytest.mark.threat("O25")
def test_a_delivery_on_the_wire_is_finished_and_not_repeated(gateway: Start) -> None:
    hop = PatientHop()
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}")
    with smtplib.SMTP(running.host, running.port) as client:
        client.sendmail("you@there.example", ["ann@ours.example"], LETTER)
        assert hop.has_mail.wait(60)
        # When the configuration is read again, twice, while the mail is on its way
        for name in ("one", "two"):
            change(running, 'hostname = "', f'hostname = "{name}.')
            assert reload(running).workers == (0,)
        client.sendmail("you@there.example", ["bob@ours.example"], LETTER)
    # Then the next mail does not wait for it, and both arrive, each once
    wait_until(lambda: len(hop.recipients) == 2)
    hop.let_go.set()
    wait_until(lambda: running.cli("queue", "list").stdout.startswith("the queue is empty"))
    assert sorted(hop.recipients) == ["RCPT TO:<ann@ours.example>", "RCPT TO:<bob@ours.example>"]


@pytest.mark.threat("T02")
def test_a_mistake_is_told_with_its_line_and_changes_nothing(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    change(running, 'tarpit = "0s"', "tarpit = 5")
    done = running.cli("reload")
    line = running.process.configuration.read_text("utf-8").splitlines().index("tarpit = 5") + 1
    assert done.returncode == 1
    assert f"gatepost.toml:{line}: receive-connectors.test.tarpit" in done.stderr
    assert "nothing was" in done.stderr
    assert banner(running).startswith(b"220 mx.ours.example")


NEEDS_RESTART = {
    "another state directory": ("workers = 1", "workers = 2", "server.workers is another"),
    "another port": (
        "listen = [",
        'listen = ["127.0.0.2:26", ',
        "other addresses to listen on (127.0.0.2:26)",
    ),
    "numbers switched on": ('listen = ""', 'listen = "127.0.0.1:9"', "metrics.listen was or is empty"),
}


def test_what_needs_a_restart_is_told_and_changes_nothing(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    for before, after, said in NEEDS_RESTART.values():
        change(running, before, after)
        answer = order(running, Reload())
        assert isinstance(answer, Refused)
        assert said in answer.reason
        change(running, after, before)
    assert reload(running).restarted == ()
    assert banner(running).startswith(b"220 mx.ours.example")


def test_a_worker_that_cannot_take_it_is_restarted_and_that_is_said(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    # Given a file too large for one frame
    much = "# much to say\n" * 80_000
    change(running, OLD, f"{NEW}\n{much}")
    said = reload(running)
    assert [(one.worker, one.reason) for one in said.restarted] == [
        (0, "the file is too large to be handed over")
    ]
    wait_until(lambda: banner(running).startswith(b"220 new.ours.example"))


def status(gateway: GatewayUnderTest) -> WorkerStatus:
    path = gateway.state / "control" / "worker-0.sock"
    said = worker_reply(ask(str(path), worker_command(AskStatus()), timeout_s=60))
    assert isinstance(said, WorkerStatus)
    return said


def test_connectors_pause_drain_stop_and_start_in_every_worker(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    # When it is paused, new clients are sent away and the open session goes on
    client = smtplib.SMTP(running.host, running.port)
    client.ehlo()
    assert hold(running, "pause") == Held(ConnectorState.PAUSED)
    assert banner(running).startswith(b"421 4.3.2 ")
    assert client.noop()[0] == 250
    # And that lasts over a reload
    change(running, OLD, NEW)
    reload(running)
    assert [door.state for door in status(running).connectors] == [ConnectorState.PAUSED]
    assert client.noop()[0] == 250
    # When it is drained, the session is told
    assert hold(running, "drain") == Held(ConnectorState.DRAINING)
    wait_until(lambda: not goes_on(client))
    client.close()
    assert hold(running, "resume") == Held(ConnectorState.RUNNING)
    assert banner(running).startswith(b"220 new.ours.example")
    # A stopped one is started, not resumed
    assert hold(running, "stop") == Held(ConnectorState.STOPPED)
    assert banner(running).startswith(b"421 4.3.2 ")
    assert hold(running, "resume") == Refused("test is stopped: `gatepost connector start test` starts it")
    assert hold(running, "start") == Held(ConnectorState.RUNNING)
    assert banner(running).startswith(b"220 ")
    # A name that is none is told
    wrong = running.cli("connector", "pause", "tset")
    assert (wrong.returncode, "did you mean test?" in wrong.stderr) == (1, True)


def test_a_worker_that_is_born_again_keeps_the_states(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    hold(running, "pause")
    before = status(running).process_id
    psutil.Process(before).kill()

    def is_another() -> bool:
        try:
            return status(running).process_id != before
        except WorldFault:
            return False

    wait_until(is_another)
    assert banner(running).startswith(b"421 4.3.2 ")
    said = order(running, AskWorkers())
    assert isinstance(said, Workers)
    assert [life.worker for life in said.lives] == [0]


def test_the_words_for_a_gateway_that_does_not_run(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    running.stop()
    for words in (("reload",), ("connector", "pause", "test")):
        done = running.cli(*words)
        assert (done.returncode, "the gateway does not run" in done.stderr) == (3, True)
