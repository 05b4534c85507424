"""Who logs in, and how: swaks, smtplib and a second gateway against a real gateway process."""

from __future__ import annotations

import contextlib
import json
import smtplib
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.postfix import PostfixServer

from gatepost.lab.ports import free_port
from gatepost.lab.sink import Sink, SinkMail

Gateways = Callable[..., GatewayUnderTest]
Postfixes = Callable[..., PostfixServer]
PASSWORD = "correct horse battery"

TLS = {"optional": "-tls", "required": "-tls", "implicit": "--tls-on-connect"}


def with_ann(
    gateway: Gateways, sink: Sink, *lines: str, more: str = "", workers: int = 1
) -> GatewayUnderTest:
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=("auth = true", 'auth-tarpit = "0s"', *lines),
        more=more,
        workers=workers,
    )
    made = running.cli("user", "add", "ann", text_in=f"{PASSWORD}\n")
    assert made.returncode == 0, made.stderr
    return running


def arrived(sink: Sink) -> SinkMail:
    mail: SinkMail = wait_until(lambda: sink.mails)[0]
    return mail


def swaks(port: int, *how: str) -> subprocess.CompletedProcess[str]:
    to = ("--server", f"127.0.0.1:{port}", "--from", "ann@ours.example", "--to", "x@elsewhere.example")
    who = ("--auth-user", "ann", "--auth-password", PASSWORD, "--helo", "client.example")
    return subprocess.run(["swaks", *to, *how, *who], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.service("swaks")
@pytest.mark.threat("E01")
def test_swaks_logs_in_in_every_mode_of_tls(gateway: Gateways, sink: Sink) -> None:
    ports = {mode: free_port() for mode in TLS}
    doors = "".join(
        f'[receive-connectors.{mode}]\nlisten = ["127.0.0.1:{port}"]\ntls = "{mode}"\nauth = true\n'
        "anonymous-rights = []\n"
        for mode, port in ports.items()
    )
    with_ann(gateway, sink, more=doors)
    for mode, port in ports.items():
        for mechanism in ("PLAIN", "LOGIN"):
            done = swaks(port, "--auth", mechanism, TLS[mode])
            assert done.returncode == 0, done.stdout + done.stderr
    # And without TLS nothing is offered where it could be had
    for mode in ("optional", "required"):
        done = swaks(ports[mode], "--auth", "PLAIN")
        assert done.returncode != 0
        assert "250-AUTH" not in done.stdout + done.stderr
    arrived_all = wait_until(lambda: sink.mails[2 * len(TLS) - 1 :] and sink.mails)
    assert ["with ESMTPSA" in mail.header("Received") for mail in arrived_all] == [True] * 2 * len(TLS)


@pytest.mark.service("swaks")
@pytest.mark.threat("E01", "E10")
@pytest.mark.parametrize(
    "how", [("--auth", "PLAIN"), ("-tls", "--auth", "CRAM-MD5"), ("-tls", "--auth", "NTLM")]
)
def test_swaks_finds_no_other_way(gateway: Gateways, sink: Sink, how: tuple[str, ...]) -> None:
    running = with_ann(gateway, sink)
    assert swaks(running.port, *how).returncode != 0
    assert not sink.mails


@pytest.mark.slow  # Postfix starts, and logs in by Cyrus SASL
@pytest.mark.service("postfix")
def test_postfix_logs_in_by_scram(gateway: Gateways, postfix: Postfixes, sink: Sink) -> None:
    running = with_ann(gateway, sink, 'auth-mechanisms = ["SCRAM-SHA-256"]', "anonymous-rights = []")
    source = postfix(
        relayhost=f"[127.0.0.1]:{running.port}",
        more=(
            "smtp_tls_security_level = encrypt",
            "smtp_sasl_auth_enable = yes",
            "smtp_sasl_security_options = noanonymous",
            f"smtp_sasl_password_maps = inline:{{ {{[127.0.0.1]:{running.port} = ann:{PASSWORD}}} }}",
        ),
    )
    source.sendmail(
        b"Subject: hello\n\ntext\n", sender="ann@ours.example", recipients=("x@elsewhere.example",)
    )
    assert "with ESMTPSA" in arrived(sink).header("Received")


@pytest.mark.threat("E06")
def test_guessing_ends_for_the_account_and_not_for_its_owner(gateway: Gateways, sink: Sink) -> None:
    running = with_ann(gateway, sink, more="[users.lockout]\naccount-failures = 3\n")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def log_in(password: str) -> int:
        with smtplib.SMTP(running.host, running.port) as client:
            client.starttls(context=context)
            try:
                return client.login("ann", password, initial_response_ok=True)[0]
            except smtplib.SMTPResponseException as refused:
                return refused.smtp_code
            except smtplib.SMTPServerDisconnected:
                return 421  # smtplib had tried the next mechanism on the closed connection

    # Given three guesses (smtplib tries each password twice, by PLAIN and by LOGIN)
    assert log_in("wrong") == 535
    log_in("wrong")
    # Then the right password is not even looked at
    assert log_in(PASSWORD) == 421
    assert wait_until(lambda: '"limit":"account-failures"' in running.process.log_end())


@pytest.mark.slow  # some twenty guesses, each with its hash
@pytest.mark.threat("E06")
def test_a_guesser_gains_nothing_by_meeting_two_workers(gateway: Gateways, sink: Sink) -> None:
    more = "[users.lockout]\naccount-failures = 20\nclient-failures = 1000\n"
    running = with_ann(gateway, sink, more=more, workers=2)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    def are_both_closed() -> bool:
        with contextlib.suppress(smtplib.SMTPException), smtplib.SMTP(running.host, running.port) as client:
            client.starttls(context=context)
            client.login("ann", "wrong", initial_response_ok=True)
        lines = [json.loads(line) for line in running.process.log.read_text("utf-8").splitlines()]
        return {"worker-0", "worker-1"} == {
            line["process"] for line in lines if line["event"] == "login-stopped"
        }

    wait_until(are_both_closed)
    failures = running.process.log.read_text("utf-8").count('"authentication-failed"')
    assert 20 <= failures < 40  # each for itself would have come to forty


@pytest.mark.threat("E11")
def test_an_account_sends_as_itself(gateway: Gateways, sink: Sink) -> None:
    more = '[users.addresses]\n"Ann" = ["Sales@ours.example", "*@lists.elsewhere.example"]\n'
    running = with_ann(gateway, sink, "anonymous-rights = []", more=more)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(running.host, running.port) as client:
        client.starttls(context=context)
        client.login("ann", PASSWORD)
        client.ehlo()
        assert client.mail("boss@ours.example")[0] == 550
        assert client.mail("ann@elsewhere.example")[0] == 550
        for sender in ("ann@ours.example", "sales@ours.example", "news@lists.elsewhere.example"):
            assert client.mail(sender)[0] == 250
            client.rset()
        # And what was granted while it ran, as soon as that is looked at
        granted = running.cli("user", "grant", "ann", "*@*.branch.example")
        assert granted.returncode == 0, granted.stderr

        def may(sender: str) -> bool:
            with smtplib.SMTP(running.host, running.port) as other:
                other.starttls(context=context)
                other.login("ann", PASSWORD)
                return other.mail(sender)[0] == 250

        wait_until(lambda: may("x@deep.in.branch.example"))
        assert not may("x@branch.example")
        # And in the header, too
        for author, code in (("boss@ours.example", 550), ("Sales <sales@ours.example>", 250)):
            client.mail("ann@ours.example")
            client.rcpt("x@elsewhere.example")
            assert client.data(f"From: {author}\r\nSubject: x\r\n\r\ntext\r\n")[0] == code


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"])
def test_a_gateway_logs_in_at_another(gateway: Gateways, sink: Sink, tmp_path: Path, mechanism: str) -> None:
    # Given a smart host that takes mail for elsewhere from accounts only
    smart = with_ann(gateway, sink, 'hostname = "smart.ours.example"')
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    # When another gateway sends its mail over it
    office = gateway(
        smart_host=f"[127.0.0.1]:{smart.port}",
        connector=(
            "[receive-connectors.test.ranges.office]",
            'addresses = ["127.0.0.1"]',
            'rights = ["submit", "relay", "any-sender", "own-domain-sender"]',
        ),
        sender=(
            'tls = "required"',
            'user = "ann"',
            f'password-file = "{secret}"',
            f'auth-mechanisms = ["{mechanism}"]',
        ),
    )
    with smtplib.SMTP(office.host, office.port) as client:
        client.sendmail("ann@ours.example", ["x@elsewhere.example"], "Subject: over two\n\nhello\n")
    # Then it arrives, and the smart host knew whose it was
    mail = arrived(sink)
    assert mail.recipients == ("x@elsewhere.example",)
    assert "with ESMTPSA" in mail.header("Received")
