"""gatepost reports: what others report about mail in our name, and about TLS on the way to us."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.front import Face
from gatepost.cli.output import Moment, complain, json_option, moment_at, say, say_json, say_table, when
from gatepost.cli.reports_import import import_
from gatepost.cli.reports_summary import summary

if TYPE_CHECKING:
    from gatepost.model.kept_report import KeptReport
    from gatepost.standards.dmarc_report import AggregateReport
    from gatepost.standards.tls_report_reading import TlsReport

    Fields = tuple[tuple[str, str], ...]
    Shown = AggregateReport | TlsReport | Fields
    Read = tuple[KeptReport | None, Shown]

_EXIT_SOME = 1
_KINDS = ("dmarc", "tls", "failure")


@click.group()
def command() -> None:
    """Read DMARC reports (RFC 9990, RFC 7489, RFC 9991) and TLS reports (RFC 8460), those that were kept or files."""


command.add_command(summary)
command.add_command(import_)


@command.command("list")
@click.option("--domain", default="", metavar="DOMAIN", help="Only about this domain.")
@click.option("--kind", type=click.Choice(_KINDS), help="Only of this kind.")
@click.option("--since", type=Moment(), help="Only of this time or later: 2026-11-22, or 7d (ago).")
@click.option(
    "--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="At most so many."
)
@json_option
@click.pass_obj
def list_(
    face: Face,
    domain: str,
    kind: str | None,
    since: float | tuple[str, float] | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the reports that were kept, newest first. Exit status 1: there is none."""
    from gatepost.model.kept_report import ReportKind
    from gatepost.ports.report_book import ReportFilter
    from gatepost.records.report_reading import domain_of

    desk = face.world.reports(face.configuration.settings)
    wanted = ReportFilter(
        domain=domain_of(domain) if domain else "",
        kind=ReportKind(kind) if kind else None,
        since_at=moment_at(since, face.world.now()),
    )
    found = desk.book.find(wanted, limit=limit)
    if as_json:
        say_json([head_json(report) for report in found])
    else:
        say_table(
            ("id", "until", "kind", "about", "told by", "mails", "failed", "authenticated by", "counts"),
            [
                (
                    report.number,
                    when(report.at)[:10],
                    report.kind.value,
                    report.domain,
                    report.organization,
                    report.total,
                    report.failed,
                    str(report.proof),
                    _counts(report),
                )
                for report in found
            ],
            empty="no reports",
        )
    if not found:
        raise click.exceptions.Exit(_EXIT_SOME)


def _counts(report: KeptReport) -> str:
    if report.counts:
        return "yes"
    return "no: anyone may have written it" if report.is_ours else "no: not about us"


def head_json(report: KeptReport) -> dict[str, Any]:
    """One kept report without its rows."""
    return {
        "id": report.number,
        "kind": report.kind.value,
        "domain": report.domain,
        "organization": report.organization,
        "email": report.email,
        "report_id": report.report_id,
        "policy": report.policy,
        "begin": when(report.begin),
        "end": when(report.end),
        "received": when(report.received_at),
        "total": report.total,
        "failed": report.failed,
        "authenticated_by": {"how": report.proof.by.value, "who": report.proof.name},
        "is_ours": report.is_ours,
        "counts": report.counts,
        "mail": report.mail_id,
    }


@command.command()
@click.argument("targets", nargs=-1, required=True, metavar="ID|FILE...")
@click.option("--failed", is_flag=True, help="Only rows of mail that neither SPF nor DKIM proved.")
@json_option
@click.pass_context
def show(context: click.Context, targets: tuple[str, ...], failed: bool, as_json: bool) -> None:
    """Show what reports say: those kept under an ID, or files.

    A file is XML or JSON, gzip, zip, or the mail the report came in; a file that is called like a number is
    written ./12. Exit status 1: one could not be read.
    """
    read: list[Read] = []
    unread = False
    for target in targets:
        problem = (
            _read_kept(read, context.obj, target)
            if target.isascii() and target.isdigit()
            else _read_file(read, Path(target))
        )
        if problem:
            unread = True
            complain(f"{target}: {problem}")
    if as_json:
        say_json([_as_json(kept, report, only_failed=failed) for kept, report in read])
    else:
        for number, (kept, report) in enumerate(read):
            if number:
                say()
            _say(kept, report, only_failed=failed)
    context.exit(_EXIT_SOME if unread else 0)


def _read_kept(read: list[Read], face: Face, number: str) -> str:
    """Why there is nothing to show; "" when there is."""
    kept = face.world.reports(face.configuration.settings).book.one(int(number)) if len(number) < 19 else None
    if kept is None:
        return "no report is kept under this ID"
    from gatepost.model.kept_report import ReportKind
    from gatepost.records.failure_reading import fields_of

    try:
        is_failure = kept.kind is ReportKind.FAILURE
        read.append((kept, fields_of(kept.document) if is_failure else _parsed(kept.document)))
    except ValueError as error:
        return str(error)
    return ""


def _read_file(read: list[Read], path: Path) -> str:
    """Why the file could not be read; "" when it was."""
    from gatepost.standards.report_files import MAIL_LIMIT_BYTES, UnreadableReport, documents

    try:
        with path.open("rb") as opened:
            data = opened.read(MAIL_LIMIT_BYTES + 1)
        read += [(None, _parsed(document)) for document in documents(data)]
    except OSError as error:
        return error.strerror or str(error)
    except UnreadableReport as error:
        return str(error)
    return ""


def _parsed(document: bytes) -> AggregateReport | TlsReport:
    from gatepost.standards.dmarc_report import read_aggregate
    from gatepost.standards.tls_report_reading import read_tls_report

    return read_tls_report(document) if document[:1] == b"{" else read_aggregate(document)


def _say(kept: KeptReport | None, report: Shown, *, only_failed: bool) -> None:
    from gatepost.standards.dmarc_report import AggregateReport

    if kept is not None:
        say(
            f"Kept as {kept.number}, came {when(kept.received_at)} in {kept.mail_id or '-'}, "
            f"authenticated by {kept.proof}, counts: {_counts(kept)}"
        )
    if isinstance(report, AggregateReport):
        _say_aggregate(report, only_failed=only_failed)
    elif isinstance(report, tuple):
        for name, value in report:
            say(f"{name}: {value}")
    else:
        _say_tls(report)


def _say_aggregate(report: AggregateReport, *, only_failed: bool) -> None:
    say(f"{report.organization} about {report.domain} (p={report.policy or '?'}), report {report.report_id}")
    say(f"{_day(report.begin)} to {_day(report.end)}: {report.mails} mails, {report.failed} not proved")
    rows = [row for row in report.rows if not only_failed or "pass" not in (row.dkim, row.spf)]
    say_table(
        ("address", "mails", "dkim", "spf", "done", "why", "from", "signed by"),
        [
            (
                row.source_ip,
                row.count,
                row.dkim,
                row.spf,
                row.disposition,
                " ".join(row.reasons),
                row.header_from,
                ", ".join(row.dkim_domains),
            )
            for row in sorted(rows, key=lambda row: -row.count)
        ],
        empty="no rows",
    )


def _say_tls(report: TlsReport) -> None:
    span = report.date_range
    say(f"{report.organization_name} about TLS, report {report.report_id}")
    say(f"{span.start_datetime} to {span.end_datetime}")
    say_table(
        ("policy", "domain", "good", "failed", "how"),
        [
            (
                one.policy.policy_type,
                one.policy.policy_domain,
                one.summary.total_successful_session_count,
                one.summary.total_failure_session_count,
                ", ".join(f"{d.result_type} {d.failed_session_count}" for d in one.failure_details[:10]),
            )
            for one in report.policies
        ],
        empty="no policies",
    )


def _as_json(kept: KeptReport | None, report: Shown, *, only_failed: bool) -> dict[str, Any]:
    import msgspec

    from gatepost.standards.dmarc_report import AggregateReport

    about = {"kept": head_json(kept)} if kept is not None else {}
    if isinstance(report, tuple):
        return {"kind": "failure", **about, "fields": dict(reversed(report))}
    plain: dict[str, Any] = msgspec.to_builtins(report)
    if not isinstance(report, AggregateReport):
        return {"kind": "tls", **about, **plain}
    if only_failed:
        plain["rows"] = [row for row in plain["rows"] if "pass" not in (row["dkim"], row["spf"])]
    return {"kind": "dmarc", **about, "mails": report.mails, "failed": report.failed, **plain}


def _day(at: int) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "?"
