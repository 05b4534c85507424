"""Reads DMARC aggregate reports, of RFC 7489 and RFC 9990 alike: a stranger's XML, without entities (threats J39)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from xml.parsers import expat

from gatepost.standards.report_files import Pause, UnreadableReport, no_pause

RECORDS_LIMIT: Final = 100_000
DEPTH_LIMIT: Final = 20
TEXT_LIMIT_CHARS: Final = 1000
COUNT_LIMIT: Final = 10**12
STEP_BYTES: Final = 256 << 10
"""Read at once, between two pauses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One row: so many mails of one address that came to the same."""

    source_ip: str
    count: int
    disposition: str
    dkim: str
    spf: str
    header_from: str
    envelope_from: str = ""
    reasons: tuple[str, ...] = ()
    dkim_domains: tuple[str, ...] = ()
    """d= and result of each signature: "a.test pass"."""
    spf_domains: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateReport:
    """What one receiver saw of a domain's mail in a span of time. Texts are a stranger's."""

    organization: str
    email: str
    report_id: str
    begin: int
    end: int
    domain: str
    policy: str
    rows: tuple[ReportRow, ...] = ()

    @property
    def mails(self) -> int:
        """How many it tells of."""
        return sum(row.count for row in self.rows)

    @property
    def failed(self) -> int:
        """Those that neither SPF nor DKIM proved."""
        return sum(row.count for row in self.rows if "pass" not in (row.dkim, row.spf))


def read_aggregate(document: bytes, *, pause: Pause = no_pause) -> AggregateReport:
    """Read one XML document. Raises UnreadableReport."""
    target = _Target()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = target.start
    parser.EndElementHandler = target.end
    parser.CharacterDataHandler = target.text
    parser.StartDoctypeDeclHandler = target.doctype
    try:
        for at in range(0, len(document), STEP_BYTES):
            pause()
            parser.Parse(document[at : at + STEP_BYTES], False)
        parser.Parse(b"", True)
    except (expat.ExpatError, UnicodeError, LookupError, ValueError) as error:
        if isinstance(error, UnreadableReport):
            raise
        raise UnreadableReport(f"broken XML: {error}") from error
    return target.report()


@dataclass
class _Target:
    """Keeps the few elements that are looked at; what it does not know costs nothing."""

    path: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    length: int = 0
    about: dict[str, str] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)
    rows: list[ReportRow] = field(default_factory=list)

    def doctype(self, *_: object) -> None:
        raise UnreadableReport("a report has no document type: entities are not read")

    def start(self, name: str, _attributes: dict[str, str]) -> None:
        self.path.append(name.rpartition(":")[2])
        if len(self.path) > DEPTH_LIMIT:
            raise UnreadableReport(f"elements are nested more than {DEPTH_LIMIT} deep")
        if self.path[0] != "feedback":
            raise UnreadableReport(f"not an aggregate report: <{name[:40]}>")
        self.words, self.length = [], 0
        if self.path[1:] == ["record"]:
            self.row = {}
        elif self.path[1:2] == ["record"] and self.path[-1] in ("dkim", "spf") and len(self.path) == 4:
            self.row["domain"] = self.row["result"] = ""

    def text(self, text: str) -> None:
        if self.length < TEXT_LIMIT_CHARS:
            self.words.append(text[: TEXT_LIMIT_CHARS - self.length])
            self.length += len(self.words[-1])

    def end(self, _name: str) -> None:
        text, place = "".join(self.words).strip(), tuple(self.path[1:])
        self.words, self.length = [], 0
        self.path.pop()
        if place[:1] == ("record",):
            self._end_in_record(place[1:], text)
        elif len(place) in (2, 3) and text:
            self.about.setdefault("/".join(place), text)

    def _end_in_record(self, place: tuple[str, ...], text: str) -> None:
        row = self.row
        match place:
            case ():
                self._add_row()
            case ("row", "source_ip" | "count" as name):
                row[name] = text
            case ("row", "policy_evaluated", "disposition" | "dkim" | "spf" as name):
                row[name] = text.lower()
            case ("row", "policy_evaluated", "reason", "type"):
                row.setdefault("reasons", []).append(text)
            case ("identifiers", "header_from" | "envelope_from" as name):
                row[name] = text
            case ("auth_results", "dkim" | "spf", "domain" | "result" as name):
                row[name] = text
            case ("auth_results", "dkim" | "spf" as name):
                row.setdefault(f"{name}_domains", []).append(f"{row['domain']} {row['result']}".strip())

    def _add_row(self) -> None:
        if len(self.rows) >= RECORDS_LIMIT:
            raise UnreadableReport(f"more than {RECORDS_LIMIT} records")
        row = self.row
        self.rows.append(
            ReportRow(
                source_ip=row.get("source_ip", ""),
                count=_number(row.get("count", "")),
                disposition=row.get("disposition", ""),
                dkim=row.get("dkim", ""),
                spf=row.get("spf", ""),
                header_from=row.get("header_from", ""),
                envelope_from=row.get("envelope_from", ""),
                reasons=tuple(row.get("reasons", ())[:10]),
                dkim_domains=tuple(row.get("dkim_domains", ())[:10]),
                spf_domains=tuple(row.get("spf_domains", ())[:10]),
            )
        )

    def report(self) -> AggregateReport:
        about = self.about
        return AggregateReport(
            organization=about.get("report_metadata/org_name", ""),
            email=about.get("report_metadata/email", ""),
            report_id=about.get("report_metadata/report_id", ""),
            begin=_number(about.get("report_metadata/date_range/begin", "")),
            end=_number(about.get("report_metadata/date_range/end", "")),
            domain=about.get("policy_published/domain", ""),
            policy=about.get("policy_published/p", ""),
            rows=tuple(self.rows),
        )


def _number(text: str) -> int:
    """0 for what is none; never more than COUNT_LIMIT."""
    plain = text.strip()
    return min(int(plain), COUNT_LIMIT) if plain.isascii() and plain.isdigit() and len(plain) < 20 else 0
