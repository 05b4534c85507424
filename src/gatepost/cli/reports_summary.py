"""gatepost reports summary: who sends in a domain's name, and what p=reject would refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gatepost.cli.front import Face
from gatepost.cli.output import json_option, say, say_json, say_table, when

if TYPE_CHECKING:
    from gatepost.control.report_summary import FailureSum, SourceSum
    from gatepost.ports.report_book import ReportBook, ReportFilter, Told

_ROWS_LIMIT = 100_000
_REPORTERS_SHOWN = 5
_DAY_S = 86400.0


@click.command()
@click.argument("domain")
@click.option("--days", default=30, show_default=True, type=click.IntRange(1, 3650), help="How far back.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="At most so many rows."
)
@click.option("--all", "everything", is_flag=True, help="Reports, too, that anyone may have written.")
@json_option
@click.pass_obj
def summary(face: Face, domain: str, days: int, limit: int, everything: bool, as_json: bool) -> None:
    """Show who sends in the name of DOMAIN and whether it authenticates; and how TLS with its mail servers fails.

    Only reports count that are about a domain of ours and come from a sender who was authenticated, unless --all.
    Exit status 1: there is no report.
    """
    from gatepost.model.kept_report import ReportKind
    from gatepost.ports.report_book import ReportFilter
    from gatepost.records.report_reading import domain_of

    book, now = face.world.reports(face.configuration.settings).book, face.world.now()
    since_at = now - days * _DAY_S
    domain = domain_of(domain)
    mail, tls = (
        ReportFilter(domain=domain, kind=kind, since_at=since_at, only_counting=not everything)
        for kind in (ReportKind.DMARC, ReportKind.TLS)
    )
    told_mail, told_tls = book.told(mail), book.told(tls)
    left_out = book.told(ReportFilter(domain=domain, since_at=since_at)).reports
    left_out -= book.told(
        ReportFilter(domain=domain, since_at=since_at, only_counting=not everything)
    ).reports
    sources, failures = _sources(book, mail), _failures(book, tls)
    if as_json:
        say_json(
            {
                "domain": domain,
                "since": when(since_at),
                "left_out": left_out,
                "dmarc": {**_told_json(told_mail), "sources": [_source_json(one) for one in sources]},
                "tls": {**_told_json(told_tls), "failures": [_failure_json(one) for one in failures]},
            }
        )
    else:
        _say_all(domain, since_at, told_mail, told_tls, sources, failures, limit=limit)
        if left_out:
            say()
            say(
                f"Left out: {left_out} reports that anyone may have written, or not about us (--all; reports list)."
            )
    if not told_mail.reports and not told_tls.reports:
        raise click.exceptions.Exit(1)


def _sources(book: ReportBook, wanted: ReportFilter) -> list[SourceSum]:
    from gatepost.control.report_summary import sources_of

    rows = book.sources(wanted, limit=_ROWS_LIMIT)
    return sources_of(rows, book.names(sorted({row.ip for row in rows})))


def _failures(book: ReportBook, wanted: ReportFilter) -> list[FailureSum]:
    from gatepost.control.report_summary import failures_of

    return failures_of(book.failures(wanted, limit=_ROWS_LIMIT))


def _say_all(
    domain: str,
    since_at: float,
    told_mail: Told,
    told_tls: Told,
    sources: list[SourceSum],
    failures: list[FailureSum],
    *,
    limit: int,
) -> None:
    since = when(since_at)[:10]
    if not told_mail.reports and not told_tls.reports:
        say(f"no reports about {domain} since {since}")
    if told_tls.reports:
        say(f"TLS with the mail servers of {domain} since {since}: {_told(told_tls, 'sessions')}")
        say_table(
            ("failure", "host", "told by", "sessions", "reason"),
            [(f.what, f.host, f.organization, f.sessions, f.reason) for f in failures[:limit]],
            empty="no failure is told of",
        )
    if told_mail.reports:
        if told_tls.reports:
            say()
        say(f"Mail in the name of {domain} since {since}: {_told(told_mail, 'mails')}")
        _say_sources(sources, limit=limit)


def _say_sources(sources: list[SourceSum], *, limit: int) -> None:
    from gatepost.control.report_summary import under_reject

    say_table(
        (
            "source",
            "name",
            "network",
            "mails",
            "dkim",
            "spf",
            "done",
            "p=reject",
            "authenticates",
            "signed by",
        ),
        [
            (
                one.ip or "(others)",
                one.name,
                one.network,
                one.mails,
                one.dkim,
                one.spf,
                " ".join(f"{what} {mails}" for what, mails in one.done.most_common()),
                one.refused,
                one.judgement,
                next((signer for signer, _ in one.signers.most_common(1)), ""),
            )
            for one in sources[:limit]
        ],
        empty="no mail is told of",
    )
    if rest := sources[limit:]:
        say(f"and {len(rest)} more sources with {sum(one.mails for one in rest)} mails (--limit)")
    say(under_reject(sources))


def _told(told: Told, what: str) -> str:
    named = list(told.reporters.items())
    shown = ", ".join(f"{name} {reports}" for name, reports in named[:_REPORTERS_SHOWN])
    more = f", {len(named) - _REPORTERS_SHOWN} more" if len(named) > _REPORTERS_SHOWN else ""
    return f"{told.total} {what}, {told.failed} failed, in {told.reports} reports of {shown}{more}"


def _told_json(told: Told) -> dict[str, Any]:
    return {
        "reports": told.reports,
        "total": told.total,
        "failed": told.failed,
        "reporters": dict(told.reporters),
    }


def _source_json(one: SourceSum) -> dict[str, Any]:
    return {
        "source": one.ip,
        "name": one.name,
        "network": one.network,
        "mails": one.mails,
        "dkim": one.dkim,
        "spf": one.spf,
        "refused_with_p_reject": one.refused,
        "authenticates": one.judgement,
        "done": dict(one.done),
        "signed_by": dict(one.signers.most_common(10)),
    }


def _failure_json(one: FailureSum) -> dict[str, Any]:
    return {
        "failure": one.what,
        "host": one.host,
        "told_by": one.organization,
        "sessions": one.sessions,
        "reason": one.reason,
    }
