"""What the answer of a DNS list means (RFC 5782), and the words of a refusal that stands on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

REPLY_LIMIT_CHARACTERS: Final = 240
TEXT_LIMIT_CHARACTERS: Final = 160
"""Of a provider's TXT record in a reply."""
ANSWERS_LIMIT: Final = 64
"""Of one answer; more are not looked at."""
_LISTING: Final = IPv4Network("127.0.0.0/8")
_REFUSAL: Final = IPv4Network("127.255.255.0/24")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS: Final = ("ip", "provider", "zone", "code", "text")
NAME_PLACEHOLDERS: Final = ("name", *PLACEHOLDERS)
"""Of providers that list domains."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which answers count. Without networks and mask: any in 127.0.0.0/8."""

    networks: tuple[IPv4Network, ...] = ()
    mask: int = 0

    @classmethod
    def of(cls, answers: Iterable[str], bitmask: str) -> Match:
        """As the settings write it. Raises ValueError."""
        networks = []
        for text in answers:
            try:
                network = IPv4Network(text)
            except ValueError as error:
                raise ValueError(
                    f"{text!r} is no answer such as 127.0.0.2 or 127.0.0.4/30: {error}"
                ) from None
            if not network.subnet_of(_LISTING) or network.subnet_of(_REFUSAL):
                raise ValueError(
                    f"{text!r} never counts: listings are in 127.0.0.0/8, and 127.255.255.0/24 means that the "
                    "provider does not answer us"
                )
            networks.append(network)
        return cls(tuple(networks), _mask_of(bitmask) if bitmask else 0)

    def counts(self, code: IPv4Address) -> bool:
        """code: in 127.0.0.0/8."""
        if not self.networks and not self.mask:
            return True
        if any(code in network for network in self.networks):
            return True
        return bool(self.mask) and int(code) >> 8 == 0x7F0000 and bool(int(code) & self.mask)


def _mask_of(text: str) -> int:
    try:
        number = int(IPv4Address(text))
    except ValueError:
        number = 0
    if number >> 8 != 0x7F0000 or not number & 0xFF:
        raise ValueError(f"{text!r} is no mask such as 127.0.0.6: its last octet has the bits that count")
    return number & 0xFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What the addresses of an answer mean."""

    codes: tuple[str, ...] = ()
    """Those that count: empty means not listed."""
    refused: str = ""
    """127.255.255.x: the provider does not want our questions, and this is no listing."""
    strange: tuple[str, ...] = ()
    """Outside 127.0.0.0/8: a parked or wildcard domain, and no listing (threats M07)."""
    ignored: tuple[str, ...] = ()
    """Listings of a kind that does not count."""


def judge(answers: Sequence[str], match: Match) -> Judged:
    """answers: addresses as text; what is no IPv4 address is strange."""
    codes, refused, strange, ignored = [], "", [], []
    for text in sorted(answers[:ANSWERS_LIMIT]):
        try:
            code = IPv4Address(text)
        except ValueError:
            strange.append(text[:40])
            continue
        if code in _REFUSAL:
            refused = refused or text
        elif code not in _LISTING:
            strange.append(text)
        elif match.counts(code):
            codes.append(text)
        else:
            ignored.append(text)
    if refused:
        codes = []  # who refuses us lists nobody
    return Judged(codes=tuple(codes), refused=refused, strange=tuple(strange), ignored=tuple(ignored))


def reply_text(template: str, placeholders: Sequence[str] = PLACEHOLDERS, /, **values: str) -> str:
    """The words of a refusal, printable and within a reply's length. Raises ValueError for unknown placeholders."""
    for name in _PLACEHOLDER.findall(template):
        if name not in placeholders:
            words = ", ".join(f"{{{word}}}" for word in placeholders)
            raise ValueError(f"{{{name}}} is no placeholder: there are {words}")

    def filled(found: re.Match[str]) -> str:
        return printable(values.get(found[1], ""))

    return _PLACEHOLDER.sub(filled, template)[: 2 * REPLY_LIMIT_CHARACTERS].strip()


def check_reply(text: str, placeholders: Sequence[str] = PLACEHOLDERS) -> str:
    """The same words. Raises ValueError for what is no reply of a listing agent: for validators of settings."""
    if not text or len(text) > REPLY_LIMIT_CHARACTERS or not (text.isascii() and text.isprintable()):
        raise ValueError(f"is 1 to {REPLY_LIMIT_CHARACTERS} printable ASCII characters")
    reply_text(text, placeholders)
    return text


def printable(text: str | bytes) -> str:
    """A provider's words for a reply, a log, a terminal."""
    if isinstance(text, bytes):
        text = text.decode("ascii", "replace")
    return "".join(c if " " <= c <= "~" else "?" for c in text[:TEXT_LIMIT_CHARACTERS])
