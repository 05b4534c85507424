"""The structure of a mail for an administrator: every part with what is in it, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.config.schema import file_name_of
from gatepost.config.structure_settings import MailStructure
from gatepost.message.contents import Within, attached, looked_into
from gatepost.message.file_names import safe_name
from gatepost.message.structure import Part, Structure, StructureLimits
from gatepost.message.structure_defects import StructureDefect
from gatepost.message.walk import readings, walk

FILE_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownDefect:
    """word and means: as in docs/structure.md. at: an offset in the mail, or in what holds the part."""

    word: str
    means: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPart:
    """One part. path: as IMAP counts; behind a slash those of a mail that was attached encoded.

    header_at, body_at, end: offsets. size_bytes: of what it holds, decoded; 0 for what is opened.
    """

    path: str
    depth: int
    media_type: str
    encoding: str
    charset: str
    disposition: str
    name: str
    names: tuple[str, ...]
    header_at: int
    body_at: int
    end: int
    size_bytes: int
    is_opened: bool
    defects: tuple[ShownDefect, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownStructure:
    """A mail's parts in order. passed: limits, as they are called in [structure], and where.

    reads_otherwise: another reader, who takes the last of what stands twice, sees other parts.
    """

    size_bytes: int
    parts: tuple[ShownPart, ...]
    passed: tuple[tuple[str, int], ...]
    reads_otherwise: bool
    had_bare_newlines: bool
    """It was a file with LF for line ends, and is shown as the mail it stands for."""

    @property
    def is_plain(self) -> bool:
        """Every reader sees the same."""
        return not self.passed and not any(part.defects for part in self.parts)


def limits_of(settings: MailStructure) -> StructureLimits:
    """The table as the walk takes it."""
    return StructureLimits(**{name: getattr(settings, name) for name in MailStructure.model_fields})


def shown_structure(mail: bytes, limits: StructureLimits) -> ShownStructure:
    """Everything that can be found out about a mail's structure, its contents decoded for it."""
    had_bare_newlines = b"\n" in mail and b"\r\n" not in mail
    if had_bare_newlines:
        mail = mail.replace(b"\n", b"\r\n")
    structure = walk(mail, limits)
    parts: list[ShownPart] = []
    passed: list[tuple[str, int]] = []
    _show(mail, structure, limits, "", parts, passed)
    for inner in attached(mail, structure, limits):
        _show(inner.octets, inner.structure, limits, f"{inner.path}/", parts, passed)
        if inner.passed:
            passed.append((file_name_of(inner.passed), len(inner.octets)))
    others = readings(mail, limits)[1:]
    return ShownStructure(
        size_bytes=len(mail),
        parts=tuple(parts),
        passed=tuple(passed),
        reads_otherwise=any(_seen(other) != _seen(structure) for other in others),
        had_bare_newlines=had_bare_newlines,
    )


def _seen(structure: Structure) -> list[tuple[object, ...]]:
    """What makes two readings different."""
    return [
        (part.path, part.body_at, part.end, part.media_type, part.encoding, part.charset, part.names)
        for part in structure.parts
    ]


def _show(
    mail: bytes, structure: Structure, limits: StructureLimits, prefix: str,
    parts: list[ShownPart], passed: list[tuple[str, int]],
) -> None:  # fmt: skip
    passed += [(file_name_of(limit), at) for limit, at in structure.passed]
    for part in structure.parts:
        within = looked_into(mail, part, limits)
        parts.append(_shown_part(part, within, limits, prefix))
        if within.passed:
            passed.append((file_name_of(within.passed), part.body_at))


def _shown_part(part: Part, within: Within, limits: StructureLimits, prefix: str) -> ShownPart:
    known = {noticed.defect for noticed in part.defects}
    more = sorted(within.defects - known, key=lambda defect: defect.value)
    defects = [_shown_defect(noticed.defect, noticed.at) for noticed in part.defects]
    names = part.names
    return ShownPart(
        path=f"{prefix}{part.path}",
        depth=part.depth + prefix.count("/"),
        media_type=part.media_type,
        encoding=part.encoding.value,
        charset=part.charset,
        disposition=part.disposition.main,
        name=safe_name(names[0], limits.name_chars) if names else "",
        names=names,
        header_at=part.start,
        body_at=part.body_at,
        end=part.end,
        size_bytes=within.size_bytes,
        is_opened=part.is_opened,
        defects=(*defects, *(_shown_defect(defect, part.body_at) for defect in more)),
    )


def _shown_defect(defect: StructureDefect, at: int) -> ShownDefect:
    return ShownDefect(word=defect.value, means=defect.means, at=at)
