"""A real gateway process between real clients and servers: what goes in comes out, and nothing else."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable
from email.message import EmailMessage

import pytest
from tests.services.background import Background
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.postfix import PostfixServer

from gatepost.lab.senders import RawClient
from gatepost.lab.sink import Behaviour, Sink, SinkMail

Gateways = Callable[..., GatewayUnderTest]
Postfixes = Callable[..., PostfixServer]
OFFICE = (
    "[receive-connectors.test.ranges.office]",
    'addresses = ["127.0.0.1"]',
    'rights = ["submit", "relay", "any-sender", "own-domain-sender", "routing-headers", "internal"]',
)


def into(sink: Sink) -> str:
    return f"[127.0.0.1]:{sink.port}"


def arrived(sink: Sink, count: int = 1) -> list[SinkMail]:
    return wait_until(lambda: sink.mails if len(sink.mails) >= count else [])


def letter(subject: str = "Hello", body: str = "A line.\n.\nA line with a dot above.\n") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "you@there.example", "ann@ours.example", subject
    made.set_content(body)
    return made


def test_a_mail_arrives_once_with_our_trace_on_top(gateway: Gateways, sink: Sink) -> None:
    running = gateway(smart_host=into(sink))
    # When a client of the standard library sends a mail
    with smtplib.SMTP(running.host, running.port) as client:
        client.send_message(letter(), "you@there.example", ["ann@ours.example", "bob@ours.example"])
    # Then it is there, for both, dots and all
    (mail,) = arrived(sink)
    assert mail.sender == "you@there.example"
    assert sorted(mail.recipients) == ["ann@ours.example", "bob@ours.example"]
    assert mail.content.endswith(b"A line.\r\n.\r\nA line with a dot above.\r\n")
    assert mail.content.count(b"Received:") == 1
    # And the queue is empty, and tracking tells both events
    wait_until(lambda: running.cli("queue", "list").stdout.startswith("the queue is empty"))
    assert {r["event"] for r in running.ask("track", "--sender", "you@there.example")} >= {"RECEIVE", "SEND"}


def test_a_restart_keeps_what_waits(gateway: Gateways, sink: Sink, background: Background) -> None:
    # Given a next hop that says "later"
    sink.behaviour = Behaviour(replies={"MAIL": "451 4.3.0 Later"})
    running = gateway(smart_host=into(sink), more='[queue]\nfirst-retry = "1s"\nretry-factor = 1.0\n')
    with smtplib.SMTP(running.host, running.port) as client:
        client.send_message(letter(), "you@there.example", ["ann@ours.example"])
    wait_until(lambda: "deferred" in running.cli("queue", "list").stdout)
    # When the gateway is stopped and started again, and the next hop has recovered
    running.stop()
    sink.behaviour = Behaviour()
    running.start()
    # Then the mail arrives
    assert arrived(sink)[0].recipients == ("ann@ours.example",)


def test_content_by_tls(gateway: Gateways, sink: Sink) -> None:
    running = gateway(smart_host=into(sink), connector=('tls = "required"',))
    with smtplib.SMTP(running.host, running.port) as client:
        client.ehlo()
        refused = client.docmd("MAIL", "FROM:<you@there.example>")
        assert refused[0] == 530
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.starttls(context=context)
        client.send_message(letter(), "you@there.example", ["ann@ours.example"])
    (mail,) = arrived(sink)
    assert "with ESMTPS" in mail.header("Received")


@pytest.mark.slow  # a wrong password waits
def test_authentication_gives_the_right_to_relay(gateway: Gateways, sink: Sink) -> None:
    running = gateway(smart_host=into(sink), connector=("auth = true",))
    made = running.cli("user", "add", "ann", text_in="correct horse battery\n")
    assert made.returncode == 0, made.stderr
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(running.host, running.port) as client:
        client.starttls(context=context)
        # Given a wrong password, nothing is relayed
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("ann", "wrong")
        client.login("ann", "correct horse battery")
        client.send_message(letter(), "ann@ours.example", ["carol@elsewhere.example"])
    (mail,) = arrived(sink)
    assert mail.recipients == ("carol@elsewhere.example",)
    assert "with ESMTPSA" in mail.header("Received")


@pytest.mark.threat("F01")
def test_a_stranger_cannot_relay(gateway: Gateways, sink: Sink) -> None:
    running = gateway(smart_host=into(sink))
    with (
        smtplib.SMTP(running.host, running.port) as client,
        pytest.raises(smtplib.SMTPRecipientsRefused) as refused,
    ):
        client.send_message(letter(), "you@there.example", ["carol@elsewhere.example"])
    assert refused.value.recipients["carol@elsewhere.example"][0] == 550
    assert sink.mails == []


SMUGGLED = {
    "A01": b"\n.\n",
    "A02": b"\n.\r\n",
    "A03": b"\r\n.\n",
    "A04": b"\r.\r",
    "A05": b"\r.\n",
    "A06": b"\n.\r",
    "A07": b"\r.\r\n",
    "A08": b"\r\n.\r\r\n",
    "A09": b"\r\n\x00.\r\n",
}


@pytest.mark.threat("A01", "A02", "A03", "A04", "A05", "A06", "A07", "A08", "A09")
def test_no_false_end_of_data_smuggles_a_mail_through(
    gateway: Gateways, sink: Sink, background: Background
) -> None:
    running = gateway(smart_host=into(sink))
    hidden = b"MAIL FROM:<boss@ours.example>\r\nRCPT TO:<bob@ours.example>\r\nDATA\r\nSubject: Pay\r\n\r\nNow\r\n.\r\n"

    async def smuggle(end: bytes) -> list[int]:
        client = await RawClient.connect(running.host, running.port)
        await client.hello()
        await client.envelope("evil@there.example", ["ann@ours.example"])
        await client.say("DATA")
        client.push(b"Subject: x\r\n\r\ntext" + end + hidden + b"QUIT\r\n")
        codes = []
        while (reply := await client.read()).code:
            codes.append(reply.code)
        client.close()
        return codes

    # When every false end is tried, each followed by a hidden transaction
    codes = {row: background.run(smuggle(end)) for row, end in SMUGGLED.items()}
    # Then the server never answers the hidden commands: one refusal, and the end of the connection
    assert {row: len(answers) for row, answers in codes.items()} == dict.fromkeys(SMUGGLED, 1), codes
    assert all(answers[0] >= 500 for answers in codes.values()), codes
    assert sink.mails == []


@pytest.mark.service("smtp-source", "smtp-sink")
def test_a_load_of_mail_from_smtp_source_arrives_whole(
    gateway: Gateways, free_port: Callable[[], int], background: Background, sink: Sink
) -> None:
    running = gateway(smart_host=into(sink))
    # When 8 sessions bring 200 mails of 4 KiB, two recipients each
    done = subprocess.run(
        ["smtp-source", "-s", "8", "-m", "200", "-l", "4096", "-f", "load@there.example",
         "-t", "ann@ours.example", f"inet:127.0.0.1:{running.port}"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Then all of them arrive, each once, none cut
    mails = arrived(sink, 200)
    assert len(mails) == 200
    assert {mail.recipients for mail in mails} == {("ann@ours.example",)}
    assert min(len(mail.content) for mail in mails) > 4096


@pytest.mark.service("smtp-source", "smtp-sink")
def test_smtp_sink_counts_what_smtp_source_sent(gateway: Gateways, free_port: Callable[[], int]) -> None:
    port = free_port()
    sink = subprocess.Popen(
        ["smtp-sink", "-u", "nobody", "-c", f"inet:127.0.0.1:{port}", "100"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        running = gateway(smart_host=f"[127.0.0.1]:{port}")
        subprocess.run(
            ["smtp-source", "-d", "-s", "4", "-m", "100", "-f", "load@there.example",
             "-t", "bob@ours.example", f"inet:127.0.0.1:{running.port}"],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        wait_until(
            lambda: len(running.ask("track", "--event", "SEND", "--limit", "1000")) == 100, timeout_s=30
        )
        wait_until(lambda: running.cli("queue", "list").stdout.startswith("the queue is empty"))
    finally:
        sink.terminate()
        sink.communicate(timeout=10)


@pytest.mark.service("postfix")
def test_postfix_as_next_hop(gateway: Gateways, postfix: Postfixes) -> None:
    hop = postfix(mailboxes=("ann@ours.example", "bob@ours.example"))
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}")
    with smtplib.SMTP(running.host, running.port) as client:
        client.send_message(letter(), "you@there.example", ["ann@ours.example", "bob@ours.example"])
    # Then Postfix has put it into both mailboxes, by ESMTP, with our trace below its own
    for name in ("ann", "bob"):
        (mail,) = wait_until(lambda: hop.mails(name))  # noqa: B023 - called before name changes
        assert b"Return-Path: <you@there.example>" in mail
        assert mail.count(b"Received:") == 2
        assert mail.endswith(b"A line.\n.\nA line with a dot above.\n")


@pytest.mark.service("postfix")
def test_postfix_refuses_a_recipient_and_the_sender_hears_of_it(
    gateway: Gateways, postfix: Postfixes
) -> None:
    # Given a next hop that knows ann, but not bob
    hop = postfix(mailboxes=("ann@ours.example",))
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}", connector=OFFICE)
    with smtplib.SMTP(running.host, running.port) as client:
        client.send_message(letter(), "ann@ours.example", ["bob@ours.example"])
    # Then ann gets a notice with the words of Postfix
    (notice,) = wait_until(lambda: hop.mails("ann"))
    assert b"Return-Path: <>" in notice
    assert b"multipart/report" in notice
    assert b"Final-Recipient: rfc822;bob@ours.example" in notice.replace(b"; ", b";")
    assert b"550 5.1.1" in notice


@pytest.mark.service("postfix")
def test_postfix_as_sender(gateway: Gateways, postfix: Postfixes, sink: Sink) -> None:
    running = gateway(smart_host=into(sink))
    source = postfix(relayhost=f"[127.0.0.1]:{running.port}", hostname="out.there.example")
    # When ten mails are handed to Postfix, one with 8-bit text and dots
    for number in range(10):
        source.sendmail(
            f"Subject: {number}\n\nGrüße\n.\n..x\n".encode(),
            sender="you@there.example",
            recipients=("ann@ours.example", "bob@ours.example"),
        )
    # Then all arrive as they were, and Postfix's queue is empty
    mails = arrived(sink, 10)
    assert {mail.header("Subject") for mail in mails} == {str(number) for number in range(10)}
    assert all(mail.content.endswith("Grüße\r\n.\r\n..x\r\n".encode()) for mail in mails)
    wait_until(source.queue_is_empty)


SWAKS = {
    "plain": (),
    "TLS": ("-tls",),
    "AUTH": ("-tls", "--auth", "PLAIN", "--auth-user", "ann", "--auth-password", "correct horse battery"),
}


@pytest.mark.service("swaks")
@pytest.mark.parametrize("how", SWAKS)
def test_swaks(gateway: Gateways, sink: Sink, how: str) -> None:
    running = gateway(smart_host=into(sink), connector=("auth = true",))
    assert running.cli("user", "add", "ann", text_in="correct horse battery\n").returncode == 0
    done = subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{running.port}", "--from", "ann@ours.example" if how == "AUTH" else
         "you@there.example", "--to", "bob@ours.example", "--helo", "client.example", *SWAKS[how]],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (mail,) = arrived(sink)
    word = {"plain": "with ESMTP ", "TLS": "with ESMTPS ", "AUTH": "with ESMTPSA "}[how]
    assert word in mail.header("Received")


@pytest.mark.slow
def test_a_slow_next_hop_does_not_stop_the_gateway(gateway: Gateways, sink: Sink) -> None:
    # Given a next hop that hangs at the end of data
    sink.behaviour = Behaviour(hangs_at=".")
    running = gateway(smart_host=into(sink))
    with smtplib.SMTP(running.host, running.port) as client:
        client.send_message(letter(), "you@there.example", ["ann@ours.example"])
        wait_until(lambda: sink.connections)
        # Then the next mail is taken all the same
        client.send_message(letter("Second"), "you@there.example", ["bob@ours.example"])
    # And what was not answered is in the queue after the gateway has gone: nothing is lost
    running.stop()
    assert len(running.ask("queue", "list")) == 2
