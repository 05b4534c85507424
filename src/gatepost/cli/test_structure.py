"""gatepost test structure: the parts of a mail as the gateway reads them, and where readers may differ."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from gatepost.cli.front import DEFAULT_CONFIGURATION, EXIT_NO, Face
from gatepost.cli.output import json_option, say, say_json, say_table

if TYPE_CHECKING:
    from gatepost.control.mail_structure import ShownPart, ShownStructure


@click.command()
@click.argument("file", type=click.File("rb"))
@json_option
@click.pass_obj
def structure(face: Face, file: BinaryIO, as_json: bool) -> None:
    """Show the parts of the mail in FILE ("-": from standard input) and what is wrong with them.

    Paths are IMAP's. Nothing is kept or fetched. Without a configuration the limits of [structure] are the
    defaults. Exit status 0 when every reader sees the same mail, 1 when two may differ, or when a limit was passed.
    """
    from gatepost.config.structure_settings import MailStructure
    from gatepost.control.mail_structure import FILE_LIMIT_BYTES, limits_of, shown_structure

    mail = file.read(FILE_LIMIT_BYTES + 1)
    if len(mail) > FILE_LIMIT_BYTES:
        raise click.UsageError(f"the file is larger than {FILE_LIMIT_BYTES >> 20} MiB")
    own = face.config_path != DEFAULT_CONFIGURATION or os.path.exists(face.config_path)
    settings = face.configuration.settings.structure if own else MailStructure()
    shown = shown_structure(mail, limits_of(settings))
    if as_json:
        say_json(_as_json(shown))
    else:
        _say(shown)
    if not shown.is_plain:
        raise click.exceptions.Exit(EXIT_NO)


def _as_json(shown: ShownStructure) -> dict[str, Any]:
    return {
        "size_bytes": shown.size_bytes,
        "parts": [asdict(part) for part in shown.parts],
        "passed": [{"limit": limit, "at": at} for limit, at in shown.passed],
        "reads_otherwise": shown.reads_otherwise,
        "had_bare_newlines": shown.had_bare_newlines,
        "is_plain": shown.is_plain,
    }


def _say(shown: ShownStructure) -> None:
    rows = [
        (
            "  " * part.depth + part.path,
            part.media_type,
            part.encoding,
            part.charset,
            part.size_bytes if not part.is_opened else "",
            part.name,
        )
        for part in shown.parts
    ]
    say_table(("PART", "TYPE", "ENCODING", "CHARSET", "OCTETS", "NAME"), rows, empty="there is no part")
    notes = [*_defects(shown.parts), *_passed(shown)]
    if notes:
        say()
    for note in notes:
        say(note)


def _defects(parts: tuple[ShownPart, ...]) -> list[str]:
    return [
        f"{part.path} at {defect.at}: {defect.word}: {defect.means}"
        for part in parts
        for defect in part.defects
    ]


def _passed(shown: ShownStructure) -> list[str]:
    notes = [
        f"at {at}: the limit {limit} was passed; what follows was not read" for limit, at in shown.passed
    ]
    if shown.reads_otherwise:
        notes.append("a reader who takes the last of what stands twice sees another mail")
    if shown.had_bare_newlines:
        notes.append(
            "the file has LF for line ends; it was read as the mail with CR LF, and places are that mail's"
        )
    return notes
