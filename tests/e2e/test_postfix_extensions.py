"""Postfix on both sides with the extensions that go through us: SMTPUTF8 (RFC 6531) and DSN (RFC 3461)."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTPUTF8

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.postfix import PostfixServer

from gatepost.lab.sink import EXTENSIONS, Behaviour, Sink

Gateways = Callable[..., GatewayUnderTest]
Postfixes = Callable[..., PostfixServer]
OFFICE = (
    "[receive-connectors.test.ranges.office]",
    'addresses = ["127.0.0.1"]',
    'rights = ["submit", "relay", "any-sender", "own-domain-sender", "routing-headers", "internal"]',
)
ANN, BOB, JUERGEN = "ann@ours.example", "bob@ours.example", "jürgen@ours.example"


def letter(to: str) -> EmailMessage:
    made = EmailMessage(policy=SMTPUTF8)
    made["From"], made["To"], made["Subject"] = ANN, to, "Grüße"
    made.set_content("Text\n")
    return made


def with_dsn(running: GatewayUnderTest, *, notify: str) -> None:
    """A mail from ann to bob that asks for reports."""
    with smtplib.SMTP(running.host, running.port) as client:
        client.ehlo()
        client.mail(ANN, ["RET=HDRS", "ENVID=order-7"])
        code, _ = client.rcpt(BOB, [f"NOTIFY={notify}", "ORCPT=rfc822;robert@ours.example"])
        assert code == 250
        assert client.data(b"Subject: hello\r\n\r\ntext\r\n")[0] == 250


@pytest.mark.service("postfix")
def test_a_next_hop_with_both_extensions(gateway: Gateways, postfix: Postfixes) -> None:
    hop = postfix(mailboxes=(JUERGEN, ANN, BOB))
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}", connector=OFFICE)
    # An international address gets its mail as it was written
    with smtplib.SMTP(running.host, running.port) as client:
        client.send_message(letter(JUERGEN), ANN, [JUERGEN])
    (mail,) = wait_until(lambda: hop.mails("jürgen"))
    assert "Subject: Grüße\n".encode() in mail
    assert "\nTo: jürgen@ours.example\n".encode() in mail
    # A report of success is Postfix's, with what the sender asked us to pass on, and there is none of ours
    with_dsn(running, notify="SUCCESS,FAILURE")
    wait_until(lambda: hop.mails("bob"))
    (report,) = wait_until(lambda: hop.mails("ann"))
    assert b"\nAction: delivered\n" in report
    assert b"\nOriginal-Envelope-Id: order-7\n" in report
    assert b"\nOriginal-Recipient: rfc822;robert@ours.example\n" in report
    wait_until(hop.queue_is_empty)
    assert len(hop.mails("ann")) == 1
    assert "DSN" not in {record["event"] for record in running.ask("track")}


@pytest.mark.slow  # Postfix as next hop
@pytest.mark.service("postfix")
def test_a_next_hop_with_neither(gateway: Gateways, postfix: Postfixes) -> None:
    hop = postfix(mailboxes=(ANN, BOB), more=("smtputf8_enable = no", "smtpd_discard_ehlo_keywords = dsn"))
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}", connector=OFFICE)
    # The sender of a mail that needs SMTPUTF8 is told so, in ASCII
    with smtplib.SMTP(running.host, running.port) as client:
        client.send_message(letter(JUERGEN), ANN, [JUERGEN])
    (notice,) = wait_until(lambda: hop.mails("ann"))
    assert b"\nStatus: 5.6.7\n" in notice
    assert b"\nFinal-Recipient: utf-8; j\\x{FC}rgen@ours.example\n" in notice
    assert b"\nContent-Type: message/delivery-status\n" in notice
    # Success is reported by us, as far as we know it (RFC 3461 §5.2.2)
    with_dsn(running, notify="SUCCESS")
    reports = wait_until(lambda: found if len(found := hop.mails("ann")) == 2 else [])
    (report,) = [mail for mail in reports if b"\nAction: relayed\n" in mail]
    assert b"\nReporting-MTA: dns; mx.ours.example\n" in report
    assert b"\nOriginal-Envelope-Id: order-7\n" in report
    assert b"\nOriginal-Recipient: rfc822; robert@ours.example\n" in report


@pytest.mark.service("postfix")
def test_what_a_sending_postfix_asks_for(gateway: Gateways, postfix: Postfixes, sink: Sink) -> None:
    each_its_own = ("messages-per-connection = 1",)
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=OFFICE, sender=each_its_own)
    source = postfix(relayhost=f"[127.0.0.1]:{running.port}", hostname="out.there.example")

    def send(to: str, *options: str) -> None:
        text = f"To: {to}\nSubject: Grüße\n\ntext\n".encode()
        source.sendmail(text, sender="you@there.example", recipients=(to,), options=options)

    # It goes through to a next hop that knows the extensions
    send(JUERGEN, "-N", "success,delay", "-V", "order-8", "-R", "hdrs")
    (mail,) = wait_until(lambda: sink.mails)
    assert {"SMTPUTF8", "RET=HDRS", "ENVID=order-8"} <= set(mail.mail_parameters.split())
    assert "NOTIFY=SUCCESS,DELAY" in mail.rcpt_parameters[0]
    assert mail.recipients == (JUERGEN,)
    # And is answered by us where the next hop does not
    sink.behaviour = Behaviour(extensions=tuple(e for e in EXTENSIONS if e != "DSN"))
    send(BOB, "-N", "success", "-V", "order-9")
    mails = wait_until(lambda: sink.mails if len(sink.mails) == 3 else [])
    (report,) = [mail for mail in mails if mail.sender == ""]
    assert report.recipients == ("you@there.example",)
    assert b"\r\nAction: relayed\r\n" in report.content
    assert b"\r\nOriginal-Envelope-Id: order-9\r\n" in report.content
