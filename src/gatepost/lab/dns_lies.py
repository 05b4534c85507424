"""What a name server may do wrong, by name: for drills and for the tests of whatever asks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gatepost.lab.dns_server import Exchange, Twist, drop, honest, refuse, servfail, truncate, truncated

_HEADER_BYTES: Final = 12


def wrong_id(exchange: Exchange) -> Sequence[bytes]:
    """A true answer with the id of another question."""
    return (bytes((exchange.answer[0] ^ 1,)) + exchange.answer[1:],)


def wrong_name(exchange: Exchange) -> Sequence[bytes]:
    """An answer to a question about another name."""
    first = _HEADER_BYTES + 1
    return (exchange.answer[:first] + bytes((exchange.answer[first] ^ 1,)) + exchange.answer[first + 1 :],)


def forged_first(exchange: Exchange) -> Sequence[bytes]:
    """A forger is quicker than the server, and guesses wrong."""
    return (*wrong_id(exchange), *wrong_name(exchange), exchange.answer)


def looping(exchange: Exchange) -> Sequence[bytes]:
    """One record, whose name leads to itself."""
    reply = bytearray(exchange.with_rcode(0))
    reply[6:8] = b"\0\1"
    return (bytes(reply) + b"\xc0" + bytes((len(reply),)) + b"\0\1\0\1\0\0\1\x2c\0\4\xc0\0\2\1",)


def cut_short(exchange: Exchange) -> Sequence[bytes]:
    """Half an answer, without a word of it."""
    return (exchange.answer[: _HEADER_BYTES + len(exchange.question) + 7],)


def garbage(exchange: Exchange) -> Sequence[bytes]:
    """The question's id, and then nothing of DNS."""
    return (exchange.query[:2] + b"\xff" * 40,)


def without_tcp(exchange: Exchange) -> Sequence[bytes]:
    """By UDP it asks for TCP, by TCP it says nothing."""
    return () if exchange.by_tcp else (truncated(exchange),)


def somebody_else(exchange: Exchange) -> Sequence[bytes]:
    """NOERROR with an address of a name that nobody asked for."""
    reply = bytearray(exchange.with_rcode(0))
    reply[6:8] = b"\0\1"
    return (bytes(reply) + b"\5other\7example\0\0\1\0\1\0\0\1\x2c\0\4\xc6\x33\x64\x09",)


TWISTS: Final[Mapping[str, Twist]] = MappingProxyType(
    {
        "silence": drop,
        "servfail": servfail,
        "refused": refuse,
        "late": honest,
        "truncated": truncate,
        "no-tcp": without_tcp,
        "wrong-id": wrong_id,
        "wrong-name": wrong_name,
        "forged-first": forged_first,
        "loop": looping,
        "short": cut_short,
        "garbage": garbage,
        "somebody-else": somebody_else,
    }
)
"""late: the truth, after the fault's delay."""
