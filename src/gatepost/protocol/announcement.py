"""What the answer to EHLO announces: one line for each extension that is offered now (RFC 5321 §4.1.1.1)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gatepost.model.reply import Reply
from gatepost.protocol.events import Offer

CACHED_ANNOUNCEMENTS: Final = 256
"""Answers that are remembered: the same clients come back, and an answer has a dozen lines."""
HIGHEST_LIMIT: Final = 999_999
"""A value of LIMITS has six digits at most (RFC 9422 §4); who allows more need not say so."""


@lru_cache(maxsize=CACHED_ANNOUNCEMENTS)
def announced(offer: Offer, greeting: str, *, tls: bool, authenticated: bool) -> Reply:
    """The 250 to EHLO with everything the offer announces; greeting stands behind our name.

    tls: the session is encrypted. authenticated: AUTH has succeeded. Both change what is worth announcing.
    """
    lines = [
        ("PIPELINING", offer.pipelining),
        (f"SIZE {offer.size_bytes}", True),
        ("8BITMIME", offer.eight_bit_mime),
        ("SMTPUTF8", offer.smtputf8),
        ("DSN", offer.dsn),
        ("CHUNKING", offer.chunking),
        ("BINARYMIME", offer.chunking and offer.binary_mime),
        ("ENHANCEDSTATUSCODES", True),
        ("STARTTLS", offer.starttls and not tls),
        ("REQUIRETLS", offer.require_tls and tls),
        (f"AUTH {' '.join(offer.auth)}", bool(offer.auth) and not authenticated),
        (f"XCLIENT {' '.join(offer.xclient)}", bool(offer.xclient)),
        (f"LIMITS RCPTMAX={offer.recipients}{_mail_max(offer)}", True),
        ("HELP", True),
    ]
    more = tuple(line for line, is_said in lines if is_said)
    return Reply(250, "", f"{offer.hostname} {greeting}".strip(), more)


def _mail_max(offer: Offer) -> str:
    return f" MAILMAX={offer.messages}" if 0 < offer.messages <= HIGHEST_LIMIT else ""
