"""Comments in structured fields: nested, with quoted pairs (RFC 5322 §3.2.2)."""

from __future__ import annotations

import re
from typing import Final

_IN_COMMENT: Final = re.compile(r"\\.|[()]", re.DOTALL)


def comment_end(text: str, at: int) -> int:
    """Behind the comment that begins at `at`; 0 when it does not end. Takes time as the text is long."""
    depth = 0
    for match in _IN_COMMENT.finditer(text, at):
        if match[0] == "(":
            depth += 1
        elif match[0] == ")":
            depth -= 1
            if not depth:
                return match.end()
    return 0
