"""The reports of others in one SQLite file that all workers and the command line share (ports.report_book)."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import apsw

from gatepost.adapters.sqlite_files import DamagedFile, make, set_aside, set_up, told
from gatepost.model.fault import WorldFault
from gatepost.model.kept_report import FailureRow, KeptReport, Proof, ProvedBy, ReportKind, SourceRow
from gatepost.ports.log import Log
from gatepost.ports.report_book import Entry, ReportFilter, Told

APPLICATION_ID: Final = 0x47615232  # "GaR2"
BUSY_MS: Final = 10_000
NAMES_LIMIT: Final = 100_000
DOCUMENT_LIMIT_BYTES: Final = 50 << 20
"""What a damaged file could make of a few octets."""
_CHECKPOINT_PAGES: Final = 1000
_KEPT_SHARE: Final = 0.9
"""What is left when the file was too large: not every new report is to prune."""

# Each entry brings the file one version up, in one transaction: never change one that was released.
MIGRATIONS: Final[Sequence[Sequence[str]]] = (
    (
        """CREATE TABLE report (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            kind TEXT NOT NULL,
            organization TEXT NOT NULL,
            report_id TEXT NOT NULL,
            domain TEXT NOT NULL,
            proved_by TEXT NOT NULL,
            proved TEXT NOT NULL,
            email TEXT NOT NULL,
            policy TEXT NOT NULL,
            begin_at INTEGER NOT NULL,
            end_at INTEGER NOT NULL,
            at REAL NOT NULL,
            received_at REAL NOT NULL,
            total INTEGER NOT NULL,
            failed INTEGER NOT NULL,
            is_ours INTEGER NOT NULL,
            counts INTEGER NOT NULL,
            mail_id TEXT NOT NULL,
            document BLOB NOT NULL)""",
        "CREATE INDEX report_same ON report (organization, report_id, domain, kind)",
        "CREATE INDEX report_at ON report (at)",
        "CREATE INDEX report_received ON report (counts, received_at)",
        """CREATE TABLE source (
            report INTEGER NOT NULL,
            ip TEXT NOT NULL,
            mails INTEGER NOT NULL,
            dkim INTEGER NOT NULL,
            spf INTEGER NOT NULL,
            done TEXT NOT NULL,
            author TEXT NOT NULL,
            sender TEXT NOT NULL,
            why TEXT NOT NULL,
            signers TEXT NOT NULL)""",
        "CREATE INDEX source_report ON source (report)",
        """CREATE TABLE failure (
            report INTEGER NOT NULL,
            what TEXT NOT NULL,
            host TEXT NOT NULL,
            ip TEXT NOT NULL,
            reason TEXT NOT NULL,
            sessions INTEGER NOT NULL)""",
        "CREATE INDEX failure_report ON failure (report)",
        "CREATE TABLE name (ip TEXT PRIMARY KEY, name TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID",
    ),
)
_HEAD: Final = (
    "number, kind, organization, report_id, domain, proved_by, proved, email, policy, begin_at, end_at, at, "
    "received_at, total, failed, is_ours, mail_id"
)
_SAME: Final = (
    "SELECT number, proved_by, proved FROM report "
    "WHERE organization = ? AND report_id = ? AND domain = ? AND kind = ?"
)
_WEAK: Final = {ProvedBy.NOBODY: 0, ProvedBy.FILE: 1}
"""How little a proof is worth; the others are worth 2."""


class ReportStore:
    """Keeps the promises of ports.report_book.ReportBook. A connection for each call: reports are rare.

    size_bytes: of everything kept; beyond it, reports that count for nothing go first, then the oldest. A file that
    is damaged is set aside and a new one begun.
    """

    def __init__(self, path: Path, *, age_s: float, size_bytes: int, log: Log) -> None:
        self._path = path
        self._age_s = age_s
        self._size_bytes = size_bytes
        self._log = log

    def keep(self, report: KeptReport) -> Entry:
        """As ReportBook."""
        try:
            return self._keep(report)
        except DamagedFile as fault:
            self._put_aside(fault, report.received_at)
            return self._keep(report)

    def find(self, wanted: ReportFilter, *, limit: int) -> list[KeptReport]:
        """As ReportBook."""
        where, values = _where(wanted)
        asked = f"SELECT {_HEAD} FROM report WHERE {where} ORDER BY at DESC, number DESC LIMIT ?"  # noqa: S608  # ours
        with self._open() as database:
            return [_report(row) for row in database.execute(asked, (*values, limit))] if database else []

    def one(self, number: int) -> KeptReport | None:
        """As ReportBook."""
        with self._open() as database:
            if database is None:
                return None
            row = database.execute(
                f"SELECT {_HEAD}, document FROM report WHERE number = ?",  # noqa: S608  # ours
                (number,),
            ).fetchone()
            if row is None:
                return None
            sources = database.execute(
                "SELECT ip, mails, dkim, spf, done, author, sender, why, signers FROM source WHERE report = ? "
                "ORDER BY mails DESC, rowid",
                (number,),
            )
            failures = database.execute(
                "SELECT what, host, ip, reason, sessions FROM failure WHERE report = ? ORDER BY rowid",
                (number,),
            )
            return _report(
                row,
                sources=tuple(map(_source, sources)),
                failures=tuple(map(_failure, failures)),
                document=self._unpacked(row[-1]),
            )

    def told(self, wanted: ReportFilter) -> Told:
        """As ReportBook."""
        where, values = _where(wanted)
        asked = (
            "SELECT organization, proved_by, proved, count(*), total(total), total(failed) FROM report "  # noqa: S608  # ours
            f"WHERE {where} GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1"
        )
        with self._open() as database:
            rows: list[Any] = list(database.execute(asked, values)) if database else []
        reporters = {f"{row[0]} ({_proof(row[1], row[2])})": int(row[3]) for row in rows}
        reports, total, failed = (int(sum(row[n] for row in rows)) for n in (3, 4, 5))
        return Told(reports=reports, total=total, failed=failed, reporters=reporters)

    def sources(self, wanted: ReportFilter, *, limit: int) -> list[SourceRow]:
        """As ReportBook."""
        where, values = _where(wanted)
        asked = (
            "SELECT ip, sum(mails), dkim, spf, done, source.author, source.sender, why, signers FROM source "  # noqa: S608  # ours
            f"JOIN report ON report = number WHERE {where} "
            "GROUP BY ip, dkim, spf, done, author, sender, why, signers ORDER BY 2 DESC, 1 LIMIT ?"
        )
        with self._open() as database:
            return [_source(row) for row in database.execute(asked, (*values, limit))] if database else []

    def failures(self, wanted: ReportFilter, *, limit: int) -> list[tuple[str, FailureRow]]:
        """As ReportBook."""
        where, values = _where(wanted)
        asked = (
            "SELECT organization, what, host, ip, reason, sum(sessions) FROM failure "  # noqa: S608  # ours
            f"JOIN report ON report = number WHERE {where} GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC, 1 LIMIT ?"
        )
        with self._open() as database:
            rows: list[Any] = list(database.execute(asked, (*values, limit))) if database else []
        return [(row[0], _failure(row[1:])) for row in rows]

    def names(self, ips: Sequence[str]) -> dict[str, str]:
        """As ReportBook."""
        found: dict[str, str] = {}
        with self._open() as database:
            for ip in ips if database else ():
                assert database is not None
                row = database.execute("SELECT name FROM name WHERE ip = ?", (ip,)).fetchone()
                if row is not None:
                    found[ip] = str(row[0])
        return found

    def unnamed(self, limit: int) -> list[str]:
        """As ReportBook."""
        asked = (
            "SELECT ip FROM source JOIN report ON report = number WHERE counts AND ip NOT IN ('', '?') "
            "AND NOT EXISTS (SELECT 1 FROM name WHERE name.ip = source.ip) "
            "GROUP BY ip ORDER BY max(report) DESC, ip LIMIT ?"
        )
        with self._open() as database:
            return [str(row[0]) for row in database.execute(asked, (limit,))] if database else []

    def name(self, found: Mapping[str, str], *, at: float) -> None:
        """As ReportBook."""
        with self._open(create=True) as database:
            assert database is not None
            with _transaction(database):
                rows = [(ip, name, at) for ip, name in found.items()]
                database.executemany("INSERT OR REPLACE INTO name VALUES (?, ?, ?)", rows)
                database.execute(
                    "DELETE FROM name WHERE ip IN (SELECT ip FROM name ORDER BY at DESC LIMIT -1 OFFSET ?)",
                    (NAMES_LIMIT,),
                )

    def prune(self, now: float) -> int:
        """As ReportBook."""
        with self._open() as database:
            if database is None:
                return 0
            with _transaction(database):
                old = [
                    row[0]
                    for row in database.execute(
                        "SELECT number FROM report WHERE received_at < ?", (now - self._age_s,)
                    )
                ]
                _remove(database, old)
                database.execute("DELETE FROM name WHERE at < ?", (now - self._age_s,))
            gone = len(old) + self._shrink(database)
            database.execute("PRAGMA incremental_vacuum").fetchall()
            return gone

    # -- writing --------------------------------------------------------------------------------------

    def _keep(self, report: KeptReport) -> Entry:
        packed = zlib.compress(report.document)
        if len(packed) > self._size_bytes // 4:
            return Entry.TOO_LARGE
        with self._open(create=True) as database:
            assert database is not None
            with _transaction(database):
                weaker = _weaker(database, report)
                if weaker is None:
                    return Entry.DUPLICATE
                _remove(database, weaker)
                _insert(database, report, packed)
            self._shrink(database)
        return Entry.REPLACED if weaker else Entry.KEPT

    def _shrink(self, database: apsw.Connection) -> int:
        """Until it is small enough; how many reports went."""
        if _used_bytes(database) <= self._size_bytes:
            return 0
        gone = 0
        with _transaction(database):
            while _used_bytes(database) > self._size_bytes * _KEPT_SHARE:
                row = database.execute(
                    "SELECT number FROM report ORDER BY counts, received_at, number LIMIT 1"
                ).fetchone()
                if row is None:
                    break
                _remove(database, [row[0]])
                gone += 1
        if gone:
            self._log.write("warning", "reports-pruned", reports=gone, why="reports.size is reached")
        return gone

    @contextlib.contextmanager
    def _open(self, *, create: bool = False) -> Iterator[apsw.Connection | None]:
        """None when there is no file yet, and it is only looked into."""
        if not create and not self._path.exists():
            yield None
            return
        with told(self._path):
            make(self._path)
            database = apsw.Connection(str(self._path))
            try:
                set_up(
                    database,
                    application_id=APPLICATION_ID,
                    migrations=MIGRATIONS,
                    busy_ms=BUSY_MS,
                    checkpoint_pages=_CHECKPOINT_PAGES,
                    what="a file of reports",
                )
                yield database
            finally:
                database.close()

    def _put_aside(self, fault: DamagedFile, now: float) -> None:
        try:
            aside = set_aside(self._path, self._path.stat().st_ino, now=now)
        except OSError as error:
            raise WorldFault(f"{fault.reason}; it cannot be set aside: {error.strerror}") from error
        self._log.write("error", "reports-damaged", reason=fault.reason, kept_as=str(aside))

    def _unpacked(self, packed: object) -> bytes:
        try:
            return zlib.decompressobj().decompress(bytes(packed), DOCUMENT_LIMIT_BYTES)  # type: ignore[call-overload]
        except (zlib.error, TypeError) as error:
            raise DamagedFile(f"{self._path} holds a document that cannot be read") from error


@contextlib.contextmanager
def _transaction(database: apsw.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _weaker(database: apsw.Connection, report: KeptReport) -> list[int] | None:
    """The same report of worse proof, which this one takes the place of; None when it is there already."""
    weaker: list[int] = []
    proof, worth = report.proof, _WEAK.get(report.proof.by, 2)
    same = (report.organization, report.report_id, report.domain, report.kind.value)
    rows: list[Any] = list(database.execute(_SAME, same))
    for number, proved_by, proved in rows:
        held = _proof(proved_by, proved)
        held_worth = _WEAK.get(held.by, 2)
        if held_worth < worth:
            weaker.append(number)
        elif worth < 2 or proof.name == held.name or ProvedBy.INTERNAL in (proof.by, held.by):
            return None
    return weaker


def _insert(database: apsw.Connection, report: KeptReport, packed: bytes) -> None:
    database.execute(
        "INSERT INTO report (kind, organization, report_id, domain, proved_by, proved, email, policy, begin_at, "
        "end_at, at, received_at, total, failed, is_ours, mail_id, counts, document) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            report.kind.value,
            report.organization,
            report.report_id,
            report.domain,
            report.proof.by.value,
            report.proof.name,
            report.email,
            report.policy,
            report.begin,
            report.end,
            report.at,
            report.received_at,
            report.total,
            report.failed,
            report.is_ours,
            report.mail_id,
            report.counts,
            packed,
        ),
    )
    number = database.last_insert_rowid()
    database.executemany(
        "INSERT INTO source VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (number, r.ip, r.mails, r.dkim, r.spf, r.done, r.author, r.sender, r.why, r.signers)
            for r in report.sources
        ],
    )
    database.executemany(
        "INSERT INTO failure VALUES (?, ?, ?, ?, ?, ?)",
        [(number, r.what, r.host, r.ip, r.reason, r.sessions) for r in report.failures],
    )


def _remove(database: apsw.Connection, numbers: Sequence[Any]) -> None:
    for table, column in (("source", "report"), ("failure", "report"), ("report", "number")):
        database.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(number,) for number in numbers])  # noqa: S608  # ours


def _used_bytes(database: apsw.Connection) -> int:
    pages, free, size = (
        int(str(database.pragma(name))) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _where(wanted: ReportFilter) -> tuple[str, tuple[Any, ...]]:
    conditions: list[tuple[str, tuple[Any, ...]]] = [("1", ())]
    if wanted.domain:
        conditions.append(("report.domain = ?", (wanted.domain,)))
    if wanted.kind is not None:
        conditions.append(("report.kind = ?", (wanted.kind.value,)))
    if wanted.since_at is not None:
        conditions.append(("report.at >= ?", (wanted.since_at,)))
    if wanted.only_counting:
        conditions.append(("report.counts", ()))
    return " AND ".join(text for text, _ in conditions), tuple(v for _, values in conditions for v in values)


def _proof(by: str, name: str) -> Proof:
    try:
        return Proof(by=ProvedBy(by), name=name)
    except ValueError as error:
        raise DamagedFile(f"a report is proved by {by!r}") from error


def _report(row: Any, **more: Any) -> KeptReport:
    return KeptReport(
        number=row[0],
        kind=ReportKind(row[1]),
        organization=row[2],
        report_id=row[3],
        domain=row[4],
        proof=_proof(row[5], row[6]),
        email=row[7],
        policy=row[8],
        begin=row[9],
        end=row[10],
        at=row[11],
        received_at=row[12],
        total=row[13],
        failed=row[14],
        is_ours=bool(row[15]),
        mail_id=row[16],
        **more,
    )


def _source(row: Any) -> SourceRow:
    return SourceRow(
        ip=row[0], mails=row[1], dkim=bool(row[2]), spf=bool(row[3]), done=row[4], author=row[5], sender=row[6],
        why=row[7], signers=row[8],
    )  # fmt: skip


def _failure(row: Any) -> FailureRow:
    return FailureRow(what=row[0], host=row[1], ip=row[2], reason=row[3], sessions=row[4])
