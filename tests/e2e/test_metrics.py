"""What a real gateway shows to Prometheus: all of it is in the list, also while a worker stands still."""

from __future__ import annotations

import os
import signal
import smtplib
import urllib.request
from collections.abc import Callable

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.services.gateway import GatewayUnderTest, wait_until

from gatepost.records.counters import BY_NAME

Gateways = Callable[..., GatewayUnderTest]
Page = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def page_at(port: int) -> Page:
    """Every sample by its name (as in METRICS) and labels; each is checked against its entry there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        text = answer.read().decode()
    found: Page = {}
    for family in text_string_to_metric_families(text):
        metric = BY_NAME[family.name.removeprefix("gatepost_")]
        assert family.type == metric.kind.value, family.name
        for sample in family.samples:
            assert set(sample.labels) == set(metric.labels), sample
            found[metric.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def seen(pages: list[Page], page: Page) -> Page:
    """The page, kept."""
    pages.append(page)
    return page


@pytest.mark.slow  # patience with a worker that stands still
@pytest.mark.threat("P11", "S05")
def test_the_page_is_as_listed_and_whole_while_a_worker_stands_still(
    gateway: Gateways, free_port: Callable[[], int]
) -> None:
    port = free_port()
    more = '[log]\nlevel = "info"\n[queue]\nfirst-retry = "1h"\n'
    running = gateway(smart_host="[127.0.0.1]:9", workers=2, metrics=f"127.0.0.1:{port}", more=more)
    wait_until(lambda: page_at(port).get(("worker_up", (("worker", "1"),))) == 1.0)
    # Given a mail that waits, and one that is refused
    with smtplib.SMTP(running.host, running.port) as client:
        client.sendmail("you@there.example", ["ann@ours.example"], "Subject: hi\r\n\r\nhi\r\n")
        assert client.mail("you@there.example")[0] == 250
        assert client.rcpt("nobody@ours.example")[0] == 550
    deferred = ("queued_recipients", (("state", "deferred"),))
    pages: list[Page] = []
    wait_until(lambda: seen(pages, page_at(port)).get(deferred), timeout_s=40)
    page = pages[-1]
    assert page["gateway_up", ()] == 1.0
    assert page["worker_takes_mail", (("worker", "0"),)] == 1.0
    assert page["connector_running", (("connector", "test"),)] == 2.0
    assert page["store_commits", ()] >= 1.0
    assert (page["store_failures", ()], page["log_lines_dropped", ()], page["store_unreadable", ()]) == (
        0,
        0,
        0,
    )
    # When a worker stands still, the other's numbers and the queue are still there
    stopped = next(c for c in psutil.Process(running.process.pid).children() if c.name().endswith("w1"))
    os.kill(stopped.pid, signal.SIGSTOP)
    try:
        wait_until(lambda: not seen(pages, page_at(port))["worker_up", (("worker", "1"),)])
        page = pages[-1]
        assert page["worker_up", (("worker", "0"),)] == 1.0
        assert page[deferred] == 1.0
    finally:
        os.kill(stopped.pid, signal.SIGCONT)
