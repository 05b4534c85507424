"""Fact: who wrote the mail, as its header From says; read once for all agents (threats J25-J28)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.message.headers import Defect, HeaderIndex
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.model.known import Scope
from gatepost.model.verdict import Stage
from gatepost.protocol.addresses import canonical_domain
from gatepost.standards.mailboxes import VALUE_LIMIT_BYTES, read_mailboxes

ADDRESSES_LIMIT: Final = 20
FIELDS_READ: Final = 5
NAME_LIMIT_BYTES: Final = 80


class Author(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The header From."""

    name: ClassVar[str] = "author"

    addresses: tuple[Address, ...] = ()
    """In order, at most twenty; of several From fields, all."""
    domains: tuple[str, ...] = ()
    """Theirs, each once, as A-labels."""
    display_names: tuple[str, ...] = ()
    """Names beside the addresses and of groups, decoded and printable; without the empty ones."""
    claimed: tuple[str, ...] = ()
    """Domains of what looks like an address where none is read, once each; some reader shows it as the author."""
    problem: str = ""
    """Why readers may disagree about who wrote it; "" for nearly all mail. Then nobody is to be believed."""

    @property
    def all_domains(self) -> tuple[str, ...]:
        """Whoever some reader may take for the author, each once."""
        return tuple(dict.fromkeys((*self.domains, *self.claimed)))


NO_FROM: Final = "no From field"


def read_author(head: bytes) -> Author:
    """head: the header section. Takes any bytes, raises nothing."""
    index = HeaderIndex.parse(head)
    values = index.all(b"from")
    problem = _fields_problem(len(values), index.defects)
    if not problem and not index.defects & _HIDING:
        author = _read(values, "From", "")
        if author.addresses:
            return author
        problem = author.problem
    shown = _lines_like_from(head)
    if not problem and len(shown) > len(values):
        problem = "a line that some read as one more From field"
    if len(values) <= 1 and problem:  # who finds no From, or a broken one, shows these
        shown += [*index.all(b"sender"), *index.all(b"resent-from")]
    return _read(values, "From", problem, shown if problem else ())


def read_sender(head: bytes) -> Author:
    """The same of Sender, which is seldom there: nothing then. Takes any bytes, raises nothing."""
    values = HeaderIndex.parse(head).all(b"sender")
    if not values:
        return Author()
    return _read(values, "Sender", f"{len(values)} Sender fields" if len(values) > 1 else "")


def _read(values: Sequence[bytes], name: str, problem: str, shown: Sequence[bytes] = ()) -> Author:
    """shown: values that some reader takes for this field's."""
    addresses: list[Address] = []
    names: list[str] = []
    claimed: list[str] = []
    for value in values[:FIELDS_READ]:
        found = read_mailboxes(value)
        problem = problem or found.problem
        names += [*found.groups, *[mailbox.name for mailbox in found.mailboxes]]
        addresses += [mailbox.address for mailbox in found.mailboxes if mailbox.address is not None]
        if found.problem:
            claimed += [domain for domain in map(_canonical, found.claimed) if domain]
            claimed += _domains_behind(value) if len(value) > VALUE_LIMIT_BYTES else ()
    for value in shown[:FIELDS_READ]:
        claimed += _read((value,), name, "").all_domains
    if not addresses:
        problem = problem or f"no address in {name}"
    if len(addresses) > ADDRESSES_LIMIT:
        problem = problem or f"more than {ADDRESSES_LIMIT} addresses"
        claimed = [*dict.fromkeys(address.domain for address in addresses[ADDRESSES_LIMIT:]), *claimed]
    kept = tuple(addresses[:ADDRESSES_LIMIT])
    return Author(
        addresses=kept,
        domains=tuple(dict.fromkeys([address.domain for address in kept])),
        display_names=tuple([name for name in names[:ADDRESSES_LIMIT] if name]),
        claimed=tuple(dict.fromkeys(claimed))[:ADDRESSES_LIMIT] if claimed else (),
        problem=problem,
    )


def _canonical(domain: str) -> str:
    """ "" for what is no domain."""
    try:
        return canonical_domain(domain)
    except PeerFault:
        return ""


def _fields_problem(count: int, defects: frozenset[Defect]) -> str:
    if count > 1:
        return f"{count} From fields"
    if not count:
        return NO_FROM
    if not defects:
        return ""
    odd = defects & _MISLEADING
    return f"header section with {min(defect.value for defect in odd)}" if odd else ""


def _lines_like_from(head: bytes) -> list[bytes]:
    """Values of lines that begin with From for a reader who stops at, or leaves out, what is in no name."""
    lines = _LINE_END.split(head.replace(b"\r\n ", b"  ").replace(b"\r\n\t", b"  "))
    found = [line.partition(b":") for line in lines if b":" in line[:NAME_LIMIT_BYTES]]
    return [value for name, _, value in found if name.translate(None, _NOT_IN_NAMES).lower() == b"from"]


def _domains_behind(value: bytes) -> list[str]:
    """In what is longer than is read: of the last addresses."""
    found = _AFTER_AT.findall(value[VALUE_LIMIT_BYTES:])
    named = [_canonical(domain.decode("utf-8", "replace")) for domain in found[-ADDRESSES_LIMIT:]]
    return [domain for domain in named if domain]


_AFTER_AT: Final = re.compile(rb"@((?:[a-zA-Z0-9_\x80-\xff-]{1,63}\.){1,10}[a-zA-Z0-9\x80-\xff-]{2,63})")
_HIDING: Final = frozenset({Defect.ODD_NAME, Defect.OTHER_LINE_END})
_LINE_END: Final = re.compile(
    rb"\r\n|[\r\n\x0b\x0c\x1c-\x1e]|\xc2\x85|\xe2\x80[\xa8\xa9]|(?<![\x80-\xff])\x85"
)
_NOT_IN_NAMES: Final = bytes([*range(0x21), *range(0x7F, 0x100)])
_MISLEADING: Final = frozenset(
    {Defect.BLANK_BEFORE_COLON, Defect.LEADING_BLANK, Defect.NUL, Defect.BARE_CR, Defect.BARE_LF}
)


def gatherer(_sources: Sources) -> Gathering:
    """Known when the header section is."""
    return Gathering(
        fact=Author,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_HEADERS,
        find=lambda mail: read_author(mail.head),
    )
