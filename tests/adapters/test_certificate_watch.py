"""Certificates are looked after: what the log and the metrics say when they change, break or end."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
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


def watch_of(
    doors: Mapping[str, ServerTls], ways: Mapping[str, str] | None = None, *, desk: Desk, days: float = 21
) -> CertificateWatch:
    return CertificateWatch(doors, ways, warning_s=days * DAY_S, log=desk, counters=desk)


@pytest.fixture
def watched(tmp_path: Path) -> tuple[Desk, CertificateWatch, Path]:
    file = Path(in_file(tmp_path / "mx.pem", leaf("mx.ours.example", not_after=ENDS)))
    desk = Desk()
    return desk, watch_of({"internet": ServerTls(str(file))}, desk=desk), file


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
    watch = watch_of({"internet": tls}, desk=desk)
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


@pytest.mark.threat("D21")
@pytest.mark.parametrize(("days", "warns"), [(31, 0), (29, 1), (-1, 1)])
def test_the_warning_begins_when_the_setting_says(tmp_path: Path, days: float, warns: int) -> None:
    file = in_file(tmp_path / "mx.pem", leaf("mx.ours.example", not_after=ENDS))
    desk = Desk()
    watch_of({"internet": ServerTls(file)}, desk=desk, days=30).look(ENDS_AT - days * DAY_S)
    assert desk.gauges["certificate_warning"] == warns
    assert bool(desk.said) == bool(warns)


@pytest.mark.threat("D21")
def test_certificates_we_show_to_next_hops_are_watched_too(tmp_path: Path) -> None:
    path, desk, now = tmp_path / "client.pem", Desk(), ENDS_AT - 100 * DAY_S
    watch = watch_of({}, {"out": in_file(path, leaf("us.example", not_after=ENDS))}, desk=desk)
    watch.look(now)
    (shown,) = watch.shown()
    assert (shown.direction, shown.connector, shown.names) == ("send", "out", ("us.example",))
    assert (shown.issuer.startswith("ours"), shown.expires_at, desk.said) == (True, ENDS_AT, [])
    # When it ends soon, when it breaks, and when a new one is there
    watch.look(ENDS_AT - 6 * DAY_S)
    assert desk.said == [("error", "certificate-expires")]
    path.write_bytes(b"hello")
    watch.look(now)
    watch.look(now)
    assert (desk.said[1:], desk.gauges["certificate_failed"]) == ([("error", "certificate-failed")], 1)
    in_file(path, authority().issue_cert("new.us.example"))
    watch.look(now)
    assert desk.said[2:] == [("info", "certificate-read")]
    assert watch.shown()[0].names == ("new.us.example",)
    # A file that was never there is told of like a broken one
    late = watch_of({}, {"out": str(tmp_path / "none.pem")}, desk=desk)
    late.look(now)
    late.look(now)
    assert (late.shown(), desk.said[-1]) == ((), ("error", "certificate-failed"))
