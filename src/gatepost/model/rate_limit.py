"""A limit of how much may come in a time, and what of a mail is counted together."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gatepost.model.address import Address
from gatepost.model.fading import Drains
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import MailView
from gatepost.model.origin import origin_of

SPACE: Final = "rate-limits"
KEY_LIMIT_CHARACTERS: Final = 200
"""Of one part in what an administrator reads."""
_ROUNDING: Final = 1e-6
"""A bucket that has drained by exactly one mail has room for one."""


class Counted(Enum):
    """What a limit counts."""

    MAILS = "mails"
    RECIPIENTS = "recipients"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRule:
    """One [rate-limits.NAME]. by: as the setting says. action: defer, reject or tag.

    Each key has a bucket of `burst` that drains by `amount` in per_s; what would make it overflow is beyond the limit.
    """

    name: str
    by: tuple[str, ...]
    counted: Counted
    amount: int
    per_s: float
    action: str
    burst: int = 0
    """How much may come at once; 0: amount."""
    exempt: IpRanges = field(default_factory=lambda: IpRanges(()))

    @property
    def capacity(self) -> int:
        """What fits into a bucket."""
        return self.burst or self.amount

    @property
    def drains(self) -> Drains:
        """How fast it becomes empty."""
        return Drains(self.amount / self.per_s)

    def is_beyond(self, level: float, amount: int) -> bool:
        """Whether so much more does not fit any more."""
        return level + amount > self.capacity + _ROUNDING

    def key_for(self, mail: MailView) -> str:
        """What this mail is counted with; "": the limit does not hold for it."""
        if mail.session.client_ip in self.exempt:
            return ""
        parts = [self.name]
        for part in self.by:
            value = _part_of(part, mail)
            if not value:
                return ""
            parts.append(value)
        return " ".join(parts)


def _part_of(part: str, mail: MailView) -> str:
    match part:
        case "client":
            return origin_of(mail.session.client_ip).source
        case "network":
            return origin_of(mail.session.client_ip).network
        case "user":
            return mail.session.user.lower()
        case "sender":
            return mail.sender.key or "<>"
        case "sender-domain":
            return mail.sender.domain or "<>"
        case _:
            address = mail.recipient.address if mail.recipient is not None else Address("", "")
            return address.key if part == "recipient" else address.domain
