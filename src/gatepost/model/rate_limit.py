"""A limit of how much may come in a time, and what of a mail is counted together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gatepost.model.address import Address
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import MailView
from gatepost.model.origin import origin_of

SPACE: Final = "rate-limits"
KEY_LIMIT_CHARACTERS: Final = 200
"""Of one part in what an administrator reads."""


class Counted(Enum):
    """What a limit counts."""

    MAILS = "mails"
    RECIPIENTS = "recipients"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRule:
    """One [rate-limits.NAME]. amount in per_s; by: as the setting says. action: defer, reject or tag."""

    name: str
    by: tuple[str, ...]
    counted: Counted
    amount: int
    per_s: float
    action: str
    exempt: IpRanges = field(default_factory=lambda: IpRanges(()))

    @property
    def half_life_s(self) -> float:
        """Counts that fade with this half-life stay at `amount` when `amount` comes in every `per_s`."""
        return self.per_s * math.log(2)

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
