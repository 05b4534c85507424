"""An administrator and a spammer at a running gateway: lists count without a reload, in every worker, and stay."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.lab.sink import Sink

Gateways = Callable[..., GatewayUnderTest]
ALLOWED = "550 5.7.1 Your address 127.0.0.1 is on a block list of this server"


def said(running: GatewayUnderTest) -> str:
    """What a recipient is answered."""
    with smtplib.SMTP(running.host, running.port) as client:
        client.ehlo("there.example")
        client.mail("you@there.example")
        code, text = client.rcpt("bob@ours.example")
        return f"{code} {text.decode()}"


@pytest.mark.slow
def test_an_entry_refuses_in_every_worker_without_a_reload(
    gateway: Gateways, sink: Sink, tmp_path: Path
) -> None:
    feed = tmp_path / "feed"
    feed.write_text("198.51.100.0/24\n")
    more = (
        f'[list-feeds.f]\nfile = "{feed}"\ncounts-as = "provider"\n[block-list-providers.here]\nfeeds = ["f"]\n'
        'reply = "{ip} is on {zone}"\n'
    )
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", workers=2, more=more)
    assert said(running).startswith("250")
    assert running.cli("list", "add", "block", "127.0.0.0/8", "--comment", "test").returncode == 0
    wait_until(lambda: all(said(running) == ALLOWED for _ in range(8)))
    wait_until(lambda: running.ask("list", "show", "block")[0]["hits"] >= 8)
    assert running.cli("list", "add", "allow", "127.0.0.1").returncode == 0
    wait_until(lambda: all(said(running).startswith("250") for _ in range(8)))
    assert running.cli("list", "remove", "allow", "127.0.0.1").returncode == 0
    wait_until(lambda: all(said(running) == ALLOWED for _ in range(8)))
    # After a restart it is there still
    running.stop()
    running.start()
    assert said(running) == ALLOWED
    assert running.cli("list", "remove", "block", "127.0.0.0/8").returncode == 0
    wait_until(lambda: all(said(running).startswith("250") for _ in range(8)))
    # A provider in memory lists the client when its file does
    feed.write_text("127.0.0.1\n")
    assert running.cli("test", "blocklist", "127.0.0.1").returncode == 0
    assert running.cli("reload").returncode == 0  # which looks at all files
    wait_until(lambda: said(running) == "550 5.7.1 127.0.0.1 is on f")
    assert "list provider here:" in running.cli("status").stdout
