"""Tag lists: "a=1; b=2", the form of DKIM and ARC signatures and of their key records (RFC 6376 §3.2)."""

from __future__ import annotations

import binascii
import re
from typing import Final

TAGS_LIMIT: Final = 64
_BLANKS: Final = " \t\r\n"
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*+={0,2}")


class BadTagList(ValueError):
    """It is not a tag list, or a tag has not the form it must have: the message says which."""


def parse_tags(text: bytes) -> dict[str, str]:
    """Tags by name (their case counts), values unfolded and without blanks around them.

    Values may be UTF-8 (RFC 8616). Raises BadTagList, also for a name that stands twice.
    """
    try:
        whole = text.decode("utf-8")
    except UnicodeDecodeError:
        raise BadTagList("it is not UTF-8") from None
    whole = whole.replace("\r\n ", " ").replace("\r\n\t", "\t").strip(_BLANKS)
    if _FORBIDDEN.search(whole) or "\n" in whole:
        raise BadTagList("it contains control characters")
    tags: dict[str, str] = {}
    pairs = whole.removesuffix(";").split(";", TAGS_LIMIT)
    if len(pairs) > TAGS_LIMIT:
        raise BadTagList(f"it has more than {TAGS_LIMIT} tags")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip(_BLANKS)
        # An identifier of ASCII is a letter or "_" and then letters, digits and "_".
        if not equals or not (name.isidentifier() and name.isascii()) or name[0] == "_":
            raise BadTagList(f"{pair.strip()[:40]!r} is no tag")
        if name in tags:
            raise BadTagList(f"{name[:40]}= stands twice")
        tags[name] = value.strip(_BLANKS)
    return tags


def without_blanks(value: str) -> str:
    """A value in which blanks mean nothing."""
    return value.replace(" ", "").replace("\t", "")


def base64_of(tags: dict[str, str], name: str) -> bytes:
    """The octets of a tag that must be there. Raises BadTagList when it is missing or no base64."""
    if name not in tags:
        raise BadTagList(f"{name}= is missing")
    value = without_blanks(tags[name])
    if not _BASE64.fullmatch(value) or len(value) % 4:
        raise BadTagList(f"{name}= is no base64")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except binascii.Error:
        raise BadTagList(f"{name}= is no base64") from None


def number_of(tags: dict[str, str], name: str, *, digits: int = 12) -> int | None:
    """A tag of decimal digits; None when it is not there. Raises BadTagList."""
    value = tags.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) <= digits):
        raise BadTagList(f"{name}= is no number of at most {digits} digits")
    return int(value)


def list_of(value: str) -> tuple[str, ...]:
    """The words of "a:b:c", without blanks."""
    return tuple(word.strip(_BLANKS) for word in value.split(":"))
