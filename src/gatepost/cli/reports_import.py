"""gatepost reports import: reports that came before the gateway read them, out of files and mailboxes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gatepost.cli.front import Face
from gatepost.cli.output import complain, json_option, say, say_json

if TYPE_CHECKING:
    from gatepost.cli.world import ReportDesk

_EXIT_SOME: Final = 1
_FILES_LIMIT: Final = 100_000
_MBOX_START: Final = re.compile(rb"From [^\n]{0,400}\d\d:\d\d")
"""Mails of a mailbox begin with sender and time; other lines may begin with From, too."""
_BLANK_LINES: Final = (b"\n", b"\r\n")
_PIECE_BYTES: Final = 1 << 20


@click.command("import")
@click.argument(
    "places", nargs=-1, required=True, metavar="FILE|DIRECTORY...", type=click.Path(path_type=Path)
)
@json_option
@click.pass_context
def import_(context: click.Context, places: tuple[Path, ...], as_json: bool) -> None:
    """Keep reports out of files: XML, JSON, gzip, zip, single mails, mbox files, and directories of them (Maildir).

    They count as authenticated by the file: import only what you trust. What is kept already is not kept twice.
    Exit status 1: a file could not be read.
    """
    face: Face = context.obj
    desk, now = face.world.reports(face.configuration.settings), face.world.now()
    results: Counter[str] = Counter()
    problems: dict[str, str] = {}
    for place in places:
        for path in _files(place):
            try:
                for name, data in _mails(path):
                    _keep(desk, name, data, now, results, problems)
            except OSError as error:
                problems[str(path)] = error.strerror or str(error)
    if as_json:
        say_json({**{name: results[name] for name in ("kept", "duplicate", "replaced")}, "unread": problems})
    else:
        for name, problem in problems.items():
            complain(f"{name}: {problem}")
        kept = results["kept"] + results["replaced"]
        say(
            f"{kept} reports kept, {results['duplicate']} were there already, {len(problems)} files or mails not read"
        )
    context.exit(_EXIT_SOME if problems else 0)


def _keep(
    desk: ReportDesk, name: str, data: bytes, now: float, results: Counter[str], problems: dict[str, str]
) -> None:
    """Raises WorldFault when the book cannot be written."""
    from gatepost.model.kept_report import Proof, ProvedBy
    from gatepost.ports.report_book import Entry
    from gatepost.records.report_mails import find_reports
    from gatepost.records.report_reading import Arrived
    from gatepost.standards.report_files import UnreadableReport

    arrived = Arrived(received_at=now, proof=Proof(by=ProvedBy.FILE), is_ours=desk.own_domain, mail_id=name)
    try:
        found = find_reports(data, arrived)
    except UnreadableReport as error:
        problems[name] = str(error)
        return
    entries = [desk.book.keep(report) for report in found.reports]
    results.update(entry.value for entry in entries)
    unread = [
        *found.unread,
        *("more than a quarter of reports.size" for e in entries if e is Entry.TOO_LARGE),
    ]
    if unread:
        problems[name] = "; ".join(unread)


def _files(place: Path) -> Iterator[Path]:
    """The file, or those below the directory, hidden ones not."""
    if not place.is_dir():
        yield place
        return
    found = 0
    for path in sorted(place.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(place).parts[-1:])
        if hidden or not path.is_file():
            continue
        found += 1
        if found > _FILES_LIMIT:
            raise click.UsageError(f"{place} holds more than {_FILES_LIMIT} files")
        yield path


def _mails(path: Path) -> Iterator[tuple[str, bytes]]:
    """The file as a whole; the mails of an mbox one by one. Raises OSError."""
    from gatepost.standards.report_files import MAIL_LIMIT_BYTES

    with path.open("rb") as opened:
        start = opened.readline(_PIECE_BYTES)
        if not _MBOX_START.match(start):
            yield path.name, start + opened.read(MAIL_LIMIT_BYTES + 1 - len(start))
            return
        number, mail, before = 1, bytearray(), b"\n"
        while line := opened.readline(_PIECE_BYTES):
            if before in _BLANK_LINES and _MBOX_START.match(line):
                yield f"{path.name} mail {number}", bytes(mail)
                number, mail = number + 1, bytearray()
            elif len(mail) <= MAIL_LIMIT_BYTES:  # one octet more, and it is refused as too large
                mail += line
            before = line
        yield f"{path.name} mail {number}", bytes(mail)
