"""A real gateway on a small file system that gets full: it refuses with 452, drains, and takes mail again by itself."""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.services.gateway import GatewayUnderTest, gateway_in, wait_until

from gatepost.lab.dns_server import LabDns
from gatepost.lab.sink import Behaviour, Sink

pytestmark = pytest.mark.slow

MIB = 1 << 20
LONG_S = 90.0
QUEUE = """
[queue]
first-retry = "1s"
retry-factor = 1.0
reserve = "2MiB"
disk-low = "4MiB"
resume-margin = "1MiB"
allow-volatile = true
[back-pressure]
watch = ["queue"]
"""
# The store's own last line alone: back pressure would turn strangers away half a gigabyte earlier.
LATER = {".": "451 4.3.0 Not now"}


@pytest.fixture
def on_a_small_disk(lab_dns: LabDns, sink: Sink) -> Iterator[GatewayUnderTest]:
    """A gateway whose state directory is a file system of 24 MiB and 3000 inodes; skipped where we may not mount."""
    place = Path(tempfile.mkdtemp(prefix="gp-"))
    state = place / "gateway" / "state"
    state.mkdir(mode=0o700, parents=True)
    mount = ("mount", "-t", "tmpfs", "-o", "size=24m,nr_inodes=3000,mode=0700", "tmpfs", str(state))
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        shutil.rmtree(place)
        pytest.skip("a file system of our own cannot be mounted here")
    made = gateway_in(
        place / "gateway", smart_host=f"[127.0.0.1]:{sink.port}", dns_port=lab_dns.port, more=QUEUE
    )
    try:
        made.start()
        yield made
        made.stop()
    finally:
        made.process.kill()
        subprocess.run(["umount", "-l", str(state)], check=True)
        shutil.rmtree(place)


def offer(gateway: GatewayUnderTest, size: int = 100) -> int:
    """The code that ended it: of MAIL, or of the end of the data."""
    with smtplib.SMTP(gateway.host, gateway.port, timeout=60) as client:
        client.ehlo("there.example")
        code = client.mail("you@there.example")[0]
        if code != 250:
            return code
        client.rcpt("ann@ours.example")
        try:
            return client.data(b"Subject: x\r\n\r\n" + b"0123456789\r\n" * (size // 12))[0]
        except smtplib.SMTPDataError as refused:
            return refused.smtp_code


def take_all_room(state: Path) -> Callable[[], None]:
    """Not an octet is left; how to give it back."""
    filler = state / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    assert os.statvfs(state).f_bavail == 0
    return filler.unlink


def take_all_inodes(state: Path) -> Callable[[], None]:
    """Not a name more can be made; how to give them back."""
    fillers = state / "fillers"
    fillers.mkdir()
    with suppress(OSError):
        for number in range(5000):
            (fillers / str(number)).touch()
    assert os.statvfs(state).f_ffree == 0
    return lambda: shutil.rmtree(fillers)


@pytest.mark.threat("O05", "O06", "O07")
@pytest.mark.parametrize("exhaust", [take_all_room, take_all_inodes])
def test_a_queue_drains_from_a_full_disk_and_mail_is_taken_again(
    on_a_small_disk: GatewayUnderTest, sink: Sink, exhaust: Callable[[Path], Callable[[], None]]
) -> None:
    gateway = on_a_small_disk
    # Given a queue that waits, with bodies in the database and in files
    sink.behaviour = Behaviour(replies=LATER)
    accepted = sum(offer(gateway, size) == 250 for size in (100, 30_000, 100_000) * 10)
    assert accepted == 30
    # When nothing is left of the file system
    give_back = exhaust(gateway.state)
    # Then no mail is taken, and the sender hears why
    wait_until(lambda: offer(gateway, 100_000) == 452)
    wait_until(lambda: offer(gateway) == 452)
    # And what waits is delivered, once each
    sink.behaviour = Behaviour()
    wait_until(lambda: len(sink.mails) >= accepted, timeout_s=LONG_S)
    wait_until(lambda: gateway.cli("queue", "list").stdout.startswith("the queue is empty"))
    assert len(sink.mails) == accepted
    # And mail is taken again when there is room
    give_back()
    wait_until(lambda: offer(gateway, 100_000) == 250)
    wait_until(lambda: len(sink.mails) == accepted + 1, timeout_s=LONG_S)


@pytest.mark.threat("O05", "O06")
def test_mail_that_fills_the_disk_is_refused_in_time(on_a_small_disk: GatewayUnderTest, sink: Sink) -> None:
    gateway = on_a_small_disk
    # Given a next hop that takes nothing, when mail comes until no more is taken
    sink.behaviour = Behaviour(replies=LATER)
    codes: list[int] = []
    while not codes or codes[-1] == 250:
        assert len(codes) < 1000
        codes.append(offer(gateway, 100_000))
    assert codes[-1] == 452
    # Then every mail that was acknowledged arrives, and mail is taken again by itself
    sink.behaviour = Behaviour()
    wait_until(lambda: len(sink.mails) >= len(codes) - 1, timeout_s=LONG_S)
    wait_until(lambda: offer(gateway, 100_000) == 250)
    wait_until(lambda: len(sink.mails) == len(codes), timeout_s=LONG_S)
