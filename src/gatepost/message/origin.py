"""Where a mail came from before it reached our own relays: their Received fields, read newest first (threats Q08, Q09).

Every field down to the first address that is not ours was written by a host of ours. What the
client chose (its HELO) is the only part of it that may lie, and is never taken for the address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from gatepost.model.ip_ranges import IpRanges, plain_ip

HOPS_LIMIT: Final = 100
VALUE_LIMIT_BYTES: Final = 1000
HELO_LIMIT_CHARS: Final = 255
_FROM: Final = re.compile(r"\s*from\s+(?=\S)", re.IGNORECASE)
_FIRST_WORD: Final = re.compile(r"[^\s()]*")
_BY: Final = re.compile(r"(?:^|\s)by(?:\s|$)", re.IGNORECASE)
_HELO_COMMENT: Final = re.compile(r"\s*[EH]?(?:HELO|EHLO|LHLO)[\s=:]+(\S*)", re.IGNORECASE)
_HELO_WORD: Final = re.compile(r"\bhelo=(\[[^\]\s]*\]|\S*)", re.IGNORECASE)
_BRACKETED: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f.:]{2,45})(?:%[^\]\s]{0,20})?\]", re.IGNORECASE)
_BARE: Final = re.compile(r"(?:[^\s@()\[\]]*@)?([0-9A-Fa-f.:]{2,45})(?::\d{1,5})?")


@dataclass(frozen=True, slots=True)
class MailOrigin:
    """The first host that is not ours: its address, and what it called itself ("" when its relay did not say)."""

    address: str
    helo: str = ""


@dataclass(frozen=True, slots=True)
class Hop:
    """What one Received field says of the host the mail came from. address: "" when it does not say."""

    address: str
    helo: str


def origin_behind(received: Iterable[bytes], relays: IpRanges) -> MailOrigin | None:
    """received: values of the Received fields, newest first. relays: our own hosts; loopback always is.

    None when the mail began at a host of ours, or when a host of ours did not write from where it had the mail.
    """
    for number, value in enumerate(received):
        if number >= HOPS_LIMIT:
            return None
        hop = read_hop(value)
        if hop is None or (not hop.address and hop.helo.lower() == "localhost"):
            continue  # handed on inside of one host
        if not hop.address:
            return None
        if hop.address not in relays and not ip_address(hop.address).is_loopback:
            return MailOrigin(hop.address, hop.helo)
    return None


def read_hop(value: bytes) -> Hop | None:
    """One Received field, as Postfix, Exim, sendmail, Exchange, qmail and Gmail write it. None without "from"."""
    text = value[:VALUE_LIMIT_BYTES].decode("utf-8", "replace")
    begins = _FROM.match(text)
    if begins is None:
        return None
    # The first word is the client's own: "by" may be its name, and ends nothing (found by make fuzz).
    name = _FIRST_WORD.match(text, begins.end())
    assert name is not None  # it matches nothing at all, too
    outer, comments = _clause(text[name.end() :])
    outer = name[0] + outer
    helo, address = "", ""
    for comment in comments:
        said = _HELO_COMMENT.match(comment)
        if said is not None and not helo:
            helo = said[1]
        elif said is None:
            word = _HELO_WORD.search(comment)
            helo = helo or (word[1] if word else "")
            address = address or _address_in(_HELO_WORD.sub(" ", comment))
    words = outer.split()
    first = words[0] if words else ""
    if not address:
        address, helo = _bracketed(first), helo or ("" if _bracketed(first) else first)
    return Hop(address=address, helo=(helo or first)[:HELO_LIMIT_CHARS])


def _clause(text: str) -> tuple[str, list[str]]:
    """What stands before "by": the words, and the comments without their outer parentheses."""
    outer: list[str] = []
    comments: list[str] = []
    depth = 0
    for part in re.split(r"([()])", text):
        if part == "(":
            depth += 1
            if depth == 1:
                comments.append("")
                continue
        elif part == ")" and depth:
            depth -= 1
            if depth == 0:
                continue
        if depth:
            comments[-1] += part
            continue
        ends = _BY.search(part)
        outer.append(part[: ends.start()] if ends else part)
        if ends:
            break
    return " ".join(outer), comments


def _address_in(comment: str) -> str:
    """The last one in brackets; else the comment is an address and nothing more."""
    found = _BRACKETED.findall(comment)
    if found:
        return _plain(found[-1])
    bare = _BARE.fullmatch(comment.strip())
    return _plain(bare[1]) if bare else ""


def _bracketed(word: str) -> str:
    """Of "[192.0.2.1]" or "[192.0.2.1]:4025"."""
    found = _BRACKETED.match(word)
    return _plain(found[1]) if found else ""


def _plain(text: str) -> str:
    try:
        return plain_ip(text)
    except ValueError:
        return ""
