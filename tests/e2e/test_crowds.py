"""A real gateway among many clients, or short of something: good mail goes on, and the status tells why other waits."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import smtplib
import socket
import statistics
import time
from collections.abc import Callable

import psutil
import pytest
from tests.services.background import Background
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.lab.senders import RawClient, message
from gatepost.lab.sink import Behaviour, Sink

Gateways = Callable[..., GatewayUnderTest]
OFFICE = ("[receive-connectors.test.ranges.office]", 'addresses = ["127.0.0.2"]')
MARKS = """
[back-pressure]
interval = "0.1s"
[back-pressure.disk]
normal = "1000000000GiB"
medium = "1000000000GiB"
high = "1B"
"""
IDLE, SLOW, MAILS = 2000, 200, 200
CROWD = (
    "[receive-connectors.test.limits]",
    "connections-per-source = 1000000",
    "connections-per-network = 1000000",
    "source-share = 100",
    "connection-rate = 0",
    "connection-rate-per-source = 0",
    "message-rate-per-source = 0",
)


def into(sink: Sink) -> str:
    return f"[127.0.0.1]:{sink.port}"


def worker_of(gateway: GatewayUnderTest) -> psutil.Process:
    (worker,) = gateway.ask("status")["workers"]
    return psutil.Process(worker["process_id"])


@pytest.mark.threat("G10", "O05", "O06")
def test_under_pressure_strangers_wait_the_office_goes_on_and_mail_is_delivered(
    gateway: Gateways, sink: Sink
) -> None:
    # Given a gateway that thinks its disk is small
    running = gateway(smart_host=into(sink), connector=OFFICE, more=MARKS)
    wait_until(lambda: running.ask("status")["workers"][0]["pressure"] == "medium")
    # Then strangers hear 452
    with smtplib.SMTP(running.host, running.port) as stranger:
        stranger.ehlo()
        assert stranger.mail("you@there.example") == (452, b"4.3.1 Insufficient system resources")
    # And mail of the office is taken, and delivered
    with smtplib.SMTP(running.host, running.port, source_address=("127.0.0.2", 0)) as office:
        office.sendmail("you@there.example", ["ann@ours.example"], "Subject: x\r\n\r\nx\r\n")
    wait_until(lambda: sink.mails)
    # And the administrator sees why
    assert "worker 0: disk is medium: " in running.cli("status").stdout
    log = running.process.log.read_text("utf-8")
    assert '"event":"back-pressure"' in log
    assert '"limit":"back-pressure.disk"' in log


@pytest.mark.slow  # two workers, one of them twice
@pytest.mark.threat("G02")
def test_a_source_may_have_no_more_sessions_because_there_are_several_workers(
    gateway: Gateways, sink: Sink
) -> None:
    # Given two workers, and eight sessions for one source
    limits = ("[receive-connectors.test.limits]", "connections-per-source = 8", "source-share = 100")
    running = gateway(smart_host=into(sink), connector=limits, workers=2)
    # When it opens as many as both would let in by themselves
    crowd, said = [], []
    for _ in range(16):  # one after the other: two workers that look in the same instant may both let one in
        crowd.append(socket.create_connection((running.host, running.port), timeout=60))
        said.append(crowd[-1].recv(3))
    # Then eight are served, and the others told
    assert (said.count(b"220"), said.count(b"421")) == (8, 8)
    # And when they are gone, and a worker was killed with its sessions, eight more may come
    for wire in crowd[:4]:
        wire.close()
    victim = psutil.Process(running.ask("status")["workers"][0]["process_id"])
    victim.kill()
    for wire in crowd[4:]:
        wire.close()
    wait_until(lambda: len(running.ask("status")["workers"]) == 2, timeout_s=60)
    wait_until(lambda: sum(w["sessions"] for w in running.ask("status")["workers"]) == 0, timeout_s=60)
    again = [socket.create_connection((running.host, running.port), timeout=60) for _ in range(8)]
    assert [wire.recv(3) for wire in again] == [b"220"] * 8
    for wire in again:
        wire.close()


BACKLOG = """
[queue]
first-retry = "1s"
retry-factor = 1.0
[back-pressure]
interval = "0.1s"
[back-pressure.queue]
normal = 5
medium = 30
high = 1000
readings = 1
delay-for = "0s"
"""


@pytest.mark.threat("G10")
def test_mail_that_comes_faster_than_it_leaves_is_slowed_down_and_none_is_lost(
    gateway: Gateways, sink: Sink
) -> None:
    # Given a next hop that has stopped to answer
    sink.behaviour = Behaviour(hangs_at="MAIL")
    running = gateway(smart_host=into(sink), sender=('command-timeout = "2s"',), more=BACKLOG)
    # When mail comes and comes, then it is put off before the queue is long
    taken, refused = 0, (250, b"")
    with smtplib.SMTP(running.host, running.port) as client:
        client.ehlo()
        while refused[0] == 250 and taken < 500:
            refused = client.mail("you@there.example")
            if refused[0] == 250:
                client.rcpt("ann@ours.example")
                assert client.data(f"Subject: {taken}\r\n\r\nx\r\n")[0] == 250
                taken += 1
        assert refused == (452, b"4.3.1 Insufficient system resources")
        assert taken > 30
    # And when the next hop answers again, all of it arrives, once, and more may come
    sink.behaviour = Behaviour()
    wait_until(lambda: len(sink.mails) >= taken, timeout_s=60)
    wait_until(lambda: running.ask("status")["workers"][0]["pressure"] == "normal")
    assert sorted(int(mail.header("Subject")) for mail in sink.mails) == list(range(taken))


@pytest.mark.threat("G07")
def test_without_descriptors_the_gateway_waits_and_recovers(gateway: Gateways, sink: Sink) -> None:
    # Given a worker that may open only a few files more
    running = gateway(smart_host=into(sink), connector=CROWD)
    worker = worker_of(running)
    limits = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (worker.num_fds() + 10, limits[1]))
    # And a client that is there already
    first = smtplib.SMTP(running.host, running.port)
    first.ehlo()
    # When more come than there are descriptors
    crowd = [socket.create_connection((running.host, running.port)) for _ in range(40)]
    assert not all(_is_greeted(wire) for wire in crowd)
    # Then who was there is still served, and nothing burns
    assert first.noop()[0] == 250
    used_s = sum(worker.cpu_times()[:2])
    began = time.monotonic()
    while time.monotonic() < began + 1:
        assert first.noop()[0] == 250
        time.sleep(0.1)
    assert sum(worker.cpu_times()[:2]) - used_s < 0.8, "it accepts in a circle"
    # And when they are gone, mail comes in as before
    for wire in crowd:
        wire.close()
    wait_until(lambda: _takes_mail(running), timeout_s=60)
    first.close()
    wait_until(lambda: sink.mails)
    assert worker.is_running()


@pytest.mark.threat("G07", "G01")
def test_with_few_descriptors_there_are_few_sessions_and_the_next_is_told(
    gateway: Gateways, sink: Sink
) -> None:
    # Given a gateway whose workers may open 120 files
    running = gateway(smart_host=into(sink), connector=CROWD)
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (120, 120))
    first = worker_of(running)
    first.kill()
    wait_until(lambda: '"few-descriptors"' in running.process.log.read_text("utf-8"))
    wait_until(lambda: _takes_mail(running))
    # Then there are 60 sessions, and the next one hears so
    crowd = [socket.create_connection((running.host, running.port), timeout=20) for _ in range(61)]
    said = [wire.recv(9) for wire in crowd]
    assert said[-1] == b"421 4.3.2"
    assert sum(text.startswith(b"220") for text in said) in (
        59,
        60,
    )  # the mail's own session may be there yet
    for wire in crowd:
        wire.close()


def _is_greeted(wire: socket.socket) -> bool:
    wire.settimeout(0.2)
    try:
        return wire.recv(3) == b"220"
    except OSError:
        return False


def _takes_mail(gateway: GatewayUnderTest) -> bool:
    try:
        with smtplib.SMTP(gateway.host, gateway.port, timeout=5) as client:
            client.sendmail("you@there.example", ["ann@ours.example"], "Subject: x\r\n\r\nx\r\n")
    except (OSError, smtplib.SMTPException):
        return False
    return True


@pytest.mark.slow
@pytest.mark.threat("G01", "G05", "I1", "I2")
def test_two_thousand_idle_and_two_hundred_slow_clients_cost_good_mail_nothing(
    gateway: Gateways, sink: Sink, background: Background, capsys: pytest.CaptureFixture[str]
) -> None:
    running = gateway(smart_host=into(sink), connector=CROWD)
    worker = worker_of(running)

    async def scenario() -> tuple[list[float], list[float], int]:
        await _good_mails(running, 20)  # warm
        began_s = _cpu_s(worker)
        alone = await _good_mails(running, MAILS)
        alone_s = _cpu_s(worker) - began_s
        before_bytes = worker.memory_info().rss
        idle = await _crowd(running, IDLE)
        began_s = _cpu_s(worker)
        await _good_mails(running, MAILS)
        # Who only waits costs the mail of others nothing: in the worker's own time, which no neighbour makes longer
        assert _cpu_s(worker) - began_s < 1.5 * alone_s + 0.1
        idle_bytes = (worker.memory_info().rss - before_bytes) // IDLE
        slow = await _crowd(running, SLOW)
        drips = [asyncio.ensure_future(_drip(client)) for client in slow]
        crowded = await _good_mails(running, MAILS)
        for drip in drips:
            drip.cancel()
        await asyncio.gather(*drips, return_exceptions=True)
        # Nobody of the crowd was thrown out
        assert all([(await client.say("NOOP")).code == 250 for client in idle])
        for client in (*idle, *slow):
            client.close()
        return alone, crowded, idle_bytes

    # pytest's own loop is not running, so this one has the machine for itself
    alone, crowded, idle_bytes = asyncio.run(scenario())
    wait_until(lambda: len(sink.mails) >= 20 + 3 * MAILS, timeout_s=120)
    assert len(sink.mails) == 20 + 3 * MAILS
    with capsys.disabled():
        print(
            f"\n{MAILS} mails alone: {_figures(alone)}; among {IDLE} idle and {SLOW} slow clients: "
            f"{_figures(crowded)}; an idle session {idle_bytes} octets"
        )
    assert idle_bytes < 20_000


def _cpu_s(worker: psutil.Process) -> float:
    spent = worker.cpu_times()
    return float(spent.user + spent.system)


async def _crowd(gateway: GatewayUnderTest, count: int) -> list[RawClient]:
    clients: list[RawClient] = []
    for _ in range(count // 50):
        clients += await asyncio.gather(*(_guest(gateway) for _ in range(50)))
    return clients


async def _guest(gateway: GatewayUnderTest) -> RawClient:
    client = await RawClient.connect(gateway.host, gateway.port)
    assert client.greeting.code == 220
    await client.hello()
    return client


async def _drip(client: RawClient) -> None:
    """Begin a message, and bring an octet of it now and then."""
    await client.envelope("slow@there.example", ["ann@ours.example"])
    await client.say("DATA")
    with contextlib.suppress(OSError):
        await client.push_slowly((b"x" for _ in range(10_000)), pause_s=0.05)


async def _good_mails(gateway: GatewayUnderTest, count: int) -> list[float]:
    """One after the other; the seconds each took from connecting to its 250."""
    spent = []
    for number in range(count):
        began = time.perf_counter()
        client = await RawClient.connect(gateway.host, gateway.port)
        await client.hello()
        text = message(f"good {number}", sender="you@there.example", recipient="ann@ours.example")
        replies = await client.mail("you@there.example", ["ann@ours.example"], text)
        assert replies[-1].code == 250
        spent.append(time.perf_counter() - began)
        await client.quit()
    return spent


def _figures(spent: list[float]) -> str:
    ordered = sorted(spent)
    middle, late = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    return f"median {middle * 1000:.1f} ms, 99 of 100 within {late * 1000:.1f} ms"
