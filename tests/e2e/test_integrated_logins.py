"""Exchange's integrated authentication: Kerberos from a real key distribution centre, and NTLM, over a real gateway."""

from __future__ import annotations

import base64
import shutil
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.services import curl
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.kdc import REALM, Kdc

from gatepost.lab.sink import Sink

if TYPE_CHECKING:
    from spnego import ContextProxy

Gateways = Callable[..., GatewayUnderTest]
PASSWORD = "correct-horse-battery"
NT_HASH = "7B1BAA04616AC04E06777C63C4F8532D"
KERBEROS = pytest.mark.service("krb5kdc", "kdb5_util", "kadmin.local", "kinit")


@pytest.fixture(scope="module")
def kdc() -> Iterator[Kdc]:
    pytest.importorskip("gssapi", exc_type=ImportError)
    pytest.importorskip("krb5", exc_type=ImportError)
    made = Kdc()
    try:
        made.start()
        made.add("ann", PASSWORD)
        made.keytab("smtp/mx.ours.example", "SMTPSVC/mx.ours.example", "smtp/127.0.0.1")
        yield made
    finally:
        made.stop()


def with_kerberos(
    gateway: Gateways, sink: Sink, kdc: Kdc, monkeypatch: pytest.MonkeyPatch, *lines: str
) -> GatewayUnderTest:
    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    return gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=(
            "auth = true",
            'auth-tarpit = "0s"',
            'auth-mechanisms = ["GSSAPI"]',
            "anonymous-rights = []",
            *lines,
        ),
        more=f'[users.gssapi]\nkeytab-file = "{kdc.directory}/keytab"\nrealms = ["{REALM}"]\n',
    )


@KERBEROS
@pytest.mark.service("curl")
def test_a_ticket_lets_its_owner_in(
    gateway: Gateways, sink: Sink, kdc: Kdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = with_kerberos(gateway, sink, kdc, monkeypatch)
    seen = kdc.log_in("ann", PASSWORD, "curl")
    assert seen is not None
    how = ("--login-options", "AUTH=GSSAPI", "--user", ":", "--connect-to", f"::127.0.0.1:{running.port}")
    # Given curl, which speaks RFC 4752 with Kerberos' own tokens
    done = curl.send(running.port, *how, host="mx.ours.example", environment=seen)
    assert done.returncode == 0, done.stderr
    assert "235 2.7.0" in done.stderr
    assert "with ESMTPSA" in wait_until(lambda: sink.mails)[0].header("Received")
    # Then ann is ann, and nobody else
    done = curl.send(running.port, *how, host="mx.ours.example", environment=seen, sender="boss@ours.example")
    assert "550 5.7.1 You may not use this sender address" in done.stderr


@contextmanager
def session(running: GatewayUnderTest) -> Iterator[smtplib.SMTP]:
    """Under TLS, greeted, nobody yet."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(running.host, running.port) as client:
        client.starttls(context=context)
        client.ehlo()
        yield client


def answer(client: smtplib.SMTP, token: bytes | None, *, command: str = "") -> tuple[int, bytes]:
    """The reply to a token; a challenge without its base64."""
    said = base64.b64encode(token or b"").decode()
    code, text = client.docmd(command, said) if command else client.docmd(said)
    return code, base64.b64decode(text) if code == 334 else text


def established(client: smtplib.SMTP, context: ContextProxy) -> bytes:
    """The message with our security layers, once both sides know each other."""
    code, said = answer(client, context.step(), command="AUTH GSSAPI")
    while not context.complete:
        assert code == 334, said
        code, said = answer(client, context.step(said))
    assert code == 334, said
    return context.unwrap(said or answer(client, b"")[1]).data


def kerberos(kdc: Kdc, monkeypatch: pytest.MonkeyPatch, protocol: str) -> ContextProxy:
    """A client with ann's ticket. protocol: kerberos, or negotiate for SPNEGO around it."""
    import spnego

    for name, value in (kdc.log_in("ann", PASSWORD, protocol) or {}).items():
        monkeypatch.setenv(name, value)
    return spnego.client(hostname="mx.ours.example", service="SMTPSVC", protocol=protocol)


CHOICES = [
    ("a layer that was not offered", b"\x04\x00\x10\x00", 501),
    ("too short", b"\x01\x00\x00", 501),
    ("for somebody else", b"\x01\x00\x00\x00boss", 535),
]


@KERBEROS
@pytest.mark.threat("E04", "E05", "E10")
def test_whoever_has_a_ticket_is_that_user_only(
    gateway: Gateways, sink: Sink, kdc: Kdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = with_kerberos(gateway, sink, kdc, monkeypatch)
    # Given a ticket as RFC 4752 wants it, and in SPNEGO as clients of Exchange send it
    for protocol in ("kerberos", "negotiate"):
        context = kerberos(kdc, monkeypatch, protocol)
        with session(running) as client:
            assert established(client, context) == b"\x01\x00\x00\x00"
            assert answer(client, context.wrap(b"\x01\x00\x00\x00ann").data)[0] == 235
            client.ehlo()
            assert client.mail("ann@ours.example")[0] == 250
    # Then nothing else may be asked for with it
    for _name, choice, code in CHOICES:
        with session(running) as client:
            context = kerberos(kdc, monkeypatch, "kerberos")
            established(client, context)
            assert answer(client, context.wrap(choice).data)[0] == code
    # And what was not wrapped with the session's key is nobody's
    with session(running) as client:
        established(client, kerberos(kdc, monkeypatch, "kerberos"))
        assert answer(client, b"\x01\x00\x00\x00")[0] == 535


@KERBEROS
@pytest.mark.threat("E04", "E10")
def test_no_ticket_no_login(gateway: Gateways, sink: Sink, kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    running = with_kerberos(gateway, sink, kdc, monkeypatch)
    token = kerberos(kdc, monkeypatch, "kerberos").step() or b""
    spnego_done = bytes.fromhex("a1073005a0030a0100")  # "accept-completed", said by the client
    spnego_opening = bytes.fromhex("601b06062b0601050502a011300fa00d300b06092a864886f712010202")
    with session(running) as client:
        # Given a ticket, and the same one again by who saw it
        assert answer(client, token, command="AUTH GSSAPI")[0] == 334
        assert client.docmd("*")[0] == 501
    with session(running) as client:
        assert answer(client, token, command="AUTH GSSAPI")[0] == 535
        # Octets that are none
        assert answer(client, token[:-1] + b"x", command="AUTH GSSAPI")[0] == 535
    with session(running) as client:
        assert answer(client, b"\x60" * 100, command="AUTH GSSAPI")[0] == 535
        # NTLM where Kerberos is asked for
        assert answer(client, b"NTLMSSP\0\1\0\0\0" + bytes(24), command="AUTH GSSAPI")[0] == 535
    with session(running) as client:
        # And SPNEGO that its client calls complete before there was a ticket
        code, _said = answer(client, spnego_opening, command="AUTH GSSAPI")
        assert code in (334, 535)
        if code == 334:
            assert answer(client, spnego_done)[0] == 535
        assert client.mail("ann@ours.example")[0] == 530


# NTLM.


def with_ntlm(gateway: Gateways, sink: Sink, tmp_path: Path, *lines: str) -> GatewayUnderTest:
    hashes = tmp_path / "smbpasswd"
    hashes.write_text(f"ann:1000:{'X' * 32}:{NT_HASH}:[U          ]:LCT-00000000:\n")
    hashes.chmod(0o600)
    return gateway(
        smart_host=f"[127.0.0.1]:{sink.port}",
        connector=(
            "auth = true",
            'auth-tarpit = "0s"',
            'auth-mechanisms = ["NTLM"]',
            "anonymous-rights = []",
            *lines,
        ),
        more=f'[users.ntlm]\nhashes-file = "{hashes}"\ndomain = "OURS"\n',
    )


@pytest.mark.service("curl")
def test_curl_logs_in_by_ntlm(gateway: Gateways, sink: Sink, tmp_path: Path) -> None:
    running = with_ntlm(gateway, sink, tmp_path)
    done = curl.send(running.port, "--login-options", "AUTH=NTLM", "--user", f"OURS\\ann:{PASSWORD}")
    assert done.returncode == 0, done.stderr
    assert "235 2.7.0" in done.stderr
    assert "with ESMTPSA" in wait_until(lambda: sink.mails)[0].header("Received")
    done = curl.send(running.port, "--login-options", "AUTH=NTLM", "--user", "OURS\\ann:wrong")
    assert "535 5.7.8" in done.stderr


@pytest.mark.service("swaks")
@pytest.mark.threat("E10")
def test_swaks_logs_in_by_the_second_version_only(gateway: Gateways, sink: Sink, tmp_path: Path) -> None:
    running = with_ntlm(gateway, sink, tmp_path)
    (tmp_path / "VersionTwo.pm").write_text("package VersionTwo;\nuse Authen::NTLM;\nntlmv2(1);\n1;\n")
    swaks = shutil.which("swaks") or "swaks"
    words = ["--server", f"127.0.0.1:{running.port}", "-tls", "--auth", "NTLM", "--auth-user", "ann"]
    words += ["--auth-password", PASSWORD, "--helo", "client.example"]
    words += ["--from", "ann@ours.example", "--to", "x@elsewhere.example"]
    for perl, is_let_in in (([], False), ([f"-I{tmp_path}", "-MVersionTwo"], True)):
        done = subprocess.run(
            ["perl", *perl, swaks, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if "Authen::NTLM" in done.stdout + done.stderr:
            pytest.skip("swaks has no NTLM here (libauthen-ntlm-perl)")
        assert (done.returncode == 0) is is_let_in, done.stdout + done.stderr


# A gateway as the client.

SMART = 'hostname = "smart.ours.example"'


def send_by(gateway: Gateways, smart: GatewayUnderTest, secret: Path, mechanism: str, user: str) -> None:
    """One mail over a gateway that logs in at another."""
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    office = gateway(
        smart_host=f"[127.0.0.1]:{smart.port}",
        connector=(
            "[receive-connectors.test.ranges.office]",
            'addresses = ["127.0.0.1"]',
            'rights = ["submit", "relay", "any-sender", "own-domain-sender"]',
        ),
        sender=(
            'tls = "required"',
            f"user = '{user}'",
            f'password-file = "{secret}"',
            f'auth-mechanisms = ["{mechanism}"]',
        ),
    )
    with smtplib.SMTP(office.host, office.port) as client:
        client.sendmail("ann@ours.example", ["x@elsewhere.example"], "Subject: over two\n\nhello\n")


def test_a_gateway_logs_in_by_ntlm(gateway: Gateways, sink: Sink, tmp_path: Path) -> None:
    send_by(gateway, with_ntlm(gateway, sink, tmp_path, SMART), tmp_path / "password", "NTLM", "OURS\\ann")
    assert "with ESMTPSA" in wait_until(lambda: sink.mails)[0].header("Received")


@KERBEROS
def test_a_gateway_logs_in_with_a_ticket(
    gateway: Gateways, sink: Sink, kdc: Kdc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    smart = with_kerberos(gateway, sink, kdc, monkeypatch, SMART)
    send_by(gateway, smart, tmp_path / "password", "GSSAPI", f"ann@{REALM}")
    assert "with ESMTPSA" in wait_until(lambda: sink.mails)[0].header("Received")
