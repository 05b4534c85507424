"""gatepost reports: what others saw of mail in our name."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.cli.terminal import Terminal, load_real
from tests.control.mailroom import NOW
from tests.records.test_failure_reading import FIELDS
from tests.records.test_failure_reading import mail as failure_mail
from tests.records.test_report_reading import report, row
from tests.standards.test_dmarc_report import REPORT
from tests.standards.test_tls_report_reading import TLS

from gatepost.model.kept_report import KeptReport, Proof, ProvedBy
from gatepost.records.report_reading import Arrived, read_reports


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


class Desk:
    """A terminal with reports in its book."""

    def __init__(self, place: Path) -> None:
        self.terminal = Terminal(place)
        self.terminal.configure('[accepted-domains."gate.test"]\n')
        self.book = self.terminal.world.reports(load_real(str(self.terminal.file)).settings).book

    def keep(self, *reports: KeptReport) -> None:
        for one in reports:
            self.book.keep(one)

    def says(self, *words: str, status: int = 0) -> list[str]:
        done = self.terminal.type("reports", *words)
        assert done.exit_code == status, done.output
        return done.output.splitlines()

    def answers(self, *words: str) -> Any:
        return json.loads(self.terminal.type("reports", *words, "--json").output)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def dmarc(
    report_id: str, *rows: bytes, proof: Proof | None = None, organization: str = "There", **more: Any
) -> KeptReport:
    arrived = Arrived(
        received_at=NOW - 86400,
        proof=proof or Proof(by=ProvedBy.DMARC, name="there.test"),
        is_ours=lambda domain: domain == "gate.test",
        mail_id="M7",
    )
    (kept,) = read_reports(report(*rows, end=int(NOW) - 90_000), arrived)
    return replace(kept, report_id=report_id, organization=organization, **more)


def test_no_reports(desk: Desk) -> None:
    assert desk.says("list", status=1) == ["no reports"]
    assert desk.says("summary", "gate.test", status=1)[0].startswith("no reports about gate.test since ")
    assert "no report is kept under this ID" in desk.terminal.type("reports", "show", "3").stderr


@pytest.mark.threat("J39")
def test_the_list_says_who_stands_behind_a_report(desk: Desk) -> None:
    desk.keep(
        dmarc("1", row(count="3")),
        dmarc("2", row(count="2"), proof=Proof(), organization="Big\u202eCo\x1b[2J"),
        dmarc("3", row(), domain="other.test", is_ours=False),
    )
    lines = desk.says("list")
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert "no: not about us" in lines[1]
    assert "nobody" in lines[2]
    assert "no: anyone may have written it" in lines[2]
    assert "\x1b" not in lines[2]
    assert "\u202e" not in lines[2]
    assert lines[3].endswith("dmarc there.test  yes")
    assert [one["id"] for one in desk.answers("list", "--domain", "Gate.Test.", "--kind", "dmarc")] == [2, 1]
    assert desk.answers("list", "--kind", "tls") == []
    assert desk.answers("list", "--since", "1h") == []
    assert desk.answers("list", "--limit", "1")[0]["authenticated_by"] == {
        "how": "dmarc",
        "who": "there.test",
    }


def test_a_kept_report_is_shown(desk: Desk) -> None:
    desk.keep(dmarc("1", row(count="3")))
    first, second, *_ = desk.says("show", "1")
    assert first.startswith("Kept as 1, came ")
    assert first.endswith("in M7, authenticated by dmarc there.test, counts: yes")
    assert second.startswith("T about gate.test")
    assert desk.answers("show", "1")[0]["kept"]["id"] == 1


def test_who_sends_in_our_name_and_what_p_reject_would_refuse(desk: Desk) -> None:
    desk.keep(
        dmarc("1", row(ip="192.0.2.1", count="90", dkim="pass"), row(ip="192.0.2.1", count="10")),
        dmarc(
            "2", row(ip="192.0.2.1", count="100", dkim="pass", spf="pass"), row(ip="2001:db8::9", count="40")
        ),
        dmarc("3", row(ip="198.51.100.9", count="1000"), proof=Proof()),
    )
    desk.book.name({"192.0.2.1": "mx.gate.test"}, at=NOW)
    lines = desk.says("summary", "gate.test")
    assert lines[0].endswith(": 240 mails, 50 failed, in 2 reports of There (dmarc there.test) 2")
    assert lines[1].split()[:5] == ["source", "name", "network", "mails", "dkim"]
    assert lines[2].split()[:6] == ["192.0.2.1", "mx.gate.test", "192.0.2.0/24", "200", "190", "100"]
    assert "in part: yours and not always signed, or forwarded" in lines[2]
    assert lines[3].split()[:2] == ["2001:db8::9", "2001:db8::/48"]
    assert "never: unknown to you, or forged" in lines[3]
    assert (
        lines[4]
        == "With p=reject 50 of 240 mails (20.8 %) would be refused: 2001:db8::9 40, 192.0.2.1 (mx.gate.test) 10."
    )
    assert lines[-1].startswith("Left out: 1 reports that anyone may have written")
    assert (
        desk.says("summary", "gate.test", "--all", "--limit", "1")[3]
        == "and 2 more sources with 240 mails (--limit)"
    )
    found = desk.answers("summary", "gate.test")
    assert (
        found["left_out"],
        found["dmarc"]["failed"],
        found["dmarc"]["sources"][1]["refused_with_p_reject"],
    ) == (
        1,
        50,
        40,
    )
    assert desk.says("summary", "gate.test", "--days", "1", status=1)


def test_nothing_would_be_refused(desk: Desk) -> None:
    desk.keep(dmarc("1", row(count="3", spf="pass")))
    assert desk.says("summary", "gate.test")[-1] == "With p=reject nothing of these 3 mails would be refused."


def test_how_tls_fails(desk: Desk) -> None:
    arrived = Arrived(
        received_at=NOW, proof=Proof(by=ProvedBy.DKIM, name="there.test"), is_ours=lambda domain: True
    )
    desk.keep(*read_reports(TLS, arrived))
    lines = desk.says("summary", "gate.test")
    assert lines[0].endswith(": 7 sessions, 2 failed, in 1 reports of There (dkim there.test) 1")
    assert lines[2].split() == ["certificate-expired", "There", "2"]
    assert desk.answers("summary", "gate.test")["tls"]["failures"][0]["sessions"] == 2


def test_old_reports_are_imported_once(desk: Desk, place: Path) -> None:
    folder = place / "old" / "cur"
    folder.mkdir(parents=True)
    mail = b"From: r@there.test\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n"
    packed = [base64.encodebytes(gzip.compress(REPORT.replace(b">1<", b">%d<" % n))) for n in (5, 6)]
    (folder / "1:2,S").write_bytes(mail + packed[0])
    (folder / ".hidden").write_bytes(b"x")
    box = place / "box"
    box.write_bytes(
        b"From r Mon Jan  1 00:00:00 2024\n"
        + mail
        + packed[1]
        + b"\nFrom r@a.test Mon Jan  1 00:00:00 2024\nSubject: hi\n\nFrom me\n"
        + b"\nFrom MAILER-DAEMON Mon Jan  1 00:00 2024\n"
        + mail
        + packed[1]
    )
    done = desk.terminal.type(
        "reports", "import", str(place / "old"), str(box), str(place / "b.json"), str(place / "none")
    )
    assert done.exit_code == 1
    assert done.stdout == "3 reports kept, 1 were there already, 2 files or mails not read\n"
    assert "box mail 2: neither XML nor JSON" in done.stderr
    assert "none: No such file or directory" in done.stderr
    assert {one["authenticated_by"]["how"] for one in desk.answers("list")} == {"file"}
    assert all(one["counts"] for one in desk.answers("list"))
    assert desk.answers("import", str(place / "b.json")) == {
        "kept": 0,
        "duplicate": 1,
        "replaced": 0,
        "unread": {},
    }


def test_a_failure_is_shown_without_its_mail(desk: Desk, place: Path) -> None:
    file = place / "failure.eml"
    file.write_bytes(failure_mail((*FIELDS, ("Arrival-Date", "never\x1b"))))
    assert desk.answers("import", str(file))["kept"] == 1
    (listed,) = desk.answers("list", "--kind", "failure")
    assert (listed["domain"], listed["organization"], listed["total"]) == ("gate.test", "mx.there.test", 1)
    lines = desk.says("show", "1")
    assert lines[1] == "feedback-type: auth-failure"
    assert "source-ip: 192.0.2.9" in lines
    assert desk.answers("show", "1")[0]["fields"]["auth-failure"] == "dmarc"
    assert desk.says("summary", "gate.test", status=1)


def test_the_status_says_what_fails_in_our_name(desk: Desk) -> None:
    desk.keep(
        dmarc("1", row(count="3"), row(count="7", spf="pass")), dmarc("2", row(count="9"), proof=Proof())
    )
    tls = Arrived(
        received_at=NOW, proof=Proof(by=ProvedBy.SPF, name="there.test"), is_ours=lambda domain: True
    )
    desk.keep(*read_reports(TLS, tls))
    assert "reports of" not in desk.terminal.type("status").output
    desk.terminal.configure('[accepted-domains."gate.test"]\n[reports]\naddresses = ["r@gate.test"]\n')
    lines = desk.terminal.type("status").output.splitlines()
    assert [line for line in lines if line.startswith("reports of")] == [
        "reports of 7 days: 3 of 10 mails in the name of gate.test were not proved "
        "(gatepost reports summary gate.test)",
        "reports of 7 days: 2 of 7 sessions with the mail servers of gate.test had no good TLS "
        "(gatepost reports summary gate.test)",
    ]
    (place := desk.terminal.directory / "reports" / "reports.db").write_bytes(b"junk" * 2000)
    for ending in ("-wal", "-shm"):
        place.with_name(place.name + ending).unlink(missing_ok=True)
    assert "reports of others cannot be read" in desk.terminal.type("status").output
