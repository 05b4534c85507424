"""Sender ID: the purported responsible address (RFC 4407), and what its domain says of the client (RFC 4406)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from gatepost.message.headers import HeaderField
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import parse_mailbox
from gatepost.standards.spf import Answer, NoRecord
from gatepost.standards.spf_record import Result

VALUE_LIMIT_BYTES: Final = 8 << 10
MAILBOXES_LIMIT: Final = 100
_BETWEEN: Final = frozenset({b"received", b"return-path"})
# What a list of mailboxes is made of; every alternative takes at least one character and gives none back.
_TOKEN: Final = re.compile(
    r'(?P<quoted>"(?:[^"\\]++|\\.)*+"?)'
    r"|(?P<open>\()"
    r"|<(?P<angle>(?:[^<>\"]++|\"(?:[^\"\\]++|\\.)*+\")*+)>"
    r"|(?P<comma>[,;])"
    r'|(?P<text>[^"(,;<]++|<)',
    re.DOTALL,
)
_COMMENT_PART: Final = re.compile(r"[^()\\]++|\\.|[()]|\\", re.DOTALL)


class Reason(Enum):
    """Why Sender ID failed."""

    NOT_PERMITTED = "not-permitted"
    NO_PRA = "no-pra"
    """The header has no purported responsible address."""
    MALFORMED_DOMAIN = "malformed-domain"
    NO_DOMAIN = "domain-does-not-exist"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pra:
    """Who is responsible for a mail's latest journey, as its header claims."""

    address: Address | None
    field: str = ""
    """The field that names it, lower case; "" when none was chosen."""
    problem: str = ""
    """Why there is none."""


def find_pra(fields: Sequence[HeaderField]) -> Pra:
    """RFC 4407 §2, step by step. fields: topmost first. Takes anything, raises nothing."""
    resent_from = _first(fields, b"resent-from")
    resent_sender = _first(fields, b"resent-sender")
    if resent_sender is not None and not _is_of_older_block(fields, resent_from, resent_sender):
        return _one_mailbox(fields[resent_sender])  # step 1
    if resent_from is not None:
        return _one_mailbox(fields[resent_from])  # step 2
    for name in (b"sender", b"from"):  # steps 3 and 4
        found = [field for field in fields if field.name == name and field.value]
        if len(found) > 1:
            return Pra(address=None, field=name.decode(), problem=f"{len(found)} {name.decode()} fields")
        if found:
            return _one_mailbox(found[0])
    return Pra(address=None, problem="no field names one")


def result_of(answer: Answer) -> tuple[Result, Reason | None]:
    """Sender ID's result of an evaluation of the PRA's domain: a domain that is none fails (RFC 4406 §5)."""
    if answer.no_record is NoRecord.NO_DOMAIN:
        return Result.FAIL, Reason.NO_DOMAIN
    if answer.no_record is NoRecord.MALFORMED:
        return Result.FAIL, Reason.MALFORMED_DOMAIN
    return answer.result, Reason.NOT_PERMITTED if answer.result is Result.FAIL else None


def _first(fields: Sequence[HeaderField], name: bytes) -> int | None:
    return next((at for at, field in enumerate(fields) if field.name == name and field.value), None)


def _is_of_older_block(fields: Sequence[HeaderField], resent_from: int | None, resent_sender: int) -> bool:
    """Whether a Resent-From stands above, with a trace field between: then that is the newer block."""
    if resent_from is None or resent_from > resent_sender:
        return False
    return any(field.name in _BETWEEN for field in islice(fields, resent_from + 1, resent_sender))


def _one_mailbox(field: HeaderField) -> Pra:
    """Step 5: the chosen field must hold exactly one mailbox, with a domain."""
    name = field.name.decode("ascii", "replace")
    if len(field.value) > VALUE_LIMIT_BYTES:
        return Pra(address=None, field=name, problem=f"{name} has more than {VALUE_LIMIT_BYTES} octets")
    found = mailboxes(field.value.decode("utf-8", "surrogateescape"))
    if len(found) != 1:
        return Pra(address=None, field=name, problem=f"{len(found)} mailboxes in {name}")
    try:
        return Pra(address=parse_mailbox(found[0]), field=name)
    except PeerFault as fault:
        return Pra(address=None, field=name, problem=f"{name}: {fault.reason}")


def mailboxes(value: str) -> list[str]:
    """The addresses in a list of mailboxes, at most a hundred: those in angle brackets, else what has an @.

    Words between commas that hold no address belong to a name that should have been quoted.
    """
    found: list[str] = []
    angle, bare, at = "", "", 0
    while at < len(value) and len(found) < MAILBOXES_LIMIT:
        token = _TOKEN.match(value, at)
        assert token is not None  # every character begins one of the alternatives
        at = token.end()
        match token.lastgroup:
            case "open":
                at = _comment_end(value, at)
            case "comma":
                found += _address_of(angle, bare)
                angle, bare = "", ""
            case "angle":
                found += _address_of(angle, "")
                angle = token["angle"].strip() or "<>"
            case _:
                bare += token[0]
    return found + _address_of(angle, bare)


def _address_of(angle: str, bare: str) -> list[str]:
    if angle:
        return [_without_blanks(angle)]
    group, colon, rest = bare.partition(":")
    if colon and "@" not in group:
        bare = rest
    return [_without_blanks(bare.strip())] if "@" in bare else []


def _without_blanks(address: str) -> str:
    """Blanks around the @ are old syntax (RFC 5322 §4.4). A comma ends a domain, as Exchange's filter reads it."""
    local, _, domain = address.rpartition("@")
    return f"{local.rstrip()}@{domain.partition(',')[0].strip()}"


def _comment_end(value: str, at: int) -> int:
    """Behind the bracket that closes a comment; comments may stand in comments."""
    depth = 1
    for part in _COMMENT_PART.finditer(value, at):
        depth += {"(": 1, ")": -1}.get(part[0], 0)
        if not depth:
            return part.end()
    return len(value)
