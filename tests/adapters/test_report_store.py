"""The book of reports: once each, bounded, over restarts, for several processes."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.delivery.fakes import ListLog
from tests.records.test_report_reading import NOW, TLS, read, report, row

from gatepost.adapters import report_store
from gatepost.adapters.report_store import ReportStore
from gatepost.model.fault import WorldFault
from gatepost.model.kept_report import KeptReport, Proof, ProvedBy, ReportKind
from gatepost.ports.report_book import Entry, ReportFilter

EVERY = ReportFilter()
COUNTING = ReportFilter(only_counting=True)
GOOD, NOBODY, FILE = Proof(by=ProvedBy.DMARC, name="t.test"), Proof(), Proof(by=ProvedBy.FILE)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "reports" / "reports.db"


def book(place: Path, *, size_bytes: int = 64 << 20, log: ListLog | None = None) -> ReportStore:
    return ReportStore(place, age_s=30 * 86400.0, size_bytes=size_bytes, log=log or ListLog())


def one(report_id: str = "1", **more: Any) -> KeptReport:
    (kept,) = read(report(row(ip="192.0.2.1", count="3"), row(ip="192.0.2.2", spf="pass")))
    return replace(kept, report_id=report_id, **more)


def test_what_is_kept_is_found_again_after_a_restart(place: Path) -> None:
    assert book(place).find(EVERY, limit=9) == []
    assert book(place).one(1) is None
    assert not place.exists()
    whole = one()
    assert book(place).keep(whole) is Entry.KEPT
    (head,) = book(place).find(EVERY, limit=9)
    assert head == replace(whole, number=1, sources=(), document=b"")
    found = book(place).one(1)
    assert found is not None
    assert (found.document, set(found.sources)) == (whole.document, set(whole.sources))
    assert place.stat().st_mode & 0o777 == 0o600


def test_tls_reports_are_kept_with_their_failures(place: Path) -> None:
    for kept in read(json.dumps(TLS).encode()):
        assert book(place).keep(kept) is Entry.KEPT
    (told,) = book(place).failures(ReportFilter(kind=ReportKind.TLS, domain="gate.test"), limit=9)
    assert (told[0], told[1].host, told[1].sessions) == ("There", "mx.gate.test", 2)


@pytest.mark.threat("J39")
@pytest.mark.parametrize(
    ("proofs", "entries", "left"),
    [
        ((GOOD, GOOD), (Entry.KEPT, Entry.DUPLICATE), 1),
        ((NOBODY, NOBODY), (Entry.KEPT, Entry.DUPLICATE), 1),
        ((GOOD, NOBODY), (Entry.KEPT, Entry.DUPLICATE), 1),
        ((NOBODY, GOOD), (Entry.KEPT, Entry.REPLACED), 1),
        ((FILE, GOOD), (Entry.KEPT, Entry.REPLACED), 1),
        ((NOBODY, FILE), (Entry.KEPT, Entry.REPLACED), 1),
        ((GOOD, FILE), (Entry.KEPT, Entry.DUPLICATE), 1),
        ((Proof(by=ProvedBy.DMARC, name="evil.test"), GOOD), (Entry.KEPT, Entry.KEPT), 2),
        ((Proof(by=ProvedBy.SPF, name="t.test"), GOOD), (Entry.KEPT, Entry.DUPLICATE), 1),
        ((Proof(by=ProvedBy.INTERNAL), GOOD), (Entry.KEPT, Entry.DUPLICATE), 1),
    ],
    ids=[
        "the same twice",
        "nobody's twice",
        "a forged copy behind the true one",
        "a forged copy before the true one",
        "a file before the mail",
        "nobody's before the file",
        "a file behind the mail",
        "a stranger who guesses the id cannot keep the true one out",
        "the same sender, proved otherwise",
        "over a relay of ours and directly",
    ],
)
def test_the_same_report_counts_once(
    place: Path, proofs: tuple[Proof, ...], entries: tuple[Entry, ...], left: int
) -> None:
    held = book(place)
    assert tuple(held.keep(one(proof=proof)) for proof in proofs) == entries
    assert len(held.find(EVERY, limit=9)) == left
    assert held.told(EVERY).total == 4 * left


def test_sums_and_filters(place: Path) -> None:
    held = book(place)
    held.keep(one("1"))
    held.keep(one("2", at=NOW - 86400))
    held.keep(one("3", proof=NOBODY))
    held.keep(one("4", domain="other.test", is_ours=False))
    assert [r.report_id for r in held.find(EVERY, limit=2)] == ["4", "3"]
    assert held.told(COUNTING).reporters == {"T (dmarc there.test)": 2}
    assert held.told(ReportFilter(domain="other.test")).reports == 1
    assert held.told(ReportFilter(since_at=NOW - 7200)).reports == 3
    assert [(s.ip, s.mails) for s in held.sources(COUNTING, limit=9)] == [("192.0.2.1", 6), ("192.0.2.2", 2)]


def test_names_of_addresses(place: Path) -> None:
    held = book(place)
    held.keep(one())
    assert held.unnamed(9) == ["192.0.2.1", "192.0.2.2"]
    held.name({"192.0.2.1": "mx.t.test"}, at=NOW)
    assert held.unnamed(9) == ["192.0.2.2"]
    assert held.names(["192.0.2.1", "192.0.2.2"]) == {"192.0.2.1": "mx.t.test"}


def test_old_reports_go(place: Path) -> None:
    held = book(place)
    held.keep(one("1"))
    held.keep(one("2", received_at=NOW - 31 * 86400))
    assert held.prune(NOW) == 1
    assert [r.report_id for r in held.find(EVERY, limit=9)] == ["1"]
    assert len(held.sources(EVERY, limit=9)) == 2


@pytest.mark.threat("J39")
def test_a_flood_of_forged_reports_pushes_no_true_one_out(place: Path) -> None:
    log = ListLog()
    held = book(place, size_bytes=400_000, log=log)
    held.keep(one("true", received_at=NOW - 86400))
    for number in range(40):
        held.keep(one(str(number), proof=NOBODY, document=os.urandom(20_000)))
    left = held.find(EVERY, limit=99)
    assert 5 < len(left) < 25
    assert "true" in {r.report_id for r in left}
    assert "39" in {r.report_id for r in left}
    assert "reports-pruned" in log.events()
    assert held.prune(NOW) == 0
    assert place.stat().st_size < 1_000_000


def test_a_report_that_is_too_large_is_not_kept(place: Path) -> None:
    assert book(place, size_bytes=4000).keep(one(document=os.urandom(2000))) is Entry.TOO_LARGE


@pytest.mark.parametrize("junk", [b"junk" * 2000, b""], ids=["no database", "empty"])
def test_a_damaged_file_is_set_aside(place: Path, junk: bytes) -> None:
    place.parent.mkdir()
    place.write_bytes(junk)
    log = ListLog()
    assert book(place, log=log).keep(one()) is Entry.KEPT
    assert len(book(place).find(EVERY, limit=9)) == 1
    assert ("reports-damaged" in log.events()) is bool(junk)
    assert bool(list(place.parent.glob("*.damaged-*"))) is bool(junk)


def test_what_others_write_is_not_touched(place: Path) -> None:
    place.parent.mkdir()
    other = apsw.Connection(str(place))
    other.execute("PRAGMA application_id = 7")
    other.execute("CREATE TABLE x (y)")
    other.close()
    with pytest.raises(WorldFault, match="not a file of reports"):
        book(place).find(EVERY, limit=1)


def test_a_place_that_cannot_be_written_is_a_fault_of_the_world(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldFault, match="cannot be used"):
        book(tmp_path / "file" / "reports.db").keep(one())


def test_several_processes_write_at_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_store, "BUSY_MS", 60_000)
    faults: list[BaseException] = []

    def write(start: int) -> None:
        try:
            for number in range(start, start + 8):
                book(place).keep(one(str(number)))
        except BaseException as error:  # noqa: BLE001  # shown by the test
            faults.append(error)

    threads = [threading.Thread(target=write, args=(start,)) for start in (0, 4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(book(place).find(EVERY, limit=99)) == 16
