"""Mails that control took away: left alone until its own transaction is durable."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Withdrawn:
    """Mails that control is changing: not to be leased for a moment."""

    until: dict[int, float] = field(default_factory=dict)

    def ids(self, now: float) -> frozenset[int]:
        self.until = {mail_id: until for mail_id, until in self.until.items() if until > now}
        return frozenset(self.until)
