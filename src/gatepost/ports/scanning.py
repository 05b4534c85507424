"""Processes of their own for code that a hostile mail may kill: a question goes out, an answer comes back."""

from __future__ import annotations

from typing import Protocol

from gatepost.model.fault import WorldFault


class ScanDied(WorldFault):
    """The process that had the question did not live to answer it: too long, too much memory, or a crash."""


class Scanner(Protocol):
    """Reaches whichever scan worker is free. What is in question and answer is the business of `policy`."""

    async def ask(self, question: bytes) -> bytes:
        """The answer's octets.

        Raises ScanDied, and WorldFault when no scan worker could be asked in time.
        """
