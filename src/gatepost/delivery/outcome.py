"""What an answer of the next hop means for a recipient: delivered, not yet, or never."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Final

import msgspec

from gatepost.model.queued import QueuedRecipient
from gatepost.model.reply import Reply
from gatepost.protocol.replies import safe_text
from gatepost.protocol.smtp_client import Answer, Step

_ONE_TOO_MANY: Final = (452, 552)
_TOO_MANY_RECIPIENTS: Final = 552  # RFC 5321 §4.5.3.1.10: after RCPT it counts as 452


class Fate(Enum):
    """How one attempt ended for one recipient."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """One recipient after one attempt. reply: one safe line.

    we_report: nobody behind us sends reports (RFC 3461 §5.2.3): who asked for one gets ours.
    """

    recipient: QueuedRecipient
    fate: Fate
    reply: str
    we_report: bool = False
    is_glitch: bool = False
    """The conversation broke off before the content: trying again soon repeats nothing."""
    is_one_too_many: bool = False
    """The next hop takes no more recipients in one transaction: another may take this one."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt to deliver a parcel: an outcome for each of its recipients, and where it went."""

    outcomes: tuple[Outcome, ...]
    host: str = ""
    ip: str = ""
    goes_on: bool = False
    """The mail was looked into and is not for us: it is to be routed on. The outcomes say nothing then."""
    tls: str = ""
    """The TLS version, "" in the clear."""


def fate_of(answer: Answer) -> Fate:
    """The rules of the reply codes (RFC 5321 §4.2.1, §4.5.4; threats N06, N08)."""
    if answer.reply.is_positive:
        return Fate.DELIVERED if answer.step is Step.END_OF_DATA else Fate.DEFERRED
    if answer.step is Step.RCPT and answer.reply.code == _TOO_MANY_RECIPIENTS:
        return Fate.DEFERRED
    return Fate.FAILED if answer.reply.is_permanent else Fate.DEFERRED


def _is_one_too_many(answer: Answer) -> bool:
    """452, or 552 from servers before RFC 5321, to RCPT; a full mailbox says so by its enhanced code."""
    is_one = answer.step is Step.RCPT and answer.reply.code in _ONE_TOO_MANY
    return is_one and answer.reply.enhanced in ("", "4.5.3", "5.5.3")


def outcomes_of(
    recipients: Sequence[QueuedRecipient],
    answers: Sequence[Answer | None],
    *,
    unknown: str = "",
    we_report: bool = False,
    is_glitch: bool = False,
) -> tuple[Outcome, ...]:
    """One outcome a recipient; an answer that is missing is "not yet", for the reason `unknown`.

    is_glitch: of those without an answer.

    Fewer answers than recipients (a peer that lost count) leave the rest unknown.
    """
    padded = (*answers, *[None] * (len(recipients) - len(answers)))
    return tuple(
        [
            Outcome(recipient, Fate.DEFERRED, safe_text(unknown), is_glitch=is_glitch)
            if answer is None
            else Outcome(
                recipient,
                fate_of(answer),
                answer.reply.text,
                we_report,
                is_one_too_many=_is_one_too_many(answer),
            )
            for recipient, answer in zip(recipients, padded, strict=True)
        ]
    )


def all_alike(recipients: Sequence[QueuedRecipient], fate: Fate, reply: Reply | str) -> tuple[Outcome, ...]:
    """The same fate for everybody."""
    text = safe_text(str(reply))
    return tuple(Outcome(recipient, fate, text) for recipient in recipients)
