"""A gateway's own report, sent by SMTP to another gateway's report address, is kept there and summed up."""

from __future__ import annotations

import gzip
import smtplib
import time
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from tests.e2e.test_dmarc_reports import DAY_S, LETTER, restart_after_the_day
from tests.services.gateway import GatewayUnderTest, configuration, wait_until
from tests.standards.signing import rsa_key
from tests.standards.test_dmarc_report import REPORT

from gatepost.lab.dns_server import LabDns
from gatepost.lab.ports import free_port
from gatepost.lab.sink import Sink
from gatepost.main.nightly_reports import SENT_AFTER_S
from gatepost.standards.dkim_sign import pem_of

READER = """
[accepted-domains."there.example"]
[reports]
addresses = ["reports@there.example"]
afterwards = "{afterwards}"
names = false
"""


def reader(directory: Path, sink: Sink, dns_port: int, *, afterwards: str) -> GatewayUnderTest:
    """The gateway of there.example, which asked for reports."""
    directory.mkdir()
    port = free_port()
    text = configuration(
        directory,
        port=port,
        smart_host=f"[127.0.0.1]:{sink.port}",
        dns_port=dns_port,
        more=READER.format(afterwards=afterwards),
    )
    return GatewayUnderTest(directory, text.replace("mx.ours.example", "mx.there.example"), port=port)


def signing_reports(lab_dns: LabDns, directory: Path, *more: str) -> str:
    """Tables of a gateway that reports, and signs what it writes; its key is published."""
    key = rsa_key("r1", "ours.example")
    strings = " ".join(f'"{key.record[n : n + 200]}"' for n in range(0, len(key.record), 200))
    lab_dns.add(f"r1._domainkey.ours.example. TXT {strings}")
    lab_dns.add('_dmarc.ours.example. TXT "v=DMARC1; p=reject"')
    file = directory / "r1.pem"
    file.write_bytes(pem_of(key.key))
    file.chmod(0o600)
    lines = (
        "[dmarc-reports]",
        'sender = "dmarc@ours.example"',
        'organization = "Ours"',
        *more,
        '[dkim-signing.domains."ours.example".selectors.r1]',
        f'key-file = "{file}"',
    )
    return "\n".join(lines) + "\n"


@pytest.mark.slow
@pytest.mark.threat("J39")
def test_a_report_goes_from_one_gateway_to_another(
    gateway: Callable[..., GatewayUnderTest], lab_dns: LabDns, sink: Sink, tmp_path: Path
) -> None:
    if time.time() % DAY_S < SENT_AFTER_S:
        pytest.skip("no report leaves in the first half hour of the day (UTC)")
    there = reader(tmp_path / "b", sink, lab_dns.port, afterwards="consume")
    there.start()
    try:
        lab_dns.add('_dmarc.there.example. TXT "v=DMARC1; p=reject; rua=mailto:reports@there.example"')
        more = signing_reports(lab_dns, tmp_path)
        running = gateway(smart_host=f"[127.0.0.1]:{there.port}", more=more)
        with smtplib.SMTP(running.host, running.port) as client:
            client.sendmail("ann@there.example", ["bob@ours.example"], LETTER)
        wait_until(lambda: sink.mails)
        restart_after_the_day(running)
        wait_until(lambda: there.cli("reports", "list").returncode == 0, timeout_s=120.0)
        (listed,) = there.ask("reports", "list")
        assert (listed["organization"], listed["domain"], listed["total"]) == ("Ours", "there.example", 1)
        assert listed["authenticated_by"] == {"how": "dmarc", "who": "ours.example"}
        assert listed["counts"] is True
        assert [mail.recipients for mail in sink.mails] == [("bob@ours.example",)]  # the report ended there
        summed = there.cli("reports", "summary", "there.example").stdout
        assert summed.splitlines()[-1] == "With p=reject 1 of 1 mails (100 %) would be refused: 127.0.0.1 1."
    finally:
        there.stop()


@pytest.mark.slow
def test_a_failure_is_told_to_the_domain_that_asks(
    gateway: Callable[..., GatewayUnderTest], lab_dns: LabDns, sink: Sink, tmp_path: Path
) -> None:
    there = reader(tmp_path / "b", sink, lab_dns.port, afterwards="consume")
    there.start()
    try:
        lab_dns.add('_dmarc.there.example. TXT "v=DMARC1; p=none; ruf=mailto:reports@there.example; fo=1"')
        more = signing_reports(lab_dns, tmp_path, 'failure-reports = "headers"')
        running = gateway(smart_host=f"[127.0.0.1]:{there.port}", more=more)
        with smtplib.SMTP(running.host, running.port) as client:
            client.sendmail("ann@there.example", ["bob@ours.example"], LETTER)
        wait_until(lambda: there.cli("reports", "list").returncode == 0)
        (listed,) = there.ask("reports", "list", "--kind", "failure")
        assert (listed["domain"], listed["organization"], listed["total"]) == (
            "there.example",
            "mx.ours.example",
            1,
        )
        assert listed["authenticated_by"] == {"how": "dmarc", "who": "ours.example"}
        shown = there.cli("reports", "show", str(listed["id"])).stdout
        assert "source-ip: 127.0.0.1" in shown
        assert "bob" not in shown
        assert [mail.recipients for mail in sink.mails] == [
            ("bob@ours.example",)
        ]  # one report, none about it
    finally:
        there.stop()


def attached(content: bytes, kind: str, subtype: str, name: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "r@far.example", "reports@there.example", "Report Domain: x"
    mail["Date"] = "Mon, 1 Jan 2024 00:00:00 +0000"
    mail.set_content("A report for you.")
    mail.add_attachment(content, maintype=kind, subtype=subtype, filename=name)
    return mail


@pytest.mark.slow
@pytest.mark.threat("J39")
def test_what_comes_is_kept_and_goes_on(lab_dns: LabDns, sink: Sink, tmp_path: Path) -> None:
    there = reader(tmp_path / "b", sink, lab_dns.port, afterwards="deliver")
    (there.directory / "recipients.txt").write_text("reports@there.example\n")
    there.start()
    try:
        bomb = gzip.compress(b"<feedback>" + b" " * (30 << 20))
        with smtplib.SMTP(there.host, there.port) as client:
            for mail in (
                attached(
                    gzip.compress(REPORT.replace(b"gate.test", b"there.example")), "text", "x-odd", "a.xml.gz"
                ),
                attached(
                    gzip.compress(REPORT.replace(b"gate.test", b"other.example")),
                    "application",
                    "gzip",
                    "a.gz",
                ),
                attached(
                    gzip.compress(REPORT.replace(b"gate.test", b"there.example")), "application", "zip", "b"
                ),
                attached(bomb, "application", "gzip", "bomb.xml.gz"),
            ):
                client.send_message(mail)
        wait_until(lambda: len(sink.mails) == 4)
        listed = there.ask("reports", "list")
        assert sorted((one["domain"], one["is_ours"], one["counts"]) for one in listed) == [
            ("other.example", False, False),
            ("there.example", True, False),
        ]
        assert {one["authenticated_by"]["how"] for one in listed} == {"nobody"}
        log = (there.directory / "gatepost.log").read_text()
        assert "unpacks to more than 10 MiB" in log
        assert log.count('"report-kept"') == 2
        assert log.count('"report-duplicate"') == 1
    finally:
        there.stop()
