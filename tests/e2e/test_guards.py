"""Reputation, greylisting and rate limits of a running gateway with two workers, over a reload and a restart."""

from __future__ import annotations

import smtplib
from collections.abc import Callable

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.lab.sink import Sink

Gateways = Callable[..., GatewayUnderTest]
MORE = """
[agents.greylisting]
enabled = true
earliest = "1s"
[rate-limits.often]
by = ["sender"]
amount = 3
[harvest]
slow-from = 100
"""


def said(running: GatewayUnderTest, recipient: str, sender: str = "you@there.example") -> str:
    with smtplib.SMTP(running.host, running.port) as client:
        client.ehlo("there.example")
        code, text = client.mail(sender)
        if code == 250:
            code, text = client.rcpt(recipient)
        return f"{code} {text.decode()}"


@pytest.mark.slow
def test_workers_count_together_and_what_they_counted_stays(gateway: Gateways, sink: Sink) -> None:
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", workers=2, more=MORE)
    assert "Greylisted" in said(running, "bob@ours.example")
    wait_until(lambda: said(running, "bob@ours.example", "other@there.example").startswith("250"))
    assert running.ask("greylist", "statistics")["new"] >= 1
    for _ in range(3):
        said(running, "bob@ours.example", "often@there.example")
    wait_until(lambda: "Rate limit" in said(running, "bob@ours.example", "often@there.example"))

    def sessions() -> float:
        return float(running.ask("reputation", "show", "127.0.0.1")["counted"][0]["evidence"]["sessions"])

    wait_until(lambda: sessions() >= 4)
    assert running.cli("reload").returncode == 0
    assert "Rate limit" in said(running, "bob@ours.example", "often@there.example")
    seen = sessions()
    running.stop()
    assert sessions() >= seen * 0.99
    running.start()
    assert "Rate limit" in said(running, "bob@ours.example", "often@there.example")
    assert said(running, "bob@ours.example", "third@there.example").startswith("250")
    assert running.cli("reputation", "reset", "127.0.0.1").returncode == 0
    wait_until(lambda: sessions() < seen)
