"""What came of other domains' mail today, counted for the DMARC reports they ask for (RFC 9990)."""

from __future__ import annotations

from typing import Final

import msgspec

from gatepost.records.days import DayCounts
from gatepost.standards.dmarc_report_writing import SeenMail

DOMAIN_ROWS: Final = 5000
"""Most rows of one domain; mails of others are only in the sum."""


class DomainMails(msgspec.Struct):
    """One domain's: where its record stands, what it says, and the rows."""

    published: tuple[str, ...] = ()
    rua: tuple[tuple[str, int], ...] = ()
    rows: dict[str, int] = msgspec.field(default_factory=dict)
    """SeenMail as JSON, and how many mails."""
    left_out: int = 0

    def add(self, row: str, count: int, *, may_grow: bool = True) -> bool:
        """Whether it is a new row."""
        held = self.rows.get(row)
        if held is None and (not may_grow or len(self.rows) >= DOMAIN_ROWS):
            self.left_out += count
            return False
        self.rows[row] = (held or 0) + count
        return held is None

    def seen(self) -> list[tuple[SeenMail, int]]:
        """The rows, those of most mails first. What a damaged file made of one is left out."""
        found = []
        for row, count in sorted(self.rows.items(), key=lambda item: (-item[1], item[0])):
            try:
                found.append((msgspec.json.decode(row, type=SeenMail), count))
            except (msgspec.DecodeError, RecursionError):
                self.left_out += count
        return found


class DmarcDay(msgspec.Struct):
    """One day, "2026-11-27" in UTC."""

    day: str = ""
    domains: dict[str, DomainMails] = msgspec.field(default_factory=dict)
    rows: int = 0
    """Of all domains."""

    def merge(self, other: DmarcDay) -> None:
        """Another worker's results of the same day."""
        for domain, mails in other.domains.items():
            held = self.domains.setdefault(domain, DomainMails(mails.published, mails.rua))
            held.left_out += mails.left_out
            for row, count in mails.rows.items():
                self.rows += held.add(row, count)


class DmarcResults(DayCounts[DmarcDay]):
    """One worker's. rows_limit: most rows of all domains in a day; mails of others are only in the sum."""

    def __init__(self, domains_limit: int, rows_limit: int) -> None:
        super().__init__(DmarcDay, domains_limit)
        self._rows_limit = rows_limit

    def count(
        self, domain: str, published: tuple[str, ...], rua: tuple[tuple[str, int], ...], seen: SeenMail
    ) -> None:
        """One mail. The record counts as it was seen last."""
        if not self.admits(domain):
            return
        today = self.today
        mails = today.domains.get(domain)
        if mails is None:
            mails = today.domains[domain] = DomainMails()
        mails.published, mails.rua = published, rua
        row = msgspec.json.encode(seen).decode("utf-8")
        today.rows += mails.add(row, 1, may_grow=today.rows < self._rows_limit)
