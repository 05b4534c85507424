"""A running gateway counts what comes in others' names, and sends its report, signed, through its own queue."""

from __future__ import annotations

import email
import gzip
import json
import smtplib
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.services.gateway import GatewayUnderTest, wait_until
from tests.standards.signing import rsa_key

from gatepost.lab.dns_server import LabDns
from gatepost.lab.sink import Sink
from gatepost.main.nightly_reports import SENT_AFTER_S
from gatepost.standards.dkim_sign import pem_of
from gatepost.standards.dmarc_report import read_aggregate

DAY_S = 86400
LETTER = b"From: Ann <ann@there.example>\r\nTo: bob@ours.example\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\n\r\nhi\r\n"


def restart_after_the_day(running: GatewayUnderTest) -> None:
    """As if what was counted were of the day before yesterday, so that it is due."""
    running.stop()
    (counted,) = (running.state / "dmarc-results").glob("*.json")
    before = datetime.fromtimestamp(time.time() - 2 * DAY_S, tz=UTC).date().isoformat()
    kept: Any = json.loads(counted.read_bytes())
    counted.with_name(f"{before}.0.json").write_bytes(json.dumps({**kept, "day": before}).encode())
    counted.unlink()
    running.start()


@pytest.mark.slow
def test_a_report_is_counted_over_a_restart_and_sent_signed(
    gateway: Callable[..., GatewayUnderTest], lab_dns: LabDns, sink: Sink, tmp_path: Path
) -> None:
    if time.time() % DAY_S < SENT_AFTER_S:
        pytest.skip("no report leaves in the first half hour of the day (UTC)")
    lab_dns.add('_dmarc.there.example. TXT "v=DMARC1; p=reject; rua=mailto:reports@there.example!1m"')
    key = rsa_key("r1", "ours.example")
    file = tmp_path / "r1.pem"
    file.write_bytes(pem_of(key.key))
    file.chmod(0o600)
    more = (
        '[dmarc-reports]\nsender = "dmarc@ours.example"\n'
        '[dkim-signing.domains."ours.example".selectors.r1]\n' + f'key-file = "{file}"\n'
    )
    running = gateway(smart_host=f"[127.0.0.1]:{sink.port}", more=more)
    for _ in range(3):
        with smtplib.SMTP(running.host, running.port) as client:
            client.sendmail("ann@there.example", ["bob@ours.example"], LETTER)
    wait_until(lambda: len(sink.mails) == 3)
    restart_after_the_day(running)
    wait_until(lambda: len(sink.mails) == 4, timeout_s=120.0)
    mail = email.message_from_bytes(sink.mails[-1].content)
    assert "d=ours.example" in mail["DKIM-Signature"]
    packed: Any = mail.get_payload()[1]  # type: ignore[index]
    report = read_aggregate(gzip.decompress(packed.get_payload(decode=True)))
    assert (report.domain, report.mails, report.failed) == ("there.example", 3, 3)
    assert report.rows[0].source_ip == "127.0.0.1"
