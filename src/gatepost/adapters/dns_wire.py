"""DNS messages as bytes: questions written, answers read (RFC 1035, RFC 2181, RFC 2308, RFC 6891).

The reader takes bytes of a stranger. It is total: it returns an Answer or raises Malformed,
in time proportional to the message, without recursion.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from ipaddress import IPv6Address
from socket import inet_ntoa
from typing import Final

from gatepost.model.fault import PeerFault
from gatepost.model.reply import Reply
from gatepost.ports.resolver import Mx, RecordType, Tlsa

NAME_LIMIT_BYTES: Final = 255
LABEL_LIMIT_BYTES: Final = 63
ALIASES_LIMIT: Final = 8
RECORDS_LIMIT: Final = 1500
LABELS_LIMIT: Final = 10_000
"""Labels and jumps walked in one message, all names together."""
TEXT_LIMIT_BYTES: Final = 16 * 1024
TEXTS_LIMIT: Final = 256
EDNS_SIZE_BYTES: Final = 1232
LOWEST_TTL_S: Final = 5
HIGHEST_TTL_S: Final = 86_400
NO_TTL_S: Final = 60
"""How long "does not exist" is believed when the answer has no SOA to say so."""

_HEADER: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_AUTHORITY_NUMBERS: Final = struct.Struct("!IIIII")
_OPT: Final = b"\x00\x00\x29" + struct.pack("!HIH", EDNS_SIZE_BYTES, 0, 0)
_CLASS_IN: Final = b"\x00\x01"
_FIRST_NAME_AT: Final = 12
_ASKABLE: Final = re.compile(r"(?:[!-\-/-\[\]-~]{1,63}\.)*[!-\-/-\[\]-~]{1,63}")
_UGLY: Final = re.compile(rb"[^a-zA-Z0-9_/+=*-]")
_UGLY_BUT_DOTS: Final = re.compile(rb"[^a-zA-Z0-9_/+=*.-]")
_LETTER_BITS: Final = bytes(0x20 if 0x61 <= octet <= 0x7A else 0 for octet in range(256))
"""The bit of a small letter that makes it great; a length octet is at most 63 and so no letter."""
_BAD_NAME: Final = Reply(501, "5.1.3", "That is not a domain name")


Kind = RecordType
"""What we ask for and can read."""


class Status(Enum):
    """What an answer says about the name and the type."""

    FOUND = "found"
    NODATA = "no such record"
    NXDOMAIN = "no such name"


class Rcode(IntEnum):
    """The response codes we tell apart."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


Record = str | bytes | Mx | Tlsa


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: records (empty unless FOUND), and for how long that may be believed.

    alias: the name to ask next when the answer ends in a CNAME without saying what it leads to; else "".
    links: CNAMEs followed inside the answer.
    is_secure: a server we trust has validated all of it by DNSSEC.
    """

    status: Status
    records: tuple[Record, ...]
    ttl_s: int
    alias: str = ""
    links: int = 0
    is_secure: bool = False


class Malformed(Exception):
    """The message is not one: whatever it says is not believed."""


class ServerRefusal(Exception):
    """The server answered that it does not know: SERVFAIL, REFUSED, NOTIMP, FORMERR and the like."""

    def __init__(self, rcode: int) -> None:
        names = {int(code): code.name for code in Rcode}
        super().__init__(names.get(rcode, f"RCODE {rcode}"))
        self.rcode = rcode


class Truncated(Exception):
    """The answer did not fit: to be asked again by TCP."""


def askable(name: str) -> str:
    """The name in the form we ask: lower case, no final dot.

    Raises PeerFault for blanks, control characters, non-ASCII, empty or long labels, the root (M12).
    """
    bare = name[:-1] if name.endswith(".") else name
    if len(bare) > NAME_LIMIT_BYTES - 2 or not _ASKABLE.fullmatch(bare):
        raise PeerFault(_BAD_NAME, "a name that cannot be asked in the DNS", name=name[:300])
    return bare.lower()


def question(name: str, kind: RecordType, *, chance: bytes = b"") -> bytes:
    """The question section. name: askable. chance: octets whose bits make letters upper case (0x20)."""
    labels = name.encode("ascii").split(b".")
    written = b"".join([bytes((len(label),)) + label for label in labels]) + b"\x00"
    if chance:
        letters = int.from_bytes(written.translate(_LETTER_BITS), "big")
        upper = letters & int.from_bytes(chance[: len(written)], "big")
        written = (int.from_bytes(written, "big") ^ upper).to_bytes(len(written), "big")
    return written + kind.to_bytes(2, "big") + _CLASS_IN


def query(query_id: int, asked: bytes, *, edns: bool = True) -> bytes:
    """A whole message: recursion desired, one question, EDNS with 1232 octets unless told otherwise.

    AD is set: a validating server then says whether it has validated (RFC 6840 §5.7).
    """
    header = _HEADER.pack(query_id, 0x0120, 1, 0, 0, 1 if edns else 0)
    return header + asked + _OPT if edns else header + asked


def is_reply_to(data: bytes, asked: bytes) -> bool:
    """Whether the datagram answers this very question, bit for bit; its id was looked at before."""
    return (
        len(data) >= _FIRST_NAME_AT + len(asked)
        and data[2] & 0xF8 == 0x80
        and data[4:6] == b"\x00\x01"
        and data.startswith(asked, _FIRST_NAME_AT)
    )


def differs_in_case(data: bytes, asked: bytes) -> bool:
    """Whether it would answer the question if letters had no case: a server without 0x20, or a forger."""
    return (
        len(data) >= _FIRST_NAME_AT + len(asked)
        and data[2] & 0xF8 == 0x80
        and data[_FIRST_NAME_AT : _FIRST_NAME_AT + len(asked)].lower() == asked.lower()
    )


def read_reply(data: bytes, asked: bytes, kind: RecordType, *, trust_ad: bool = False) -> Answer:
    """Read a message for which `is_reply_to` holds. trust_ad: the server's AD bit is believed.

    Raises Malformed, ServerRefusal, Truncated.
    """
    try:
        answer = _read_reply(data, asked, kind)
    except (IndexError, struct.error) as error:
        raise Malformed("the message ends early") from error
    return replace(answer, is_secure=True) if trust_ad and data[3] & 0x20 else answer


def _read_reply(data: bytes, asked: bytes, kind: RecordType) -> Answer:
    rcode = data[3] & 0x0F
    if data[2] & 0x02:
        raise Truncated
    if rcode not in (Rcode.NOERROR, Rcode.NXDOMAIN):
        raise ServerRefusal(rcode)
    answers, authorities = struct.unpack_from("!HH", data, 6)
    if answers > RECORDS_LIMIT:
        raise Malformed("too many records")
    packet = _Packet(data)
    name, _ = packet.name(_FIRST_NAME_AT)
    section, at = _read_answers(packet, _FIRST_NAME_AT + len(asked), answers, kind)
    return _conclude(packet, section, name, rcode, at, authorities)


class _Packet:
    """One message and the names already read in it, by offset: nothing is walked twice."""

    __slots__ = ("_labels_left", "_names", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._names: dict[int, str] = {}
        self._labels_left = LABELS_LIMIT

    def name(self, at: int) -> tuple[str, int]:
        """The name at an offset as lower-case text without final dot, and where the next thing begins.

        A pointer must lead back, and each further one further back: so a loop cannot exist.
        """
        data, begin, lowest, end, size = self.data, at, at, -1, 1
        if data[at] == 0xC0 and (known := self._names.get(data[at + 1])) is not None:
            return known, at + 2  # as nearly every owner is written
        labels: list[bytes] = []
        tail = ""
        while (length := data[at]) != 0:
            self._labels_left -= 1
            if self._labels_left < 0:
                raise Malformed("too many labels")
            if length >= 0xC0:
                target = (length & 0x3F) << 8 | data[at + 1]
                end = at + 2 if end < 0 else end
                if target >= lowest:
                    raise Malformed("a compression pointer does not lead back")
                known = self._names.get(target)
                if known is not None:
                    tail = known
                    break
                at = lowest = target
                continue
            label = data[at + 1 : at + 1 + length]
            if length > LABEL_LIMIT_BYTES or len(label) != length:
                raise Malformed("a label overruns")
            labels.append(label)
            at += length + 1
            size += length + 1
            if size > NAME_LIMIT_BYTES:
                raise Malformed("a name is too long")
        if tail and size + len(tail) > 4 * NAME_LIMIT_BYTES:  # text may be escaped: four characters an octet
            raise Malformed("a name is too long")
        name = _joined(labels, tail)
        self._names[begin] = name
        return name, at + 1 if end < 0 else end


def _joined(labels: list[bytes], tail: str) -> str:
    whole = b".".join(labels)
    if whole.count(b".") == len(labels) - 1 and not _UGLY_BUT_DOTS.search(whole):
        text = whole.decode("ascii").lower()
    else:
        text = ".".join([_label_text(label) for label in labels])
    return f"{text}.{tail}" if text and tail else text or tail


def _label_text(label: bytes) -> str:
    """Lower case; octets that have no place in a host name as \\DDD, as in a zone file (M08)."""
    if not _UGLY.search(label):
        return label.decode("ascii").lower()
    return _UGLY.sub(lambda m: b"\\%03d" % m[0][0], label).decode("ascii").lower()


class _Section:
    """The answer section, sorted by owner."""

    __slots__ = ("aliases", "records", "ttls")

    def __init__(self) -> None:
        self.aliases: dict[str, str] = {}
        self.records: dict[str, list[Record]] = {}
        self.ttls: dict[str, int] = {}

    def note_ttl(self, owner: str, ttl_s: int) -> None:
        self.ttls[owner] = min(_clamped(ttl_s), self.ttls.get(owner, HIGHEST_TTL_S))


def _read_answers(packet: _Packet, at: int, count: int, kind: RecordType) -> tuple[_Section, int]:
    section = _Section()
    data = packet.data
    for _ in range(count):
        owner, at = packet.name(at)
        found, class_, ttl_s, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        end = at + size
        if end > len(data):
            raise Malformed("a record overruns")
        if class_ == 1 and found == kind:
            section.records.setdefault(owner, []).append(_rdata(packet, kind, at, end))
            section.note_ttl(owner, ttl_s)
        elif class_ == 1 and found == Kind.CNAME:
            section.aliases[owner] = packet.name(at)[0]
            section.note_ttl(owner, ttl_s)
        at = end
    return section, at


def _rdata(packet: _Packet, kind: RecordType, at: int, end: int) -> Record:
    data = packet.data
    match kind:
        case Kind.A if end - at == 4:
            return inet_ntoa(data[at:end])
        case Kind.AAAA if end - at == 16:
            return str(IPv6Address(data[at:end]))
        case Kind.TXT:
            return _text(data, at, end)
        case Kind.MX if end - at >= 3:
            return Mx(data[at] << 8 | data[at + 1], _ending(packet, at + 2, end))
        case Kind.PTR | Kind.NS | Kind.CNAME:
            return _ending(packet, at, end)
        case Kind.TLSA if end - at >= 4:
            return Tlsa(usage=data[at], selector=data[at + 1], matching=data[at + 2], data=data[at + 3 : end])
        case Kind.SOA if end - at >= 22:
            return _authority(packet, at, end)
        case _:
            raise Malformed(f"{kind.name} data of {end - at} octets")


def _authority(packet: _Packet, at: int, end: int) -> str:
    """A SOA as a zone file has it: two names, five numbers."""
    primary, at = packet.name(at)
    mailbox, at = packet.name(at)
    if at + _AUTHORITY_NUMBERS.size != end:
        raise Malformed("a name overruns its record")
    return " ".join((primary, mailbox, *map(str, _AUTHORITY_NUMBERS.unpack_from(packet.data, at))))


def _ending(packet: _Packet, at: int, end: int) -> str:
    """A name that must fill its record to the end."""
    name, behind = packet.name(at)
    if behind != end:
        raise Malformed("a name overruns its record")
    return name


def _text(data: bytes, at: int, end: int) -> bytes:
    if end - at > TEXT_LIMIT_BYTES:
        raise Malformed("text of more than 16 KiB")
    strings = []
    while at < end:
        behind = at + 1 + data[at]
        if behind > end:
            raise Malformed("a string overruns its record")
        strings.append(data[at + 1 : behind])
        at = behind
    return b"".join(strings)


def _conclude(packet: _Packet, section: _Section, name: str, rcode: int, at: int, authorities: int) -> Answer:
    """Follow the aliases from the name that was asked to the records at the end of them."""
    links, ttl_s = 0, HIGHEST_TTL_S
    while name not in section.records and name in section.aliases:
        ttl_s = min(ttl_s, section.ttls[name])
        name = section.aliases[name]
        links += 1
        if links > ALIASES_LIMIT:
            raise Malformed("too many aliases")
    records = section.records.get(name)
    if records:
        _check_volume(records)
        return Answer(Status.FOUND, tuple(records), min(ttl_s, section.ttls[name]), links=links)
    negative_ttl_s = _negative_ttl_s(packet, at, authorities)
    if rcode == Rcode.NXDOMAIN:
        return Answer(Status.NXDOMAIN, (), min(ttl_s, _clamped(negative_ttl_s or NO_TTL_S)), links=links)
    if links and negative_ttl_s is None:
        return Answer(Status.NODATA, (), ttl_s, alias=name, links=links)
    return Answer(Status.NODATA, (), min(ttl_s, _clamped(negative_ttl_s or NO_TTL_S)), links=links)


def _check_volume(records: list[Record]) -> None:
    """M05: text beyond the limit is refused as a whole; half of it would mean something else."""
    texts = [record for record in records if isinstance(record, bytes)]
    if len(texts) > TEXTS_LIMIT or sum(map(len, texts)) > TEXT_LIMIT_BYTES:
        raise Malformed("text of more than 16 KiB or 256 records")


def _negative_ttl_s(packet: _Packet, at: int, count: int) -> int | None:
    """The SOA's word on how long nothing stays nothing (RFC 2308 §5); None without a SOA."""
    data = packet.data
    for _ in range(min(count, RECORDS_LIMIT)):
        _, at = packet.name(at)
        found, class_, ttl_s, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size + size
        if at > len(data):
            raise Malformed("a record overruns")
        if found == Kind.SOA and class_ == 1 and size >= 22:
            (minimum_s,) = struct.unpack_from("!I", data, at - 4)
            return min(_sane(ttl_s), _sane(minimum_s))
    return None


def _sane(ttl_s: int) -> int:
    """RFC 2181 §8: a TTL with the top bit set is zero."""
    return 0 if ttl_s >= 1 << 31 else ttl_s


def _clamped(ttl_s: int) -> int:
    return max(LOWEST_TTL_S, min(HIGHEST_TTL_S, _sane(ttl_s)))
