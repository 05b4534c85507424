"""The envelope: who sent a mail, who is to get it, and what the client asked for (RFC 5321 §2.3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, Flag

import msgspec

from gatepost.model.address import Address


class BodyType(Enum):
    """BODY= of MAIL (RFC 6152, RFC 3030)."""

    SEVEN_BIT = "7BIT"
    EIGHT_BIT_MIME = "8BITMIME"
    BINARY_MIME = "BINARYMIME"


class Notify(Flag):
    """NOTIFY= of RCPT (RFC 3461 §4.1). DEFAULT (nothing asked) means failure and delay."""

    DEFAULT = 0
    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8


class Ret(Enum):
    """RET= of MAIL (RFC 3461 §4.3): how much of the mail a failure notice returns."""

    FULL = "FULL"
    HDRS = "HDRS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One forward path and its delivery status options (RFC 3461)."""

    address: Address
    notify: Notify = Notify.DEFAULT
    orcpt: str = ""
    """The original recipient as "type;address", decoded from xtext; "" when not given."""

    def __post_init__(self) -> None:
        if self.notify and Notify.NEVER in self.notify and self.notify != Notify.NEVER:
            raise ValueError("NOTIFY=NEVER stands alone (RFC 3461 §4.1)")


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The envelope of one transaction, complete."""

    sender: Address
    recipients: tuple[Recipient, ...]
    body: BodyType = BodyType.SEVEN_BIT
    smtputf8: bool = False
    require_tls: bool = False
    ret: Ret | None = None
    envid: str = ""
    """ENVID= decoded from xtext (RFC 3461 §4.4); "" when not given."""
