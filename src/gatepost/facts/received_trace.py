"""Fact: how often a mail has passed hosts, and how often us (RFC 5321 §6.3, threats L01, L03)."""

from __future__ import annotations

import re
from typing import ClassVar, Final

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.message.headers import HeaderIndex
from gatepost.model.known import Scope
from gatepost.model.verdict import Stage

VALUE_LIMIT_BYTES: Final = 1000  # of one Received field; ours are shorter
DELIVERED_TO_LIMIT: Final = 100
_BY: Final = re.compile(r"(?:^|[\s;])by\s+([^\s;()]+)", re.IGNORECASE)


class ReceivedTrace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The marks that hosts left on the mail."""

    name: ClassVar[str] = "received-trace"

    received: int
    """Received fields."""
    own: int
    """Those whose "by" is a name of ours."""
    delivered_to: tuple[str, ...] = ()
    """Values of Delivered-To, lower case, at most a hundred."""


_MARKS: Final = frozenset({b"received", b"delivered-to"})
_UNMARKED: Final = ReceivedTrace(received=0, own=0)


def read_received_trace(head: bytes, own_names: frozenset[str]) -> ReceivedTrace:
    """head: the header section. own_names: lower case."""
    index = HeaderIndex.parse(head)
    if index.has_none_of(_MARKS):
        return _UNMARKED
    received, delivered_to = index.count(b"received"), index.count(b"delivered-to")
    return ReceivedTrace(
        received=received,
        own=_written_by(index, own_names) if received and _names_any(head, own_names) else 0,
        delivered_to=_delivered_to(index) if delivered_to else (),
    )


def _delivered_to(index: HeaderIndex) -> tuple[str, ...]:
    values = index.all(b"delivered-to")[:DELIVERED_TO_LIMIT]
    return tuple(_text(value).strip().strip("<>").lower() for value in values)


def _names_any(head: bytes, own_names: frozenset[str]) -> bool:
    """Nearly no mail that arrives has passed us before: look once before reading every field."""
    lowered = head.lower()
    return any(name.encode("utf-8") in lowered for name in own_names)


def _written_by(index: HeaderIndex, own_names: frozenset[str]) -> int:
    return sum(1 for value in index.all(b"received") if _by_host(_text(value)) in own_names)


def _by_host(value: str) -> str:
    """The name behind "by", comments left out: a client may have put words like these into its HELO."""
    match = _BY.search(_without_comments(value))
    return match[1].rstrip(".").lower() if match else ""


def _without_comments(value: str) -> str:
    if "(" not in value:
        return value
    depth, kept = 0, []
    for character in value:
        if character == "(":
            depth += 1
        elif character == ")":
            depth = max(0, depth - 1)
        elif not depth:
            kept.append(character)
    return "".join(kept)


def _text(value: bytes) -> str:
    return value[:VALUE_LIMIT_BYTES].decode("utf-8", "replace")


def gatherer(sources: Sources) -> Gathering:
    """Known when the header section is."""
    own_names = sources.site.own_names
    return Gathering(
        fact=ReceivedTrace,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_HEADERS,
        find=lambda mail: read_received_trace(mail.head, own_names),
    )
