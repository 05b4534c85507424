"""What is remembered of an attempt that was put off: when it first came, when and how often it came again."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gatepost.model.address import Address

ATTEMPTS_SPACE: Final = "greylist"
NETWORKS_SPACE: Final = "greylist-networks"
STATISTICS_SPACE: Final = "greylist-statistics"
STATISTICS_KEY: Final = "all"
NULL_SENDER: Final = "<>"
_FORM: Final = struct.Struct("<ddI")


class Came(IntEnum):
    """What is counted of attempts, in this order."""

    NEW = 0
    EARLY = 1
    AGAIN = 2
    KNOWN = 3
    NETWORK = 4
    SPARED = 5

    @property
    def amounts(self) -> tuple[float, ...]:
        """One of this."""
        return tuple([float(kind is self) for kind in Came])


@dataclass(frozen=True, slots=True)
class Attempt:
    """0: not yet."""

    first_at: float = 0.0
    passed_at: float = 0.0
    passes: int = 0

    def encode(self) -> bytes:
        """For the state that workers share."""
        return _FORM.pack(self.first_at, self.passed_at, self.passes)

    @classmethod
    def decode(cls, data: bytes | None) -> Attempt:
        """Of a value, or of none; what cannot be read is none."""
        if data is None or len(data) != _FORM.size:
            return cls()
        return cls(*_FORM.unpack(data))


def attempt_key(kind: str, network: str, sender: Address, recipient: Address) -> str:
    """kind: the setting `key`."""
    parts = [network]
    if kind != "network":
        parts.append(sender.domain or NULL_SENDER)
    if kind == "network-sender-recipient":
        parts.append(recipient.key)
    return " ".join(parts)
