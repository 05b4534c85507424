"""gatepost reports: what others saw of mail in our name."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.cli.terminal import Terminal
from tests.standards.test_dmarc_report import REPORT

TLS = b"""{"organization-name": "There", "report-id": "7", "date-range": {"start-datetime": "a", "end-datetime": "b"},
"policies": [{"policy": {"policy-type": "sts", "policy-domain": "gate.test"}, "summary":
{"total-successful-session-count": 5, "total-failure-session-count": 2},
"failure-details": [{"result-type": "certificate-expired", "failed-session-count": 2}]}]}"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "a.xml.gz").write_bytes(gzip.compress(REPORT.replace(b"There", b"Th\xc2\x9bere")))
    (tmp_path / "b.json").write_bytes(TLS)
    (tmp_path / "c.txt").write_bytes(b"hello")
    return tmp_path


def test_reports_are_shown_the_most_mails_first(place: Path) -> None:
    done = Terminal(place).type("reports", "show", str(place / "a.xml.gz"), str(place / "b.json"))
    assert done.exit_code == 0
    assert done.output.splitlines() == [
        "Th\\x9bere about gate.test (p=reject), report 1",
        "1970-01-01 00:01 to 1970-01-01 00:03: 5 mails, 2 not proved",
        "address    mails  dkim  spf   done    why           from       signed by",
        "192.0.2.1      3  pass  fail  none                  gate.test  gate.test pass",
        "192.0.2.2      2  fail  fail  reject  mailing_list  gate.test",
        "",
        "There about TLS, report 7",
        "a to b",
        "policy  domain     good  failed  how",
        "sts     gate.test     5       2  certificate-expired 2",
    ]


def test_only_what_failed_as_json(place: Path) -> None:
    done = Terminal(place).type(
        "reports", "show", "--failed", "--json", str(place / "a.xml.gz"), str(place / "b.json")
    )
    dmarc, tls = json.loads(done.output)
    assert (dmarc["kind"], dmarc["mails"], [row["source_ip"] for row in dmarc["rows"]]) == (
        "dmarc",
        5,
        ["192.0.2.2"],
    )
    assert (tls["kind"], tls["policies"][0]["failure-details"][0]["failed-session-count"]) == ("tls", 2)


def test_what_cannot_be_read_is_named_and_the_others_are_shown(place: Path) -> None:
    done = Terminal(place).type("reports", "show", str(place / "c.txt"), str(place / "b.json"))
    assert done.exit_code == 1
    assert "c.txt: neither XML nor JSON" in done.stderr
    assert "There about TLS" in done.output
