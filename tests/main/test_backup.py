"""A backup taken while mail comes in, restored elsewhere: everything that was promised before it is there."""

from __future__ import annotations

import shutil
import smtplib
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until

NOWHERE = "[127.0.0.1]:9"


@pytest.mark.slow  # load
@pytest.mark.threat("O23")
def test_a_backup_under_load_is_a_queue_elsewhere(gateway: Callable[..., GatewayUnderTest]) -> None:
    running = gateway(smart_host=NOWHERE)
    promised: list[str] = []
    enough = threading.Event()

    def send() -> None:
        with smtplib.SMTP(running.host, running.port, timeout=60) as client:
            while not enough.is_set() and len(promised) < 200:
                sender = f"{len(promised)}@there.example"
                body = "x" * 70 + "\r\n"
                large = len(promised) % 5 == 0  # a file of its own
                client.sendmail(
                    sender, ["ann@ours.example"], f"Subject: x\r\n\r\n{body * (1500 if large else 1)}"
                )
                promised.append(sender)

    sending = threading.Thread(target=send)
    sending.start()
    wait_until(lambda: len(promised) >= 11)
    # When the database is copied first, and the bodies after it
    before = tuple(promised)
    store, copy = running.state / "worker-0", running.directory / "backup"
    copy.mkdir()
    with (
        closing(sqlite3.connect(store / "store.db")) as live,
        closing(sqlite3.connect(copy / "store.db")) as saved,
    ):
        live.backup(saved)
    shutil.copytree(store / "bodies", copy / "bodies", ignore_dangling_symlinks=True)
    enough.set()
    sending.join()
    # And restored for another gateway
    other = gateway(smart_host=NOWHERE)
    other.stop()
    shutil.rmtree(other.state / "worker-0")
    shutil.copytree(copy, other.state / "worker-0")
    other.start()
    # Then what was promised before it is in its queue, whole
    found = {mail["sender"]: mail["id"] for mail in other.ask("queue", "list", "--limit", "1000")}
    assert set(before) <= set(found)
    whole = other.cli("queue", "export", "--stdout", found["0@there.example"])
    assert whole.stdout.count("x" * 70) == 1500
