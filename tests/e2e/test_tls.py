"""TLS with real peers: openssl s_client, swaks and Postfix both ways; new certificates while sessions are open."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from tests.certificates import ca_file, client, in_file, leaf
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.postfix import PostfixServer

from gatepost.adapters.certificates import fingerprints_of
from gatepost.lab.ports import free_port
from gatepost.lab.sink import Sink

Gateways = Callable[..., GatewayUnderTest]
Postfixes = Callable[..., PostfixServer]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, each with its key in one file; ca.pem and partner-ca.pem vouch for them."""
    made = tmp_path_factory.mktemp("tls")
    in_file(made / "mx.pem", leaf("mx.ours.example"))
    in_file(made / "second.pem", leaf("mail.second.example"))
    in_file(made / "relay.pem", leaf("relay.partner.example", by="partner"))
    in_file(made / "hop.pem", leaf("127.0.0.1", "localhost"))
    ca_file(made / "ca.pem")
    ca_file(made / "partner-ca.pem", "partner")
    return made


def certified(files: Path, *lines: str) -> tuple[str, ...]:
    return (f'certificate-file = "{files / "mx.pem"}"', *lines)


def s_client(port: int, *words: str, text: str = "QUIT\r\n") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def fingerprint(file: Path) -> str:
    return min(
        fingerprints_of(x509.load_pem_x509_certificate(file.read_bytes().partition(b"-----END EC")[2]))
    )


@pytest.mark.service("openssl")
@pytest.mark.threat("D11", "D17", "D19", "D20")
def test_openssl_finds_what_the_connector_says(gateway: Gateways, sink: Sink, files: Path) -> None:
    port = free_port()
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=certified(
            files,
            "[receive-connectors.test.certificates.second]",
            f'certificate-file = "{files / "second.pem"}"',
        ),
        more=f'[receive-connectors.tls]\nlisten = ["127.0.0.1:{port}"]\ntls = "implicit"\ntls-minimum = "1.3"\n'
        f'certificate-file = "{files / "mx.pem"}"\n',
    )
    start = ("-starttls", "smtp", "-CAfile", str(files / "ca.pem"), "-verify_return_error")
    for words in ((), ("-tls1_2",), ("-tls1_3",)):
        done = s_client(running.port, *start, *words)
        assert "Verify return code: 0 (ok)" in done.stdout, done.stderr
        assert "subject=" in done.stdout
        # No ticket is handed out, and without one there is no early data
        assert "TLS session ticket:" not in done.stdout
    assert (
        "Cipher is (NONE)" in s_client(running.port, *start, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0").stdout
    )
    # The certificate follows the server name
    named = s_client(
        running.port, *start, "-servername", "mail.second.example", "-verify_hostname", "mail.second.example"
    )
    assert "Verify return code: 0 (ok)" in named.stdout, named.stderr
    # And the other door speaks TLS at once, and only 1.3
    assert "220 mx.ours.example" in s_client(port, "-quiet", "-ign_eof").stdout
    assert "Cipher is (NONE)" in s_client(port, "-tls1_2").stdout


@pytest.mark.service("openssl")
@pytest.mark.threat("D13")
def test_openssl_cannot_renegotiate(gateway: Gateways, sink: Sink, files: Path) -> None:
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=certified(files))
    # R asks for a renegotiation
    done = s_client(running.port, "-starttls", "smtp", "-tls1_2", text="R\n")
    assert "RENEGOTIATING" in done.stderr
    assert "no renegotiation" in done.stderr


@pytest.mark.service("openssl")
@pytest.mark.threat("D13")
def test_a_thousand_key_updates_are_no_harm(gateway: Gateways, sink: Sink, files: Path) -> None:
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=certified(files))
    # K asks us for new keys, too
    s_client(running.port, "-starttls", "smtp", "-tls1_3", text="K\n" * 1000)
    with smtplib.SMTP(running.host, running.port) as other:
        assert other.noop()[0] == 250


RELAY = (
    "[receive-connectors.test.client-certificates]",
    'ask = "optional"',
    'ca-file = "{files}/partner-ca.pem"',
    "[receive-connectors.test.client-certificates.identities.relay]",
    'match = ["dns:relay.partner.example"]',
    'rights = ["submit", "relay", "any-sender"]',
    'user = "ann"',
)


def asking(files: Path) -> tuple[str, ...]:
    return certified(files, "auth = true", *(line.replace("{files}", str(files)) for line in RELAY))


@pytest.mark.service("swaks")
@pytest.mark.parametrize("shows", [True, False])
def test_swaks_relays_by_its_certificate(gateway: Gateways, sink: Sink, files: Path, shows: bool) -> None:
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=asking(files))
    relay = str(files / "relay.pem")
    certificate = ("--tls-cert", relay, "--tls-key", relay) if shows else ()
    done = subprocess.run(
        [
            *("swaks", "--server", f"127.0.0.1:{running.port}", "-tls", *certificate),
            *("--helo", "client.example", "--from", "you@there.example", "--to", "x@elsewhere.example"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) == shows, done.stdout + done.stderr
    if shows:
        wait_until(lambda: sink.mails)
        assert '"identity":"relay"' in running.process.log_end()
    else:
        assert "550 5.7" in done.stdout


@pytest.mark.slow  # a refused login waits
def test_auth_external(gateway: Gateways, sink: Sink, files: Path) -> None:
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=asking(files))
    context = client(shows=leaf("relay.partner.example", by="partner"))
    assert running.cli("user", "add", "ann", text_in="correct horse battery\n").returncode == 0
    with smtplib.SMTP(running.host, running.port) as known:
        known.starttls(context=context)
        known.ehlo()
        assert known.esmtp_features["auth"].split()[0] == "EXTERNAL"
        assert known.docmd("AUTH", "EXTERNAL =")[0] == 235
        assert known.mail("ann@ours.example")[0] == 250
    assert running.cli("user", "disable", "ann").returncode == 0
    with smtplib.SMTP(running.host, running.port) as known:
        known.starttls(context=context)
        known.ehlo()
        wait_until(lambda: known.docmd("AUTH", "EXTERNAL =")[0] == 535)


@pytest.mark.service("postfix")
def test_postfix_sends_to_us_with_a_certificate_and_checks_ours(
    gateway: Gateways, postfix: Postfixes, sink: Sink, files: Path
) -> None:
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=asking(files))
    relay = files / "relay.pem"
    source = postfix(
        relayhost=f"[127.0.0.1]:{running.port}",
        more=(
            "smtp_tls_security_level = secure",
            "smtp_tls_secure_cert_match = mx.ours.example",
            f"smtp_tls_CAfile = {files / 'ca.pem'}",
            f"smtp_tls_cert_file = {relay}",
            f"smtp_tls_key_file = {relay}",
        ),
    )
    # Only the certificate lets it relay
    source.sendmail(b"Subject: x\n\nhello\n", sender="you@there.example", recipients=("x@elsewhere.example",))
    (mail,) = wait_until(lambda: sink.mails)
    assert "with ESMTPS" in mail.header("Received")


@pytest.mark.service("postfix")
@pytest.mark.threat("D22")
@pytest.mark.parametrize("tls", ["verified", "fingerprint"])
def test_postfix_is_a_next_hop_that_proves_who_it_is(
    gateway: Gateways, postfix: Postfixes, files: Path, tls: str
) -> None:
    hop = postfix(
        mailboxes=("ann@ours.example",),
        more=(
            "smtpd_tls_security_level = encrypt",
            "smtpd_tls_received_header = yes",
            f"smtpd_tls_cert_file = {files / 'hop.pem'}",
            f"smtpd_tls_key_file = {files / 'hop.pem'}",
        ),
    )
    known = fingerprint(files / "hop.pem")
    proof = f'ca-file = "{files / "ca.pem"}"' if tls == "verified" else f'fingerprints = ["{known}"]'
    running = gateway(smart_host=f"[127.0.0.1]:{hop.port}", sender=(f'tls = "{tls}"', proof))
    with smtplib.SMTP(running.host, running.port) as there:
        there.sendmail("you@there.example", ["ann@ours.example"], "Subject: x\r\n\r\nhello\r\n")
    (mail,) = wait_until(lambda: hop.mails("ann"))
    assert b"using TLSv1.3" in mail


@pytest.mark.slow
@pytest.mark.threat("D21")
def test_a_new_certificate_costs_no_session(gateway: Gateways, sink: Sink, tmp_path: Path) -> None:
    file = tmp_path / "mx.pem"
    old, new = leaf("old.ours.example"), leaf("new.ours.example")
    in_file(file, old)
    running = gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=(f'certificate-file = "{file}"', "limits = { connections-per-source = 1000 }"),
    )

    def open_session() -> smtplib.SMTP:
        made = smtplib.SMTP(running.host, running.port)
        made.starttls(context=client())
        made.ehlo()
        return made

    def name_shown(session: smtplib.SMTP) -> str:
        assert isinstance(session.sock, ssl.SSLSocket)
        shown = x509.load_der_x509_certificate(session.sock.getpeercert(binary_form=True) or b"")
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return names.get_values_for_type(x509.DNSName)[0]

    def new_sessions_show(name: str) -> bool:
        with open_session() as session:
            return name_shown(session) == name

    def said(event: str) -> bool:
        return f'"event":"{event}"' in running.process.log_end()

    # Given sessions in every state: idle, in a transaction, in the middle of the content
    sessions = [open_session() for _ in range(36)]
    for number, session in enumerate(sessions):
        if number % 3:
            session.mail("you@there.example")
            session.rcpt("ann@ours.example")
        if number % 3 == 2:
            session.putcmd("data")
            session.getreply()
            session.send(f"Subject: {number}\r\n\r\nfirst half ")
    # When the certificate is replaced, then broken, then mended
    in_file(file, new)
    wait_until(lambda: new_sessions_show("new.ours.example"))
    file.write_bytes(b"broken")
    wait_until(lambda: said("certificate-failed"))
    assert new_sessions_show("new.ours.example")
    in_file(file, old)
    wait_until(lambda: new_sessions_show("old.ours.example"))
    # Then every session goes on where it was
    for number, session in enumerate(sessions):
        if not number % 3:
            session.mail("you@there.example")
            session.rcpt("ann@ours.example")
        if number % 3 != 2:
            session.putcmd("data")
            session.getreply()
            session.send(f"Subject: {number}\r\n\r\nfirst half ")
        session.send("second half\r\n.\r\n")
        assert session.getreply()[0] == 250
        session.quit()
    mails = wait_until(lambda: sink.mails if len(sink.mails) == len(sessions) else [])
    assert {mail.header("Subject") for mail in mails} == {str(number) for number in range(len(sessions))}
    assert all(mail.content.endswith(b"first half second half\r\n") for mail in mails)
