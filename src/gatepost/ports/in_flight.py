"""Which mails are in work, written where a crash leaves it readable."""

from __future__ import annotations

from typing import Protocol


class InFlight(Protocol):
    """Slots in a mapped file. Never blocks on the disk."""

    def enter(self, mail_id: int) -> int:
        """Note the mail before its attempt begins; the slot to leave."""

    def leave(self, slot: int) -> None:
        """Its settlement was committed."""
