"""Return paths that prove they are ours: SRS for forwarded mail, prvs tags (BATV) for our own.

An SRS address is SRS0=HASH=DAY=DOMAIN=LOCAL@OURS, of a mail that was forwarded before SRS1=HASH=FIRST=REST@OURS.
A tagged one is prvs=KDDDSSSSSS=LOCAL@DOMAIN (draft-levine-smtp-batv). Case does not matter in either: some
systems fold it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gatepost.config.check_return_paths import KEY_LIMIT_CHARS, KEYS_LIMIT
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault
from gatepost.protocol.addresses import LOCAL_LIMIT_BYTES, canonical_domain

DAY_S: Final = 86400
HASH_CHARS: Final = 8
"""Of 5 bits each: not to be guessed by asking."""
_DIGITS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_SRS_DAYS: Final = 1024
_BATV_DAYS: Final = 1000
_SRS0: Final = re.compile(
    r"SRS0[=+-]([A-Z2-7]{6,20})=([A-Z2-7]{2})=([^=]+)=(.+)", re.IGNORECASE | re.DOTALL | re.ASCII
)
_SRS1: Final = re.compile(
    r"SRS1[=+-]([A-Z2-7]{6,20})=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII
)
_ANY_SRS: Final = re.compile(r"SRS([01])[=+-]", re.IGNORECASE | re.ASCII)
_FOREIGN_SRS1: Final = re.compile(r"SRS1[=+-][^=]+=([^=]+)=([=+-].+)", re.IGNORECASE | re.DOTALL | re.ASCII)
_PRVS: Final = re.compile(r"prvs=([0-9])([0-9]{3})([0-9a-f]{6})=(.+)", re.IGNORECASE | re.DOTALL | re.ASCII)


class PathProblem(Enum):
    """Why a signed address is not believed."""

    FORGED = "it was not signed with a key of ours"
    EXPIRED = "it is too old"
    MALFORMED = "it leads to no address"


def read_keys(text: str) -> tuple[bytes, ...]:
    """One key a line; blank lines and lines with # are none. Raises ValueError for too few, many or short ones."""
    lines = [line.strip() for line in text.splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(keys) <= KEYS_LIMIT:
        raise ValueError(f"has {len(keys)} keys, 1 to {KEYS_LIMIT} are wanted")
    if any(len(key) < KEY_LIMIT_CHARS for key in keys):
        raise ValueError(f"has a key with less than {KEY_LIMIT_CHARS} characters")
    return tuple(key.encode() for key in keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class Srs:
    """Keys: the first signs, all are believed. domain: ours, canonical. hash_chars: shorter hashes are not believed."""

    keys: Sequence[bytes]
    domain: str
    max_age_s: float
    hash_chars: int = HASH_CHARS

    def forwarded(self, sender: Address, at: float) -> Address:
        """The return path of a mail that came at this time, the same at every attempt.

        One that would be longer than an address may be stays as it is.
        """
        known = _ANY_SRS.match(sender.local)
        local = self._again(sender) if known else self._first(sender, at)
        return Address(local, self.domain) if len(local.encode()) <= LOCAL_LIMIT_BYTES else sender

    def claims(self, recipient: Address) -> bool:
        """Whether the address looks like one of these."""
        return recipient.domain == self.domain and _ANY_SRS.match(recipient.local) is not None

    def original(self, recipient: Address, now: float) -> Address | PathProblem:
        """Where mail to a rewritten address goes; never anywhere unless we signed it (threats L14)."""
        if match := _SRS0.fullmatch(recipient.local):
            given, day, domain, local = match.groups()
            if not self._is_signed(given, f"{day}={domain}={local}"):
                return PathProblem.FORGED
            if not _is_young(_day_number(day), now, self.max_age_s, _SRS_DAYS):
                return PathProblem.EXPIRED
            return _address(local, domain)
        if match := _SRS1.fullmatch(recipient.local):
            given, first, rest = match.groups()
            if not self._is_signed(given, f"{first}={rest}"):
                return PathProblem.FORGED
            return _address(f"SRS0{rest}", first)
        return PathProblem.MALFORMED

    def _first(self, sender: Address, at: float) -> str:
        number = int(at // DAY_S) % _SRS_DAYS
        day = _DIGITS[number >> 5] + _DIGITS[number & 31]
        said = f"{day}={sender.domain}={sender.local}"
        return f"SRS0={_srs_hash(self.keys[0], said, self.hash_chars)}={said}"

    def _again(self, sender: Address) -> str:
        """Of an address another forwarder made: it leads back to the first of them at once."""
        if sender.local[3] == "0":
            said = f"{sender.domain}={sender.local[4:]}"
        elif match := _FOREIGN_SRS1.fullmatch(sender.local):
            said = f"{match[1]}={match[2]}"
        else:
            return self._first(sender, 0.0)
        return f"SRS1={_srs_hash(self.keys[0], said, self.hash_chars)}={said}"

    def _is_signed(self, given: str, said: str) -> bool:
        size = len(given)
        return size >= self.hash_chars and any(
            hmac.compare_digest(_srs_hash(key, said, size), given.upper()) for key in self.keys
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Keys: the first tags, all are believed."""

    keys: Sequence[bytes]
    max_age_s: float

    def tagged(self, sender: Address, at: float) -> Address:
        """The return path of a mail that came at this time. One that would be too long stays as it is."""
        day = (int(at // DAY_S) + int(self.max_age_s // DAY_S)) % _BATV_DAYS
        key = self.keys[0]
        head = f"{_key_digit(key)}{day:03d}"
        local = f"prvs={head}{_tag_hash(key, head, sender)}={sender.local}"
        return Address(local, sender.domain) if len(local.encode()) <= LOCAL_LIMIT_BYTES else sender

    def untagged(self, recipient: Address) -> Address | None:
        """The mailbox behind a tag, good or bad; None when there is no tag."""
        match = _PRVS.fullmatch(recipient.local) if recipient.local[:5].lower() == "prvs=" else None
        return Address(match[4], recipient.domain) if match else None

    def problem(self, recipient: Address, now: float) -> PathProblem | None:
        """What is wrong with a tag; None: it is good. An address without a tag is MALFORMED."""
        match = _PRVS.fullmatch(recipient.local)
        if match is None:
            return PathProblem.MALFORMED
        number, day, given, local = match.groups()
        plain, head = Address(local, recipient.domain), f"{number}{day}"
        good = [key for key in self.keys if _key_digit(key) == number]
        if not any(hmac.compare_digest(_tag_hash(key, head, plain), given.lower()) for key in good):
            return PathProblem.FORGED
        left = (int(day) - int(now // DAY_S)) % _BATV_DAYS
        return None if left <= int(self.max_age_s // DAY_S) + 1 else PathProblem.EXPIRED


def _srs_hash(key: bytes, said: str, size_chars: int) -> str:
    digest = hmac.new(key, b"srs " + said.lower().encode(), hashlib.sha256).digest()
    return b32encode(digest)[:size_chars].decode()


def _tag_hash(key: bytes, head: str, sender: Address) -> str:
    said = f"{head}{sender.local.lower()}@{sender.domain}".encode()
    return hmac.new(key, said, hashlib.sha1).hexdigest()[:6]  # the draft's function and length


def _key_digit(key: bytes) -> str:
    """Which key a tag was made with, wherever the key stands in the file by now."""
    return str(hashlib.sha256(key).digest()[0] % 10)


def _day_number(text: str) -> int:
    high, low = (_DIGITS.index(c) for c in text.upper())
    return (high << 5) | low


def _is_young(day: int, now: float, max_age_s: float, circle: int) -> bool:
    """A day ahead is allowed: clocks differ."""
    age = (int(now // DAY_S) - day) % circle
    return age <= int(max_age_s // DAY_S) or age == circle - 1


def _address(local: str, domain: str) -> Address | PathProblem:
    try:
        return Address(local, canonical_domain(domain))
    except (PeerFault, ValueError):
        return PathProblem.MALFORMED
