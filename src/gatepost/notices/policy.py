"""Who hears of what became of a mail: the table of when to keep silent (threats L04, L05, L09, L11)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gatepost.message.headers import HeaderIndex
from gatepost.model.address import Address
from gatepost.model.envelope import Notify
from gatepost.model.queued import QueuedMail, QueuedRecipient


class Kind(Enum):
    """Which notice."""

    FAILURE = "failure"
    DELAY = "delay"
    SUCCESS = "success"
    """Delivered, or relayed to a host that does not report itself: for NOTIFY=SUCCESS only."""


class Silence(Enum):
    """Why nobody is told."""

    NULL_SENDER = "the mail has no sender to tell"
    OWN_NOTICE = "the mail is a notice of ours"
    UNKNOWN_SENDER = "nobody knows whether the sender is who it says (notices.to, notices.proofs)"
    REMOTE_DOMAIN = "the sender's domain gets no such notices (remote-domains)"
    RATE = "too many notices went to the sender's domain within the hour (notices.hourly-limit)"
    SENDER_RATE = "too many notices went to the sender within the hour (notices.hourly-limit-per-sender)"
    SPAM = "the mail counts as spam and its sender is not known to be who it says"
    NO_WAY = "no send connector carries the sender's domain"
    NOT_WANTED = "the sender asked not to be told"
    AUTOMATIC = "the mail was sent by a machine"


@dataclass(frozen=True, slots=True)
class Audience:
    """The recipients the sender hears about; empty with the reason. The rest are silent by NOTIFY."""

    recipients: tuple[QueuedRecipient, ...] = ()
    silence: Silence | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings say about one mail's sender.

    to_everyone:   notices go to senders whose return path nobody has proven, too.
    spam_from_scl: the level from which mail of an unknown sender is answered by nothing, since its
                   return path is most likely somebody else's.
    refused:       kinds of notices that do not go to the sender's domain.
    """

    to_everyone: bool = False
    spam_from_scl: int
    refused: frozenset[Kind] = frozenset()


# Asked for by NOTIFY -> told about. Nothing asked means failures and delays (RFC 3461 §4.1 leaves it to us).
_WANTED: Final[dict[Kind, tuple[Notify, bool]]] = {
    Kind.FAILURE: (Notify.FAILURE, True),
    Kind.DELAY: (Notify.DELAY, True),
    Kind.SUCCESS: (Notify.SUCCESS, False),
}


def who_hears(
    mail: QueuedMail, recipients: Sequence[QueuedRecipient], kind: Kind, *, head: bytes, rules: Rules
) -> Audience:
    """Whether the sender of a mail is told about these recipients, and about which of them."""
    silence = _silence(mail, kind, head, rules)
    if silence is not None:
        return Audience(silence=silence)
    told = tuple(r for r in recipients if _is_wanted(r.recipient.notify, kind))
    return Audience(told) if told else Audience(silence=Silence.NOT_WANTED)


def may_answer_automatically(index: HeaderIndex, sender: Address) -> bool:
    """Whether anything but a delivery status notice may go to the sender of this mail (RFC 3834 §2, threats L09)."""
    if sender.is_null or _ROBOT.fullmatch(sender.key.partition("@")[0]):
        return False
    auto_submitted = index.first(b"auto-submitted")
    if auto_submitted is not None and auto_submitted.partition(b";")[0].strip().lower() != b"no":
        return False
    if any(value.strip().lower() in (b"bulk", b"list", b"junk") for value in index.all(b"precedence")):
        return False
    return not any(index.count(name) for name in _MACHINE_FIELDS)


_ROBOT: Final = re.compile(
    r"mailer-daemon|postmaster|listserv|majordomo|no-?reply|owner-.*|.*-(?:request|bounces?|owner)"
)
_MACHINE_FIELDS: Final = (
    b"list-id",
    b"list-unsubscribe",
    b"list-post",
    b"x-auto-response-suppress",
    b"feedback-id",
)


def _silence(mail: QueuedMail, kind: Kind, head: bytes, rules: Rules) -> Silence | None:
    if not mail.sender.domain:
        return Silence.NULL_SENDER
    if mail.is_notice:
        return Silence.OWN_NOTICE
    if not (mail.authenticated or mail.proof.holds or rules.to_everyone):
        return Silence.UNKNOWN_SENDER
    if not mail.authenticated and mail.scl >= rules.spam_from_scl:
        return Silence.SPAM
    if kind in rules.refused:
        return Silence.REMOTE_DOMAIN
    if kind is Kind.DELAY and not may_answer_automatically(HeaderIndex.parse(head), mail.sender):
        return Silence.AUTOMATIC
    return None


def _is_wanted(notify: Notify, kind: Kind) -> bool:
    flag, by_default = _WANTED[kind]
    return by_default if notify.value == 0 else flag in notify
