"""Whose mail it is, where that is beyond doubt: the one author of a From field, for signing in that domain's name."""

from __future__ import annotations

import re
from typing import Final

from gatepost.message.headers import unfolded
from gatepost.standards.dkim_signature import host_name
from gatepost.standards.tag_list import BadTagList

_LIMIT_BYTES: Final = 2048
_MAILBOX: Final = rb'(?:"(?:[^"\\\r\n]|\\.)*+"|[^\s<>@"()\[\],;:\\]++)@([^\s<>@"()\[\],;:\\]++)'
_PHRASE: Final = rb'(?:[ \t]++|"(?:[^"\\\r\n]|\\.)*+"|[^\s<>@"()\[\],;:\\]++)*+'
_AUTHOR: Final = re.compile(
    rb"[ \t]*+(?:" + _MAILBOX + rb"|" + _PHRASE + rb"<" + _MAILBOX + rb">)[ \t]*+(?:\([^()\\]*+\))?[ \t]*+"
)


def only_author_domain(value: bytes) -> str:
    """The domain in A-labels of a From field with one plain mailbox; "" for anything else (threats J26, J38)."""
    line = unfolded(value)
    match = _AUTHOR.fullmatch(line) if len(line) <= _LIMIT_BYTES else None
    if match is None:
        return ""
    try:
        return host_name((match[1] or match[2]).decode("utf-8"), "From")
    except (BadTagList, UnicodeDecodeError):
        return ""
