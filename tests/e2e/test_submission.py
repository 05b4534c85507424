"""Submission by one line of configuration: accounts under TLS may send anywhere, nobody else may anything."""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.lab.ports import free_port
from gatepost.lab.sink import Sink

Gateways = Callable[..., GatewayUnderTest]
PASSWORD = "correct horse battery"


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def submission(gateway: Gateways, sink: Sink, profile: str) -> int:
    """A gateway with one connector more, of that profile; its port."""
    port = free_port()
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        more=f'[receive-connectors.people]\nprofile = "{profile}"\nlisten = ["127.0.0.1:{port}"]\ntarpit = "0s"\n',
    )
    assert running.cli("user", "add", "ann", text_in=f"{PASSWORD}\n").returncode == 0
    return port


def refusal(client: smtplib.SMTP) -> tuple[int, bytes]:
    code, text = client.mail("ann@ours.example")
    return code, text[:5]


@pytest.mark.threat("F01", "E01")
def test_587(gateway: Gateways, sink: Sink) -> None:
    port = submission(gateway, sink, "submission")
    with smtplib.SMTP("127.0.0.1", port) as client:
        client.ehlo()
        assert not client.has_extn("auth")
        assert refusal(client) == (530, b"5.7.0")
        client.starttls(context=trusting())
        client.ehlo()
        assert refusal(client) == (530, b"5.7.0")
        client.login("ann", PASSWORD)
        assert client.mail("boss@ours.example")[0] == 550
        assert client.mail("ann@ours.example")[0] == 250
        assert client.rcpt("bob@server")[1].startswith(b"5.1.6")
        client.rset()
        # A mail without Date and Message-ID, to somebody outside
        client.sendmail("ann@ours.example", ["x@elsewhere.example"], "Subject: short\n\nhello\n")
    (mail,) = wait_until(lambda: sink.mails)
    assert mail.recipients == ("x@elsewhere.example",)
    assert "with ESMTPSA" in mail.header("Received")
    assert mail.header("Date")
    assert re.fullmatch(r"<[^@ ]+@mx\.ours\.example>", mail.header("Message-ID"))


def test_465(gateway: Gateways, sink: Sink) -> None:
    port = submission(gateway, sink, "submissions")
    with smtplib.SMTP_SSL("127.0.0.1", port, context=trusting()) as client:
        client.ehlo()
        assert not client.has_extn("starttls")
        assert refusal(client) == (530, b"5.7.0")
        client.login("ann", PASSWORD)
        # A program whose library leaves line ends to it
        client.mail("ann@ours.example")
        client.rcpt("x@elsewhere.example")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: short\r\n\r\nhello\n.\n.hidden\nend\r\n.\r\n")
        assert client.getreply()[0] == 250
    (mail,) = wait_until(lambda: sink.mails)
    assert "with ESMTPSA" in mail.header("Received")
    assert mail.content.endswith(b"\r\n\r\nhello\r\n.\r\n.hidden\r\nend\r\n")
