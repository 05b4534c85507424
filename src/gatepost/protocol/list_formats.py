"""Lists of addresses and domains as others publish them: plain text, and the zone files of rbldnsd."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Final, Literal

from gatepost.model.address_table import NOT_LISTED, VALUES_LIMIT, AddressTable, NameTable, packed_of

ListFormat = Literal["text", "ip4set", "ip4trie", "ip6trie", "dnset", "domains"]
FORMATS: Final[tuple[ListFormat, ...]] = ("text", "ip4set", "ip4trie", "ip6trie", "dnset", "domains")
ADDRESS_FORMATS: Final = frozenset({"text", "ip4set", "ip4trie", "ip6trie"})
LINE_LIMIT_CHARACTERS: Final = 2048
TEXT_LIMIT_CHARACTERS: Final = 240
DEFAULT_CODE: Final = "127.0.0.2"
REPORTED_LINES: Final = 5
_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_QUAD: Final = re.compile(
    r"(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:\.(\d{1,3}))?(?:/(\d{1,2})|-(\d{1,3}(?:\.\d{1,3}){0,3}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list says of what it lists: the answer a zone would give, and words ("$" is what was asked)."""

    code: str = DEFAULT_CODE
    text: str = ""


@dataclass(slots=True, kw_only=True)
class ParsedList:
    """One file. addresses or names: as its format is."""

    listings: tuple[Listing, ...]
    addresses: AddressTable | None = None
    names: NameTable | None = None
    entries: int = 0
    bad_lines: tuple[tuple[int, str], ...] = ()
    """The first of them: number from 1, and why."""
    bad_count: int = 0

    @property
    def size_bytes(self) -> int:
        """Memory, about."""
        return sum(t.size_bytes for t in (self.addresses, self.names) if t is not None)


@dataclass(slots=True)
class _Reader:
    limit: int
    values: dict[Listing, int] = field(default_factory=dict)
    ranges: list[tuple[int, int, int, int]] = field(default_factory=list)
    exact: dict[str, int] = field(default_factory=dict)
    below: dict[str, int] = field(default_factory=dict)
    default: Listing = Listing()
    words: dict[str, str] = field(default_factory=dict)
    bad: list[tuple[int, str]] = field(default_factory=list)
    bad_count: int = 0
    entries: int = 0

    def value(self, listing: Listing) -> int:
        number = self.values.get(listing)
        if number is None:
            number = len(self.values)
            if number >= VALUES_LIMIT:
                return 0
            self.values[listing] = number
        return number


def parse_list(lines: Iterable[str], kind: ListFormat, *, entries_limit: int) -> ParsedList:
    """Lines that are no entry are skipped and counted. Raises ValueError for more than entries_limit entries."""
    reader = _Reader(entries_limit)
    read = _READERS[kind]
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text[0] in "#;":
            continue
        try:
            if len(text) > LINE_LIMIT_CHARACTERS:
                raise ValueError("it is too long")
            read(reader, text)
        except ValueError as error:
            reader.bad_count += 1
            if len(reader.bad) < REPORTED_LINES:
                reader.bad.append((number, str(error)[:200]))
        if reader.entries > entries_limit:
            raise ValueError(f"has more than {entries_limit} entries")
    is_addresses = kind in ADDRESS_FORMATS
    return ParsedList(
        listings=tuple(reader.values) or (Listing(),),
        addresses=AddressTable.of(*packed_of(reader.ranges)) if is_addresses else None,
        names=None if is_addresses else NameTable.of(reader.exact, reader.below),
        entries=reader.entries,
        bad_lines=tuple(reader.bad),
        bad_count=reader.bad_count,
    )


def _text(reader: _Reader, line: str) -> None:
    """An address, a network or a range a-b; what follows it, or a # or ; behind it, is its comment."""
    what, comment = _split_comment(line)
    listing = Listing(text=comment) if comment else Listing()
    reader.ranges.append((*range_of(what), reader.value(listing)))
    reader.entries += 1


def _domains(reader: _Reader, line: str) -> None:
    """A domain, which takes those below along; lines of hosts files ("0.0.0.0 name") and AdBlock's "||name^" too."""
    what, comment = _split_comment(line)
    if comment and not what.strip("0123456789.:"):
        what = comment.split()[0]
        comment = ""
    name = _name(what.removeprefix("||").removesuffix("^").removeprefix("*").removeprefix("."))
    reader.exact[name] = reader.below[name] = reader.value(Listing(text=comment))
    reader.entries += 1


def _zone(reader: _Reader, line: str, *, is_names: bool) -> None:
    """One line of an rbldnsd data set (rbldnsd.8, "dataset types and formats")."""
    if line[0] == "$":
        _directive(reader, line)
        return
    if line[0] == ":" and line[1:2] != ":":  # "::1" is an address
        reader.default = _listing(reader, line, Listing())
        return
    is_exception = line[0] == "!"
    what, _, rest = line.removeprefix("!").strip().replace("\t", " ").partition(" ")
    if is_names and ":" in what:  # "name:127.0.0.4:text" without a blank
        what, rest = what.partition(":")[0], line[line.index(":") :]
    rest = rest.strip()
    value = NOT_LISTED
    if not is_exception:
        value = reader.value(_listing(reader, rest, reader.default) if rest else reader.default)
    if not is_names:
        reader.ranges.append((*range_of(what), value))
    elif what.startswith("*."):
        reader.below[_name(what[2:])] = value
    elif what.startswith("."):
        name = _name(what[1:])
        reader.exact[name] = reader.below[name] = value
    else:
        reader.exact[_name(what)] = value
    reader.entries += 1


def _addresses_zone(reader: _Reader, line: str) -> None:
    _zone(reader, line, is_names=False)


def _names_zone(reader: _Reader, line: str) -> None:
    _zone(reader, line, is_names=True)


_READERS: Final = {
    "text": _text,
    "domains": _domains,
    "ip4set": _addresses_zone,
    "ip4trie": _addresses_zone,
    "ip6trie": _addresses_zone,
    "dnset": _names_zone,
}


def _directive(reader: _Reader, line: str) -> None:
    """$1 to $9: words for texts; $SOA, $NS, $TTL and $TIMESTAMP concern name servers only."""
    word, _, rest = line.partition(" ")
    if len(word) == 2 and word[1].isdigit():
        reader.words[word] = rest.strip()[:TEXT_LIMIT_CHARACTERS]
    elif word[1:].upper() == "DATASET":
        raise ValueError("several data sets in one file are not read: give each a file of its own")


def _listing(reader: _Reader, text: str, default: Listing) -> Listing:
    """ ":127.0.0.4:text", ":4:text", ":4", or "text". Raises ValueError."""
    code = default.code
    if text.startswith(":"):
        said, _, text = text[1:].partition(":")
        if said:
            code = f"127.0.0.{int(said)}" if said.isdecimal() and said.isascii() else said
            IPv4Address(code)
    else:
        text = text or default.text
    for word, words in reader.words.items():
        text = text.replace(word, words)
    text = "".join(c if " " <= c <= "~" else "?" for c in text)
    return Listing(code, text.strip()[:TEXT_LIMIT_CHARACTERS] or default.text)


def range_of(text: str) -> tuple[int, int, int]:
    """(version, low, high) of an address, a network or a range, in rbldnsd's short forms too. Raises ValueError."""
    match = _QUAD.fullmatch(text)
    if match is None:
        return _other_range(text)
    octets = [int(part) for part in match.group(1, 2, 3, 4) if part is not None]
    if max(octets) > 255:
        raise ValueError(f"{text[:100]!r} is no address")
    number = 0
    for octet in (*octets, *(0,) * (4 - len(octets))):
        number = number << 8 | octet
    length = 8 * len(octets)
    if match[5] is not None:
        length = int(match[5])
        if length > 32 or number & ((1 << (32 - length)) - 1):
            raise ValueError(f"{text[:100]!r} has host bits set, or is longer than 32 bits")
    high = number | ((1 << (32 - length)) - 1)
    if match[6] is not None:
        high = _high_of(octets, match[6])
        if high < number:
            raise ValueError(f"{text[:100]!r} is not a range from a lower to a higher address")
    return 4, number, high


def _high_of(octets: list[int], text: str) -> int:
    """The end of a range: whole, or the last octets only ("192.0.2.1-9")."""
    ends = [int(part) for part in text.split(".")]
    if len(ends) < len(octets):
        ends = octets[: len(octets) - len(ends)] + ends
    if max(ends) > 255:
        raise ValueError(f"{text!r} is no end of a range")
    number = 0
    for octet in (*ends, *(255,) * (4 - len(ends))):
        number = number << 8 | octet
    return number


def _other_range(text: str) -> tuple[int, int, int]:
    if "-" in text:
        first, last = (ip_address(part.strip()) for part in text.split("-", 1))
        if first.version != last.version or int(first) > int(last):
            raise ValueError(f"{text[:100]!r} is not a range from a lower to a higher address")
        return first.version, int(first), int(last)
    network = ip_network(text)
    low, high = int(network.network_address), int(network.broadcast_address)
    if network.version == 6 and low >> 32 == 0xFFFF and high >> 32 == 0xFFFF:
        return 4, low & 0xFFFFFFFF, high & 0xFFFFFFFF
    return network.version, low, high


def _split_comment(line: str) -> tuple[str, str]:
    for number, letter in enumerate(line):
        if letter in " \t#;":
            comment = "".join(c if " " <= c <= "~" else "?" for c in line[number:].lstrip(" \t#;"))
            return line[:number], comment.strip()[:TEXT_LIMIT_CHARACTERS]
    return line, ""


def _name(text: str) -> str:
    """Raises ValueError."""
    name = text.lower().rstrip(".")
    if not _NAME.fullmatch(name):
        raise ValueError(f"{text[:100]!r} is no domain name in A-labels")
    return name
