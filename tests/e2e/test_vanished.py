"""Mail that "vanished": whatever became of it, two commands with the sender's address and the day tell."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Callable

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.adapters.sqlite_reader import open_reader
from gatepost.lab.sink import Behaviour, Sink
from gatepost.ports.store import RecordFilter

Gateways = Callable[..., GatewayUnderTest]
MORE = """
[queue]
expiry = "5s"
first-retry = "1s"
longest-retry = "2s"
notice-expiry = "5s"
[agents.greylisting]
enabled = true
exempt-recipients = ["ann@ours.example", "bob@ours.example"]
[agents.message-form]
ambiguous = "quarantine"
[agents.sender-filter]
blocked-senders = ["dropped@there.example"]
action = "discard"
recipients = { "bob@ours.example" = ["split@there.example"] }
recipients-action = "quarantine"
"""
ANN, BOB = "ann@ours.example", "bob@ours.example"
TWO_AUTHORS = "From: <a@there.example>\r\nFrom: <b@there.example>\r\n"
ROUND = "Received: from a by b; x\r\n" * 101
TRACKED = {
    "quarantined": "QUARANTINE",
    "split": "TRANSFER",
    "dropped": "DROP",
    "dead": "BADMAIL",
    "late": "BADMAIL",
    "again": "DEFER",
}
"""Whose tracking has which event."""
WORDS = {
    "quarantined": "message-form: the header section is ambiguous",
    "split": "recipients' answers differ",
    "dropped": "sender-filter: dropped@there.example is blocked",
    "dead": "550 5.1.1 Nobody here",
    "late": "550 4.4.7 Not delivered in time; the last answer was: 451 4.3.0 later",
    "again": "next attempt",
}
REFUSED = {
    "unknown": "550 5.1.1",
    "round": "554 5.4.6",
    "grey": "451 4.7.1 Greylisted",
}
"""Who stands in the agent log, and with which reply."""


def send(running: GatewayUnderTest, who: str, *to: str, head: str = "") -> None:
    """From WHO@there.example; what is refused is refused."""
    text = f"{head or f'From: <{who}@there.example>' + chr(13) + chr(10)}Subject: {who}\r\n\r\ntext\r\n"
    with contextlib.suppress(smtplib.SMTPException), smtplib.SMTP(running.host, running.port) as client:
        client.sendmail(f"{who}@there.example", to, text)


def is_tracked(running: GatewayUnderTest, who: str, event: str) -> bool:
    """Whether the event is on record, without a command line for each look."""
    with contextlib.closing(open_reader(running.state / "worker-0")) as reader:
        return bool(reader.records(RecordFilter(sender=f"{who}@*", event=event), limit=1))


@pytest.mark.slow  # a mail grows too old
@pytest.mark.threat("L06")
def test_two_commands_tell_what_became_of_a_mail(gateway: Gateways, sink: Sink) -> None:
    sink.behaviour = Behaviour(recipients={BOB: "550 5.1.1 Nobody here"})
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", more=MORE)
    send(running, "unknown", "nobody@ours.example")
    send(running, "round", ANN, head=ROUND)
    send(running, "grey", "postmaster@ours.example")
    send(running, "quarantined", ANN, head=TWO_AUTHORS)
    send(running, "split", ANN, BOB)
    send(running, "dropped", ANN)
    send(running, "dead", BOB)
    wait_until(lambda: is_tracked(running, "dead", "BADMAIL"))
    sink.behaviour = Behaviour(replies={".": "451 4.3.0 later"})
    send(running, "late", ANN)
    wait_until(lambda: is_tracked(running, "late", "BADMAIL"))
    # One whose answer is lost comes twice
    sink.behaviour = Behaviour(replies={".": "421 4.3.2 gone"})
    send(running, "again", ANN)
    wait_until(lambda: is_tracked(running, "again", "DEFER"))
    # When somebody asks for all of them
    tracked = running.cli("track", "--sender", "*@there.example", "--since", "1h")
    refused = running.cli("agent-log", "--sender", "*@there.example", "--since", "1h")
    # Then each is found, with its reason
    for who, event in TRACKED.items():
        lines = [line for line in tracked.stdout.splitlines() if f" {who}@there.example " in line]
        assert any(f" {event} " in line and WORDS[who] in line for line in lines), (who, lines)
    for who, reply in REFUSED.items():
        lines = [line for line in refused.stdout.splitlines() if f" {who}@there.example " in line]
        assert any(reply in line for line in lines), (who, lines)
        # And who looks in the wrong place is told
        assert f" {who}@there.example " not in tracked.stdout
    assert "`gatepost agent-log` with the same options" in tracked.stderr
