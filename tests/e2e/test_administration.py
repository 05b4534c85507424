"""An administrator at a running gateway: dead letters come back to life, next hops stop and go on."""

from __future__ import annotations

import smtplib
from collections.abc import Callable

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.lab.sink import Behaviour, Sink

Gateways = Callable[..., GatewayUnderTest]


def send(running: GatewayUnderTest, to: str, subject: str) -> None:
    with smtplib.SMTP(running.host, running.port) as client:
        client.sendmail("you@there.example", [to], f"Subject: {subject}\r\n\r\ntext\r\n")


@pytest.mark.slow  # a dozen commands, one after the other
@pytest.mark.threat("L06")
def test_dead_letters_and_next_hops(gateway: Gateways, sink: Sink) -> None:
    # Given mail of a stranger that the mailbox server refuses: nobody may be told, it is kept
    sink.behaviour = Behaviour(recipients={"bob@ours.example": "550 5.1.1 Nobody"})
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}")
    for number in (1, 2):
        send(running, "bob@ours.example", f"letter {number}")
    first, second = wait_until(lambda: found if len(found := running.ask("dead", "list")) == 2 else [])
    assert running.ask("dead", "show", first["id"])["recipients"][0]["last_reply"] == "550 5.1.1 Nobody"
    # When the server knows bob, and one is tried again, the other removed
    sink.behaviour = Behaviour()
    assert running.cli("dead", "retry", first["id"]).returncode == 0
    assert running.cli("dead", "remove", second["id"]).returncode == 0
    # Then the one arrives, and the other is gone, on record
    (mail,) = wait_until(lambda: sink.mails)
    assert (mail.recipients, mail.header("Subject")) == (("bob@ours.example",), first["subject"])
    wait_until(lambda: running.cli("dead", "list").stdout == "there is no dead mail\n")
    removed = running.ask("track", "--id", second["id"], "--event", "REMOVE")
    assert [record["recipient-address"] for record in removed] == [["bob@ours.example"]]

    # When a next hop is suspended, its mail waits
    assert running.cli("queue", "suspend-hop", "out:smart").returncode == 0
    send(running, "ann@ours.example", "later")
    (waiting,) = wait_until(lambda: running.ask("queue", "list"))
    assert "Suspended" in waiting["recipients"][0]["last_reply"]
    assert len(sink.mails) == 1
    # Until it goes on
    assert running.cli("queue", "resume-hop", "out:smart").returncode == 0
    wait_until(lambda: len(sink.mails) == 2)
    wait_until(lambda: running.cli("queue", "list").stdout.startswith("the queue is empty"))
