"""A DNS that is a text: answers from lines of records, without a socket (ports.resolver)."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any, Final, Protocol

import dns.exception
import dns.name
import dns.rdata
import dns.rdatatype

from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.resolver import LookedUp, Mx, RecordType, Resolver, Tlsa
from gatepost.ports.resolver import Lookup as LookupPort

ALIASES_LIMIT: Final = 8
LINES_LIMIT: Final = 10_000
NAME_LIMIT_CHARS: Final = 253
LABEL_LIMIT_CHARS: Final = 63
TTL_S: Final = 300
_NO_NAME: Final = Reply(501, "5.1.3", "Not a domain name")


class NoRecord(ValueError):
    """A line of the text that is none. number: 1-based."""

    def __init__(self, number: int, line: str) -> None:
        self.number = number
        super().__init__(
            f"{line[:200]!r} is no record such as "
            'example.com TXT "v=spf1 -all" or example.com MX 10 mx.example.com.'
        )


class RealDns(Resolver, LookupPort, Protocol):
    """What asks the world: adapters.dns.DnsResolver."""


class ZoneDns:
    """Keeps the promises of ports.resolver.Resolver and Lookup.

    silent: names, and all names below them, about which nobody answers.
    beyond: who is asked about names that no line is about; None: they do not exist.
    """

    def __init__(self, text: str, *, silent: Collection[str] = (), beyond: RealDns | None = None) -> None:
        """Raises NoRecord for the first line that is none, ValueError for too many."""
        self._records: dict[tuple[str, str], list[dns.rdata.Rdata]] = {}
        self._names: set[str] = set()
        self._silent = frozenset(_folded(name) for name in silent)
        self._beyond = beyond
        lines = text.splitlines()
        if len(lines) > LINES_LIMIT:
            raise ValueError(f"more than {LINES_LIMIT} lines")
        for number, line in enumerate(lines, 1):
            words = _uncommented(line).split(None, 2)
            if words:
                self._add(number, line, words)

    def _add(self, number: int, line: str, words: list[str]) -> None:
        try:
            name, kind, data = words
            self.add(name, kind.upper(), data)
        except (ValueError, TypeError, dns.exception.DNSException):
            raise NoRecord(number, line.strip()) from None

    def add(self, name: str, kind: str, data: str) -> None:
        """One more record. Raises ValueError or DNSException."""
        rdata = dns.rdata.from_text("IN", kind, data, origin=dns.name.root, relativize=False)
        owner = _folded(name)
        self._records.setdefault((owner, kind), []).append(rdata)
        while owner:
            self._names.add(owner)
            owner = owner.partition(".")[2]

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        """A, then AAAA."""
        found: list[Any] = []
        for kind in (RecordType.A, RecordType.AAAA):
            found += (await self.look_up(name, kind, timeout_s=timeout_s)).records
        return tuple(found)

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        """MX."""
        found: Any = (await self.look_up(name, RecordType.MX, timeout_s=timeout_s)).records
        return tuple(sorted(found, key=lambda mx: mx.preference))

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        """PTR."""
        try:
            pointer = ip_address(address).reverse_pointer
        except ValueError as error:
            raise PeerFault(Reply(501, "5.5.4", "That is not an IP address"), "no IP address") from error
        found: Any = (await self.look_up(pointer, RecordType.PTR, timeout_s=timeout_s)).records
        return tuple(found)

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        """TXT."""
        found: Any = (await self.look_up(name, RecordType.TXT, timeout_s=timeout_s)).records
        return tuple(found)

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        """False for names nobody wrote down."""
        return (await self.look_up(name, RecordType.A, timeout_s=timeout_s)).exists

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        """One question; CNAMEs are followed."""
        owner = _folded(name)
        for _ in range(ALIASES_LIMIT + 1):
            self._check(owner)
            if self._beyond is not None and not self._knows(owner):
                return await self._beyond.look_up(owner, kind, timeout_s=timeout_s)
            aliases = self._found(owner, "CNAME")
            if not aliases or kind is RecordType.CNAME:
                break
            owner = _folded(str(aliases[0].target))  # type: ignore[attr-defined]  # CNAME has one
        else:
            raise WorldFault("too many CNAMEs in a row", name=name)
        records = tuple(_value(kind, one) for one in self._found(owner, kind.name))
        return LookedUp(records=records, exists=self._knows(owner), ttl_s=TTL_S)

    def _check(self, owner: str) -> None:
        labels = owner.split(".")
        if len(owner) > NAME_LIMIT_CHARS or not all(0 < len(one) <= LABEL_LIMIT_CHARS for one in labels):
            raise PeerFault(_NO_NAME, "not a domain name", name=owner[:NAME_LIMIT_CHARS])
        above = owner
        while above:
            if above in self._silent:
                raise WorldFault("no name server answers", name=owner)
            above = above.partition(".")[2]

    def _found(self, owner: str, kind: str) -> list[dns.rdata.Rdata]:
        exact = self._records.get((owner, kind))
        if exact is not None or owner in self._names:
            return exact or []
        return self._records.get((f"*.{owner.partition('.')[2]}", kind), [])

    def _knows(self, owner: str) -> bool:
        return owner in self._names or f"*.{owner.partition('.')[2]}" in self._names


def _value(kind: RecordType, rdata: Any) -> str | bytes | Mx | Tlsa:
    match kind:
        case RecordType.A | RecordType.AAAA:
            return str(rdata.address)
        case RecordType.MX:
            return Mx(int(rdata.preference), _folded(str(rdata.exchange)))
        case RecordType.TXT:
            return b"".join(rdata.strings)
        case RecordType.TLSA:
            return Tlsa(usage=rdata.usage, selector=rdata.selector, matching=rdata.mtype, data=rdata.cert)
        case _:
            return _folded(rdata.to_text().split()[0])


def _folded(name: str) -> str:
    return name.rstrip(".").lower()


def _uncommented(line: str) -> str:
    """Without a comment; "#" inside quotes is no comment."""
    quoted = False
    for at, character in enumerate(line):
        if character == '"' and (not at or line[at - 1] != "\\"):
            quoted = not quoted
        elif character == "#" and not quoted:
            return line[:at]
    return line
