"""Sender ID: the purported responsible address (RFC 4407), and what its domain says of the client (RFC 4406)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from gatepost.message.headers import HeaderField
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import parse_mailbox
from gatepost.standards.mailboxes import read_mailboxes
from gatepost.standards.spf import Answer, NoRecord
from gatepost.standards.spf_record import Result

VALUE_LIMIT_BYTES: Final = 8 << 10
_BETWEEN: Final = frozenset({b"received", b"return-path"})


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
    # Words between commas that hold no address belong to a name that should have been quoted.
    found = [one for one in read_mailboxes(field.value).mailboxes if one.address or "@" in one.text]
    if len(found) != 1:
        return Pra(address=None, field=name, problem=f"{len(found)} mailboxes in {name}")
    try:
        address = found[0].address or _until_comma(found[0].text)
    except PeerFault as fault:
        return Pra(address=None, field=name, problem=f"{name}: {fault.reason}")
    if not address.domain:
        return Pra(address=None, field=name, problem=f"{name}: no domain")
    return Pra(address=address, field=name)


def _until_comma(text: str) -> Address:
    """A comma ends a domain, as Exchange's filter reads it. Raises PeerFault."""
    local, _, domain = text.rpartition("@")
    return parse_mailbox(f"{local}@{domain.partition(',')[0]}")
