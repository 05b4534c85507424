"""Dovecot behind the gateway: every recipient of a mail is answered, and settled, on its own (RFC 2033)."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from email.message import EmailMessage

import pytest
from tests.services.dovecot import DovecotServer
from tests.services.gateway import GatewayUnderTest, wait_until

Gateways = Callable[..., GatewayUnderTest]
Dovecots = Callable[..., DovecotServer]
OFFICE = (
    "[receive-connectors.test.ranges.office]",
    'addresses = ["127.0.0.1"]',
    'rights = ["submit", "relay", "any-sender", "own-domain-sender", "routing-headers", "internal"]',
)
LMTP = ('delivery = "lmtp"',)
EVERYBODY = ("ann@ours.example", "bob@ours.example", "postmaster@ours.example")


def letter(*, lines: int = 100) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ann@ours.example", "all@ours.example", "Hello"
    made.set_content("A line of text that fills a mailbox.\n" * lines + ".\n")
    return made


@pytest.mark.service("dovecot")
@pytest.mark.parametrize("by", ["TCP", "a Unix socket"])
@pytest.mark.threat("N06")
def test_each_recipient_has_its_own_end(gateway: Gateways, dovecot: Dovecots, by: str) -> None:
    # Given a Dovecot where bob's mailbox is nearly full, and postmaster is unknown
    boxes = dovecot(mailboxes={"ann": "", "bob": "*:storage=1K"})
    smart_host = f"[127.0.0.1]:{boxes.port}" if by == "TCP" else f"unix:{boxes.socket}"
    running = gateway(smart_host=smart_host, sender=LMTP, connector=OFFICE)
    # When one mail goes to all three
    with smtplib.SMTP(running.host, running.port) as client:
        assert client.send_message(letter(), "ann@ours.example", EVERYBODY) == {}
    # Then ann has it once, unchanged, and one notice about the two others
    mails = wait_until(lambda: found if len(found := boxes.mails("ann")) == 2 else [])
    (mail,) = [m for m in mails if b"multipart/report" not in m]
    (notice,) = [m for m in mails if b"multipart/report" in m]
    assert b"Return-Path: <ann@ours.example>" in mail
    assert mail.endswith(b"A line of text that fills a mailbox.\n.\n")
    assert b"Final-Recipient: rfc822; bob@ours.example" in notice
    assert b"Status: 5.2.2" in notice
    assert b"Final-Recipient: rfc822; postmaster@ours.example" in notice
    assert b"Status: 5.1.1" in notice
    assert b"Final-Recipient: rfc822; ann@ours.example" not in notice
    # And nothing is left
    assert boxes.mails("bob") == []
    wait_until(lambda: running.cli("queue", "list").stdout.startswith("the queue is empty"))
    events = {(r["event"], tuple(r["recipient-address"])) for r in running.ask("track", "--limit", "100")}
    assert ("DELIVER", ("ann@ours.example",)) in events, events
    assert any(event == "FAIL" and "bob@ours.example" in to for event, to in events), events


@pytest.mark.slow  # it waits for a retry
@pytest.mark.service("dovecot")
def test_a_socket_that_is_not_there_yet(gateway: Gateways, dovecot: Dovecots) -> None:
    # Given a Dovecot that has not been started
    boxes = DovecotServer(mailboxes={"ann": ""})
    try:
        running = gateway(
            smart_host=f"unix:{boxes.socket}",
            sender=LMTP,
            more='[queue]\nfirst-retry = "1s"\nretry-factor = 1.0\n',
        )
        with smtplib.SMTP(running.host, running.port) as client:
            client.send_message(letter(), "you@there.example", ["ann@ours.example"])
        wait_until(lambda: "deferred" in running.cli("queue", "list").stdout)
        # When it starts, the mail arrives
        boxes.start()
        wait_until(lambda: boxes.mails("ann"))
    finally:
        boxes.stop()
