"""What the framing of DATA means, said once more as plainly as it can be: slow, and obviously right."""

from __future__ import annotations

from typing import Final

BROKEN: Final = "broken"


def framed(data: bytes) -> tuple[bytes, bytes] | str | None:
    """The text of one DATA and what follows it (RFC 5321 §4.5.2); None while its end has not come; BROKEN.

    Only CR LF ends a line. A bare CR or LF anywhere before the end breaks the framing, and so does a line
    of a single dot that has NULs about it (threats A09).
    """
    lines = data.split(b"\r\n")
    content: list[bytes] = []
    for number, line in enumerate(lines):
        is_last = number == len(lines) - 1
        if b"\n" in line or b"\r" in (line[:-1] if is_last else line):
            return BROKEN
        if is_last:
            return None
        if line == b".":
            return b"".join(content), b"\r\n".join(lines[number + 1 :])
        if b"\0" in line and line.replace(b"\0", b"") == b".":
            return BROKEN
        content.append(line.removeprefix(b".") + b"\r\n")
    return None
