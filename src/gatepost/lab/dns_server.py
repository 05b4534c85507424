"""The lab's name server: answers like a recursive resolver from one zone text, and misbehaves on request."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from gatepost.lab.ports import PortPair

_ASKED_LIMIT: Final = 100_000
_ALIASES_LIMIT: Final = 32
_TTL_S: Final = 300
_SOA: Final = "ns.lab.example. hostmaster.lab.example. 1 3600 600 86400 30"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question as it came, and what an honest server would answer."""

    query: bytes
    answer: bytes
    by_tcp: bool

    def with_rcode(self, rcode: int) -> bytes:
        """The question sent back with a response code and nothing else."""
        head = self.query[:2] + bytes([0x80 | self.query[2] & 0x79, 0x80 | rcode])
        return head + b"\x00\x01\x00\x00\x00\x00\x00\x00" + self.question

    @property
    def question(self) -> bytes:
        """The question section of the query."""
        return self.query[12 : self.query.index(b"\x00", 12) + 5]


Twist = Callable[[Exchange], Sequence[bytes]]
"""What is sent instead: datagrams in their order; none at all is silence. By TCP: messages without length."""


@dataclass(frozen=True, slots=True)
class Fault:
    """How the answers about a name go wrong."""

    twist: Twist
    delay_s: float = 0.0


def drop(_exchange: Exchange) -> Sequence[bytes]:
    """Silence."""
    return ()


def servfail(exchange: Exchange) -> Sequence[bytes]:
    """SERVFAIL."""
    return (exchange.with_rcode(2),)


def refuse(exchange: Exchange) -> Sequence[bytes]:
    """REFUSED."""
    return (exchange.with_rcode(5),)


def truncate(exchange: Exchange) -> Sequence[bytes]:
    """TC by UDP, the whole answer by TCP."""
    return (exchange.answer if exchange.by_tcp else truncated(exchange),)


def truncated(exchange: Exchange) -> bytes:
    """The question with the TC bit and no records."""
    reply = bytearray(exchange.with_rcode(0))
    reply[2] |= 0x02
    return bytes(reply)


def honest(exchange: Exchange) -> Sequence[bytes]:
    """What is true; for a Fault that is only late."""
    return (exchange.answer,)


class LabDns:
    """An authoritative and, to its clients, recursive server on one loopback port, UDP and TCP.

    zone:   lines "name type data", e.g. "ours.example MX 10 mail.ours.example."; "#" begins a
            comment. "*" as first label is a wildcard. Raises ValueError for a line that is no record.
    faults: name (lower case, no final dot) -> Fault; a name below it has it, too.
    """

    def __init__(self, zone: str, faults: Mapping[str, Fault] | None = None) -> None:
        self._records: dict[tuple[str, str], list[dns.rdata.Rdata]] = {}
        self._names: set[str] = set()
        self.faults = dict(faults or {})
        self.asked: deque[tuple[str, str, str]] = deque(maxlen=_ASKED_LIMIT)
        """(name as asked, type, "udp" or "tcp")."""
        self.watch: Callable[[str, str, str], None] | None = None
        """Hears of each question, as `asked` has it."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self.port = 0
        self.add(zone)

    def add(self, zone: str) -> None:
        """More lines."""
        for number, line in enumerate(zone.splitlines(), 1):
            words = line.partition("#")[0].split(None, 2)
            if not words:
                continue
            try:
                self._add_record(*words)
            except (TypeError, dns.exception.DNSException) as error:
                raise ValueError(f"line {number}: {line.strip()!r} is not a record") from error

    def _add_record(self, name: str, kind: str, data: str) -> None:
        rdata = dns.rdata.from_text("IN", kind, data, origin=dns.name.root, relativize=False)
        owner = _folded(name)
        self._records.setdefault((owner, kind), []).append(rdata)
        while owner:
            self._names.add(owner)
            owner = owner.partition(".")[2]

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `port` says where."""
        loop = asyncio.get_running_loop()
        pair = PortPair.bind(host, port)
        self.port = pair.port
        transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), sock=pair.udp)
        self._udp = transport
        self._tcp = await asyncio.start_server(self._converse, sock=pair.tcp)

    async def stop(self) -> None:
        """Close the port."""
        for task in list(self._tasks):
            task.cancel()
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()
            await self._tcp.wait_closed()

    def answer_later(self, query: bytes, send: Callable[[bytes], None]) -> None:
        """Answer a datagram, at once or after the fault's delay."""
        fault, messages = self._messages(query, by_tcp=False)
        if fault.delay_s:
            loop = asyncio.get_running_loop()
            for message in messages:
                loop.call_later(fault.delay_s, send, message)
            return
        for message in messages:
            send(message)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            fault, messages = self._messages(await reader.readexactly(size), by_tcp=True)
            await asyncio.sleep(fault.delay_s)
            for message in messages:
                writer.write(len(message).to_bytes(2, "big") + message)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _messages(self, query: bytes, *, by_tcp: bool) -> tuple[Fault, Sequence[bytes]]:
        """Queries that are none get silence."""
        try:
            asked = dns.message.from_wire(query)
        except dns.exception.DNSException:
            return Fault(drop), ()
        if not asked.question:
            return Fault(drop), ()
        name = str(asked.question[0].name)
        kind = dns.rdatatype.to_text(asked.question[0].rdtype)
        self.asked.append((name.rstrip("."), kind, "tcp" if by_tcp else "udp"))
        if self.watch is not None:
            self.watch(*self.asked[-1])
        fault = self._fault_of(_folded(name))
        exchange = Exchange(query, self._answer(asked, by_tcp=by_tcp), by_tcp)
        return fault, fault.twist(exchange)

    def _fault_of(self, name: str) -> Fault:
        while name:
            if name in self.faults:
                return self.faults[name]
            name = name.partition(".")[2]
        return self.faults.get("", Fault(honest))

    def _answer(self, asked: dns.message.Message, *, by_tcp: bool) -> bytes:
        reply = dns.message.make_response(asked)
        reply.flags |= dns.flags.RA
        owner, kind = asked.question[0].name, asked.question[0].rdtype
        for _ in range(_ALIASES_LIMIT):
            aliases = self._found(str(owner), "CNAME")
            if not aliases or kind == dns.rdatatype.CNAME:
                break
            reply.answer.append(dns.rrset.from_rdata_list(owner, _TTL_S, aliases))
            owner = aliases[0].target  # type: ignore[attr-defined]  # CNAME has one
        found = self._found(str(owner), dns.rdatatype.to_text(kind))
        if found:
            reply.answer.append(dns.rrset.from_rdata_list(owner, _TTL_S, found))
        else:
            if not self._is_name(_folded(str(owner))):
                reply.set_rcode(dns.rcode.NXDOMAIN)
            soa = dns.rdata.from_text("IN", "SOA", _SOA, relativize=False)
            reply.authority.append(dns.rrset.from_rdata(dns.name.root, _TTL_S, soa))
        try:
            return reply.to_wire(max_size=65535 if by_tcp else 1232)
        except dns.exception.TooBig:
            return truncated(Exchange(asked.to_wire(), b"", by_tcp))

    def _found(self, name: str, kind: str) -> list[dns.rdata.Rdata]:
        folded = _folded(name)
        exact = self._records.get((folded, kind))
        if exact is not None or folded in self._names:
            return exact or []
        return self._records.get((f"*.{folded.partition('.')[2]}", kind), [])

    def _is_name(self, name: str) -> bool:
        return name in self._names or f"*.{name.partition('.')[2]}" in self._names


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: LabDns) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # a datagram endpoint has a datagram transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        def send(message: bytes) -> None:
            if self._transport and not self._transport.is_closing():
                self._transport.sendto(message, addr)

        self._server.answer_later(data, send)


def _folded(name: str) -> str:
    return name.rstrip(".").lower()
