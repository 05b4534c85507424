"""gatepost reports: what others report about mail in our name, and about TLS on the way to us."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.output import json_option, say, say_json, say_table

if TYPE_CHECKING:
    from gatepost.standards.dmarc_report import AggregateReport
    from gatepost.standards.tls_report_reading import TlsReport

_EXIT_SOME = 1


@click.group()
def command() -> None:
    """Read DMARC aggregate reports (RFC 9990, RFC 7489) and TLS reports (RFC 8460)."""


@command.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--failed", is_flag=True, help="Only rows of mail that neither SPF nor DKIM proved.")
@json_option
@click.pass_context
def show(context: click.Context, files: tuple[Path, ...], failed: bool, as_json: bool) -> None:
    """Show what reports say: XML or JSON, gzip, zip, or the mail they came in. Exit status 1: one could not be read."""
    read: list[AggregateReport | TlsReport] = []
    unread = False
    for path in files:
        problem = _read_into(read, path)
        if problem:
            unread = True
            click.echo(f"{path}: {problem}", err=True)
    if as_json:
        say_json([_as_json(report, only_failed=failed) for report in read])
    else:
        for number, report in enumerate(read):
            if number:
                say()
            _say(report, only_failed=failed)
    context.exit(_EXIT_SOME if unread else 0)


def _read_into(read: list[AggregateReport | TlsReport], path: Path) -> str:
    """Why the file could not be read; "" when it was."""
    from gatepost.standards.dmarc_report import read_aggregate
    from gatepost.standards.report_files import MAIL_LIMIT_BYTES, UnreadableReport, documents
    from gatepost.standards.tls_report_reading import read_tls_report

    try:
        with path.open("rb") as opened:
            data = opened.read(MAIL_LIMIT_BYTES + 1)
        read += [
            read_tls_report(document) if document[:1] == b"{" else read_aggregate(document)
            for document in documents(data)
        ]
    except (OSError, UnreadableReport) as error:
        return str(error)
    return ""


def _say(report: AggregateReport | TlsReport, *, only_failed: bool) -> None:
    from gatepost.standards.dmarc_report import AggregateReport

    if isinstance(report, AggregateReport):
        _say_aggregate(report, only_failed=only_failed)
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


def _as_json(report: AggregateReport | TlsReport, *, only_failed: bool) -> dict[str, Any]:
    import msgspec

    from gatepost.standards.dmarc_report import AggregateReport

    plain: dict[str, Any] = msgspec.to_builtins(report)
    if not isinstance(report, AggregateReport):
        return {"kind": "tls", **plain}
    if only_failed:
        plain["rows"] = [row for row in plain["rows"] if "pass" not in (row["dkim"], row["spf"])]
    return {"kind": "dmarc", "mails": report.mails, "failed": report.failed, **plain}


def _day(at: int) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "?"
