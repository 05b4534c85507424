"""A real HAProxy in front of a real gateway: the gateway sees the clients, and only those."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.services.haproxy import HaproxyServer

from gatepost.lab.ports import free_port
from gatepost.lab.sink import Sink

Gateways = Callable[..., GatewayUnderTest]
Haproxies = Callable[..., HaproxyServer]
CLIENT = "127.0.0.2"


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[Haproxies]:
    started: list[HaproxyServer] = []

    def start(*options: str, to: int) -> HaproxyServer:
        directory = tmp_path / f"haproxy-{len(started)}"
        directory.mkdir()
        made = HaproxyServer(directory, to=to, options=options)
        started.append(made)
        made.start()
        return made

    yield start
    for made in started:
        made.stop()


def behind_proxies(
    gateway: Gateways, sink: Sink, *, tls: str = "optional", patience: str = "30s"
) -> tuple[GatewayUnderTest, int]:
    """A gateway whose second connector is for proxies only, and that connector's port."""
    port = free_port()
    more = (
        f'[receive-connectors.proxied]\nlisten = ["127.0.0.1:{port}"]\ntls = "{tls}"\ntarpit = "0s"\n'
        f'proxies = ["127.0.0.1"]\nproxy-timeout = "{patience}"\ninternal-clients-by-proxy = true\n'
    )
    return gateway(smart_host=f"[127.0.0.1]:{sink.port}", more=more), port


WAYS = {
    "version 1": ("send-proxy",),
    "version 2": ("send-proxy-v2",),
    "version 2 with checks of our health": ("send-proxy-v2", "check", "inter", "200"),
    "version 2 with a checksum": ("send-proxy-v2", "proxy-v2-options", "crc32c,unique-id"),
}


@pytest.mark.service("haproxy")
@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS.keys())
def test_the_client_is_the_one_haproxy_names(
    gateway: Gateways, haproxy: Haproxies, sink: Sink, options: tuple[str, ...]
) -> None:
    running, port = behind_proxies(gateway, sink)
    proxy = haproxy(*options, to=port)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP(proxy.host, proxy.port, source_address=(CLIENT, 0)) as client:
        client.starttls(context=context)
        client.sendmail("you@there.example", ["ann@ours.example"], "Subject: by proxy\n\nhello\n")
    (mail,) = wait_until(lambda: sink.mails)
    assert f"([{CLIENT}])" in mail.header("Received")
    (record,) = [r for r in running.ask("track", "--sender", "you@there.example") if r["event"] == "RECEIVE"]
    assert (record["client-ip"], record["original-server-ip"]) == (CLIENT, "127.0.0.1")


@pytest.mark.service("haproxy")
def test_haproxy_before_implicit_tls(gateway: Gateways, haproxy: Haproxies, sink: Sink) -> None:
    _, port = behind_proxies(gateway, sink, tls="implicit")
    proxy = haproxy("send-proxy-v2", to=port)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP_SSL(proxy.host, proxy.port, source_address=(CLIENT, 0), context=context) as client:
        client.sendmail("you@there.example", ["ann@ours.example"], "Subject: by proxy\n\nhello\n")
    (mail,) = wait_until(lambda: sink.mails)
    assert "with ESMTPS" in mail.header("Received")
    assert f"([{CLIENT}])" in mail.header("Received")


@pytest.mark.service("haproxy")
@pytest.mark.threat("Q01", "Q02")
def test_haproxy_and_gateway_must_agree(gateway: Gateways, haproxy: Haproxies, sink: Sink) -> None:
    running, port = behind_proxies(gateway, sink, patience="500ms")
    # Given a proxy that sends no header where one is expected, and one that sends it where none is
    silent, talkative = haproxy(to=port), haproxy("send-proxy", to=running.port)
    with pytest.raises((smtplib.SMTPException, OSError)):
        smtplib.SMTP(silent.host, silent.port, timeout=60)
    try:
        with smtplib.SMTP(talkative.host, talkative.port, timeout=60) as client:
            client.sendmail("you@there.example", ["ann@ours.example"], "Subject: no\n\nno\n")
    except (smtplib.SMTPException, OSError):
        pass
    else:
        raise AssertionError("a header was ignored")
    assert "no PROXY header within 0.5 s" in running.process.log_end()
    assert sink.mails == []


@pytest.mark.service("swaks")
@pytest.mark.threat("Q06")
@pytest.mark.parametrize("trusted", [True, False], ids=["a named peer", "anybody else"])
def test_swaks_says_who_its_client_is(gateway: Gateways, sink: Sink, trusted: bool) -> None:
    peers = ('xclient-peers = ["127.0.0.1"]',) if trusted else ()
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", connector=peers)
    done = subprocess.run(
        [
            *("swaks", "--server", f"{running.host}:{running.port}", "-tls", "--helo", "peer.example"),
            *("--from", "you@there.example", "--to", "ann@ours.example"),
            *("--xclient-name", "client.example", "--xclient-addr", "192.0.2.7", "--xclient-port", "4711"),
            *("--xclient-proto", "ESMTP", "--xclient-helo", "client.example"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) is trusted, done.stdout + done.stderr
    if not trusted:
        assert sink.mails == []
        return
    (mail,) = wait_until(lambda: sink.mails)
    assert mail.header("Received").startswith("from client.example ([192.0.2.7])")
    (record,) = [r for r in running.ask("track", "--sender", "you@there.example") if r["event"] == "RECEIVE"]
    assert (record["client-ip"], record["original-server-ip"]) == ("192.0.2.7", "127.0.0.1")
