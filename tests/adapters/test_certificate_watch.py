"""Certificates are looked after: what the log and the metrics say when they change, break or end."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import authority, in_file, leaf

from gatepost.adapters.certificate_watch import DAY_S, CertificateWatch
from gatepost.adapters.tls import ServerTls

ENDS = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
ENDS_AT = ENDS.timestamp()


class Desk:
    """A log and gauges that remember."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, object]]] = []
        self.gauges: dict[str, float] = {}

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.lines.append((level, event, fields))

    def add(self, name: str, amount: float = 1, /, **labels: str) -> None:
        raise AssertionError("nothing is counted here")

    def set(self, name: str, value: float, /, **labels: str) -> None:
        self.gauges[name] = value

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(level, event) for level, event, _ in self.lines]


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Desk, CertificateWatch, Path]:
    file = Path(in_file(tmp_path / "mx.pem", leaf("mx.ours.example", not_after=ENDS)))
    desk = Desk()
    return desk, CertificateWatch({"internet": ServerTls(str(file))}, log=desk, counters=desk), file


Watched = tuple[Desk, CertificateWatch, Path]


@pytest.mark.threat("D21")
@pytest.mark.parametrize(
    ("days", "said"),
    [
        (300, []),
        (21.5, []),
        (20.5, [("warning", "certificate-expires")]),
        (6.5, [("error", "certificate-expires")]),
        (0.5, [("error", "certificate-expires")]),
        (-0.5, [("error", "certificate-expired")]),
    ],
)
def test_the_end_of_a_certificate_is_told(watched: Watched, days: float, said: list[Any]) -> None:
    desk, watch, _ = watched
    watch.look(ENDS_AT - days * DAY_S)
    watch.look(ENDS_AT - days * DAY_S + 1)
    assert desk.said == said
    assert desk.gauges["certificate_expires"] == ENDS_AT


@pytest.mark.threat("D21")
def test_each_day_of_warning_is_told_once(watched: Watched) -> None:
    desk, watch, file = watched
    for hours in range(25 * 24, -48, -1):
        watch.look(ENDS_AT - hours * 3600)
    assert [(event, fields["days"]) for _, event, fields in desk.lines] == [
        ("certificate-expires", 21),
        ("certificate-expires", 7),
        ("certificate-expires", 1),
        ("certificate-expired", 0),
    ]
    assert all(
        fields["file"] == str(file) and fields["connector"] == "internet" for _, _, fields in desk.lines
    )


@pytest.mark.threat("D21")
def test_a_broken_certificate_is_told_once_and_its_mending_too(watched: Watched) -> None:
    desk, watch, file = watched
    now = ENDS_AT - 100 * DAY_S
    file.write_bytes(b"hello")
    # Certificate and key may be on their way one after the other: the first look says nothing yet
    watch.look(now)
    assert desk.said == []
    for second in range(1, 5):
        watch.look(now + second)
    assert desk.said == [("error", "certificate-failed")]
    assert desk.lines[0][2]["consequence"] == "the old certificate stays in force"
    assert desk.gauges["certificate_failed"] == 1
    in_file(file, authority().issue_cert("mx.ours.example"))
    watch.look(now + 5)
    assert desk.said[1:] == [("info", "certificate-read")]
    assert desk.gauges["certificate_failed"] == 0


def test_a_certificate_and_a_key_may_come_one_after_the_other(tmp_path: Path) -> None:
    old, new = leaf("mx.ours.example"), leaf("mx.ours.example")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    desk = Desk()

    def write(one: Any, other: Any) -> None:
        certificate.write_bytes(one.cert_chain_pems[0].bytes())
        key.write_bytes(other.private_key_pem.bytes())
        key.chmod(0o600)

    write(old, old)
    tls = ServerTls(str(certificate), str(key))
    watch = CertificateWatch({"internet": tls}, log=desk, counters=desk)
    now = datetime.datetime.now(datetime.UTC).timestamp()
    write(new, old)
    os.utime(certificate, (1, 1))
    watch.look(now)
    write(new, new)
    os.utime(certificate, (2, 2))
    watch.look(now + 1)
    assert [(level, event) for level, event in desk.said if event != "certificate-expires"] == [
        ("info", "certificate-read")
    ]
