"""The real `gatepost run`: what its supervisor does when children die, when it is told things, when it cannot start."""

from __future__ import annotations

import contextlib
import os
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from tests.services.gateway import GatewayUnderTest, gateway_in, wait_until

from gatepost.lab.sink import Sink
from gatepost.model.mail_id import mail_id_number, worker_of

Start = Callable[..., GatewayUnderTest]
NOWHERE = "[127.0.0.1]:9"


def workers(gateway: GatewayUnderTest) -> list[psutil.Process]:
    return psutil.Process(gateway.process.pid).children()


def takes_mail(gateway: GatewayUnderTest) -> bool:
    try:
        with smtplib.SMTP(gateway.host, gateway.port, timeout=5) as client:
            client.sendmail(
                "ann@client.example", ["bob@ours.example"], "From: ann@client.example\r\n\r\nhi\r\n"
            )
    except (OSError, smtplib.SMTPException):
        return False
    return True


@pytest.mark.threat("O01", "O26")
def test_a_worker_that_dies_is_replaced_and_its_mail_is_there(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    assert takes_mail(running)
    workers(running)[0].kill()
    wait_until(lambda: takes_mail(running))
    assert len(running.ask("queue", "list")) == 2


@pytest.mark.slow  # a start
def test_signals_that_mean_nothing_here_end_nothing_and_sigquit_is_a_stop(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    born = [child.pid for child in workers(running)]
    running.process.signal(signal.SIGUSR2)
    for pid in born:
        os.kill(pid, signal.SIGQUIT)  # a terminal's reaches the whole group
    wait_until(lambda: '"signal-ignored"' in running.process.log_end(100))
    assert takes_mail(running)
    assert [child.pid for child in workers(running)] == born
    running.process.signal(signal.SIGQUIT)
    wait_until(lambda: not running.process.is_running)
    assert '"stopped"' in running.process.log_end(3)
    assert "child-ended" not in running.process.log_end(1000)


@pytest.mark.slow  # a start, and three deaths
@pytest.mark.threat("P17")
def test_dead_children_are_reaped_and_counted_and_none_outlives_its_supervisor(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE, workers=2)

    def told(times: int) -> bool:
        return running.process.log.read_text("utf-8").count('"child-ended"') >= times

    # When a worker dies again and again
    for times in range(1, 4):
        workers(running)[0].kill()
        wait_until(partial(told, times))
        wait_until(lambda: len(workers(running)) == 2)
    # Then nothing is left of it but lines in the log
    assert [child.status() for child in workers(running)].count(psutil.STATUS_ZOMBIE) == 0
    # And when the supervisor itself is killed, its children end with it
    children = workers(running)
    os.kill(running.process.pid, signal.SIGKILL)
    wait_until(lambda: not any(child.is_running() for child in children))


@pytest.mark.slow  # three starts
def test_with_fewer_workers_the_mail_of_the_others_still_leaves(gateway: Start, sink: Sink) -> None:
    """Each worker has a store of its own: a smaller `workers` must not leave one lying."""
    running = gateway(smart_host=NOWHERE, workers=2)

    def of_the_second() -> int:
        """Mails in the store of worker 1; the kernel chooses who is given a connection."""
        assert takes_mail(running)
        return sum(worker_of(mail_id_number(mail["id"])) for mail in running.ask("queue", "list"))

    wait_until(of_the_second)
    sent = len(running.ask("queue", "list"))
    running.stop()
    file = running.process.configuration
    text = file.read_text("utf-8").replace("workers = 2", "workers = 1")
    file.write_text(text.replace(NOWHERE, f"[127.0.0.1]:{sink.port}"), "utf-8")
    running.process.start()
    running.cli("queue", "retry", "--all", "--yes")
    wait_until(lambda: len(sink.mails) == sent)
    wait_until(lambda: running.ask("queue", "list") == [])
    assert takes_mail(running)
    running.stop()
    running.process.start()
    assert len(workers(running)) == 1, "nobody is started for an empty store"


@pytest.mark.threat("O25")
def test_sighup_reads_the_file_again_and_keeps_what_runs_when_it_is_wrong(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    file = running.process.configuration
    good = file.read_text("utf-8")
    file.write_text(good + "\n[nonsense]\n", "utf-8")
    running.process.signal(signal.SIGHUP)
    wait_until(lambda: "reload-refused" in running.process.log_end())
    assert takes_mail(running)
    file.write_text(good.replace('hostname = "mx.ours.example"', 'hostname = "new.ours.example"'), "utf-8")
    running.process.signal(signal.SIGHUP)

    def new_name() -> bool:
        with socket.create_connection((running.host, running.port), timeout=5) as wire:
            return b"220 new.ours.example" in wire.recv(200)

    wait_until(new_name)
    assert takes_mail(running)


@pytest.mark.threat("O25")
def test_a_second_sigterm_ends_at_once_and_loses_nothing(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    assert takes_mail(running)
    # Given a session in the middle of a message, which a stop would wait for
    with contextlib.closing(smtplib.SMTP(running.host, running.port, timeout=60)) as client:
        client.ehlo()
        client.mail("ann@client.example")
        client.rcpt("ann@ours.example")
        assert client.docmd("DATA")[0] == 354
        running.process.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in running.process.log_end())
        running.process.signal(signal.SIGTERM)
        # Then it is cut off
        wait_until(lambda: not running.process.is_running)
    # And what was answered 250 is there, the other is not
    assert len(running.ask("queue", "list")) == 1
    running.start()
    assert takes_mail(running)


@pytest.mark.threat("O11")
def test_a_second_gateway_on_the_same_state_directory_does_not_start(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE)
    second = subprocess.run(
        [sys.executable, "-m", "gatepost", "run"],
        env={**os.environ, "GATEPOST_CONFIG": str(running.process.configuration)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode != 0
    assert "is used by another gateway that runs" in second.stdout + second.stderr
    assert "Traceback" not in second.stderr


def test_log_files_are_opened_again_at_sigusr1(tmp_path: Path) -> None:
    log = tmp_path / "gatepost.log"
    with_log(tmp_path, log)


def with_log(tmp_path: Path, log: Path) -> None:
    for running in started(tmp_path, more=f'\n[log]\nfile = "{log}"\n'):
        wait_until(lambda: log.exists() and "worker-ready" in log.read_text("utf-8"))
        log.rename(tmp_path / "rotated")
        running.process.signal(signal.SIGUSR1)
        wait_until(log.exists)
        workers(running)[0].kill()
        wait_until(lambda: "child-ended" in log.read_text("utf-8"))


def started(tmp_path: Path, **wishes: str) -> Iterator[GatewayUnderTest]:
    with tempfile.TemporaryDirectory(prefix="gp-") as short:
        running = gateway_in(Path(short), smart_host=NOWHERE, **wishes)
        running.start()
        try:
            yield running
        finally:
            running.stop()


@pytest.mark.threat("T06")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_started_as_root_it_becomes_the_account_it_is_told(tmp_path: Path) -> None:
    for running in started(tmp_path):
        file = running.process.configuration
        running.stop()
        text = file.read_text("utf-8").replace("workers = 1", 'workers = 1\nuser = "nobody"')
        file.write_text(text, "utf-8")
        for path in (running.directory, running.directory / "recipients.txt", file):
            path.chmod(0o755)
        subprocess.run(["chown", "-R", "nobody", str(running.state)], check=True)
        running.start()
        process = psutil.Process(running.process.pid)
        assert {process.username(), *(child.username() for child in process.children())} == {"nobody"}
        assert takes_mail(running)


@pytest.mark.threat("T01")
def test_without_a_configuration_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gatepost", "--config", str(tmp_path / "none.toml"), "run"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "none.toml" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow  # its silence has to last
@pytest.mark.threat("P03")
def test_a_worker_that_stands_still_is_replaced(gateway: Start) -> None:
    running = gateway(smart_host=NOWHERE, more="")
    file = running.process.configuration
    running.stop()
    text = file.read_text("utf-8").replace("workers = 1", 'workers = 1\nsilence-limit = "3s"')
    file.write_text(text, "utf-8")
    running.process.start()
    (worker,) = workers(running)
    worker.suspend()  # it does not even answer SIGABRT
    wait_until(lambda: [one.pid for one in workers(running)] not in ([], [worker.pid]), timeout_s=60)
    wait_until(lambda: takes_mail(running))
    said = (running.directory / "gatepost.log").read_text("utf-8")
    assert '"event":"child-silent"' in said
