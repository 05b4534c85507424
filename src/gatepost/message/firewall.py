"""The header firewall: fields only we may write are taken off a stranger's mail; and the edits our agents ask for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from gatepost.message.fields import field
from gatepost.message.headers import name_of, raw_fields, unfolded
from gatepost.model.session import Rights
from gatepost.model.verdict import AddHeader, Edit, RemoveHeader

_ORGANIZATION: Final = (b"x-gatepost-", b"x-ms-exchange-organization-", b"x-ms-exchange-forest-")
_ROUTING: Final = (b"received", b"resent-")
_AUTHENTICATION_RESULTS: Final = b"authentication-results"
# Whatever some reader may take for the end of a line: a bare LF becomes CR LF on its way out.
_ANY_LINE_END: Final = re.compile(rb"(?:[\r\n\x0b\x0c\x1c-\x1e\x85]|\xe2\x80[\xa8\xa9])+")
_NOT_IN_NAMES: Final = bytes((*range(0x21), *range(0x7F, 0x100)))
"""Of a name, one reader stops at these, another drops or never shows them: a name is compared without them."""
_LOWER: Final = bytes(range(256)).lower()
_COMMENT: Final = re.compile(rb"\([^()]*\)")
_COMMENT_DEPTH_LIMIT: Final = 20
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_AUTHOR: Final = re.compile(rb"[^][ \t\"'(),/:;<=>?@]+")
"""The first word of a value, where every sign that is in no token ends one (RFC 2045 §5.1)."""
_ESCAPED_MARK: Final = re.compile(rb"\\[()\"\\]")


def firewalled(
    head: bytes, rights: Rights, *, authserv_id: str, other_ids: frozenset[str] = frozenset()
) -> bytes:
    """The header section without fields its sender has no right to write.

    X-Gatepost-*, X-MS-Exchange-Organization-* and -Forest-* need ORGANIZATION_HEADERS; Received and
    Resent-* need ROUTING_HEADERS; Authentication-Results of our own authserv_id (our host name) nobody
    may bring (RFC 8601 §5), those of our other hosts (other_ids) only who has ORGANIZATION_HEADERS.
    A field in which any line could be read as one of these goes as a whole.
    So does one whose name becomes one of these when blanks, control and 8-bit octets are left out of it.
    Returns `head` itself when nothing is found, which is nearly always.
    """
    lower = head.translate(_LOWER, _NOT_IN_NAMES)
    forbidden = tuple([name for name in _forbidden_to(rights) if name in lower])
    own_ids: tuple[bytes, ...] = ()
    if _AUTHENTICATION_RESULTS in lower:
        others = () if Rights.ORGANIZATION_HEADERS in rights else other_ids
        own_ids = tuple([name.lower().encode("ascii", "replace") for name in (authserv_id, *others)])
    if not forbidden and not own_ids:
        return head
    fields = raw_fields(head)
    kept = [raw for raw in fields if not _is_forbidden(raw, forbidden, own_ids)]
    return head if len(kept) == len(fields) else b"".join(kept) + _end_of(head)


@lru_cache(maxsize=64)  # connectors have few sets of rights
def _forbidden_to(rights: Rights) -> tuple[bytes, ...]:
    """The beginnings of the names that are not for whoever has these rights."""
    organization = () if Rights.ORGANIZATION_HEADERS in rights else _ORGANIZATION
    return organization + (() if Rights.ROUTING_HEADERS in rights else _ROUTING)


def apply_edits(head: bytes, edits: Sequence[Edit]) -> bytes:
    """The header section with the agents' edits: removals first, then additions on top in their order.

    Returns `head` itself when there is nothing to do. Raises ValueError for an addition that no line can hold.
    """
    if not edits:
        return head
    removed = frozenset([e.name.lower().encode() for e in edits if type(e) is RemoveHeader])
    if removed and any(name in head.lower() for name in removed):
        head = b"".join(raw for raw in raw_fields(head) if name_of(raw) not in removed) + _end_of(head)
    added = [
        (_remembered if len(e.value) <= _REMEMBERED_CHARS else field)(e.name, e.value)
        for e in edits
        if type(e) is AddHeader
    ]
    return b"".join(added) + head


_remembered: Final = lru_cache(maxsize=128)(field)
"""Mails of one sender get the same fields."""
_REMEMBERED_CHARS: Final = 2000


def _is_forbidden(raw: bytes, forbidden: tuple[bytes, ...], own_ids: tuple[bytes, ...]) -> bool:
    lower = raw.translate(_LOWER, _NOT_IN_NAMES)
    sought = (*forbidden, _AUTHENTICATION_RESULTS) if own_ids else forbidden
    if not any(name in lower for name in sought):  # most fields hold none of the names anywhere
        return False
    lines = _ANY_LINE_END.split(raw)
    # A line that begins with a blank continues the field for every reader, once there is a field: a colon was seen.
    begun = False
    names = []
    for line in lines:
        if not begun or line[:1] not in (b" ", b"\t"):
            names.append(_name_at(line))
        begun = begun or b":" in line
    if any(_matches(name, forbidden) for name in names):
        return True
    if own_ids and _AUTHENTICATION_RESULTS in names:
        return _AUTHENTICATION_RESULTS in names[1:] or _is_signed_by(raw.partition(b":")[2], own_ids)
    return False


def _name_at(line: bytes) -> bytes:
    """What could be a field's name at the beginning of a line; the colon may come on the next (a folded name)."""
    return line.partition(b":")[0].translate(_LOWER, _NOT_IN_NAMES)


def _matches(name: bytes, forbidden: tuple[bytes, ...]) -> bool:
    return any(name.startswith(f) if f.endswith(b"-") else name == f for f in forbidden)


def _is_signed_by(value: bytes, own_ids: tuple[bytes, ...]) -> bool:
    """Whether an Authentication-Results value may name us as its author (RFC 8601 §2.2); in doubt it does."""
    text = _ESCAPED_MARK.sub(b"", unfolded(value).lower()).replace(b"\\", b"")
    for _ in range(_COMMENT_DEPTH_LIMIT):
        text, found = _COMMENT.subn(b" ", text)
        if not found:
            break
    # What is a blank or nothing at all to one reader is part of a word to another (found by make fuzz).
    text, controls = _CONTROL.subn(b"", text)
    # Blanks around dots, by whole-buffer work: a pattern would look at a run of them from each of its octets.
    joined = b".".join([piece.strip(b" \t") for piece in text.split(b".")])
    first = _AUTHOR.search(joined.replace(b'"', b""))
    author = first[0].removesuffix(b".") if first is not None else b""
    if (
        author in own_ids or b"=?" in text.partition(b";")[0]
    ):  # an encoded word: nobody honest hides who he is
        return True
    if b"(" in text or controls or not text.isascii():
        return any(own_id in text for own_id in own_ids) or not (author and author.isascii())
    return False


def _end_of(head: bytes) -> bytes:
    """The empty line at the end, where there is one."""
    return b"\r\n" if head == b"\r\n" or head.endswith(b"\r\n\r\n") else b""
