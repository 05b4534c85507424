"""Maildirs in the world: what lies in `new` is a copy that somebody got."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from gatepost.adapters.maildir import LocalMaildirs
from gatepost.model.fault import WorldFault
from sim.journal import Copy, Journal


class Boxes:
    """Keeps the promise of ports.maildir.Maildirs. place: above all maildirs."""

    def __init__(self, place: Path, journal: Journal) -> None:
        self.place = place
        self._journal = journal
        self._real = LocalMaildirs()

    async def deliver(self, directory: str, name: str, chunks: AsyncIterator[bytes]) -> None:
        """As Maildirs."""
        try:
            await self._real.deliver(directory, name, chunks)
        except WorldFault as fault:  # the same words in every run of a seed
            raise WorldFault(fault.reason.replace(str(self.place), "boxes")) from fault
        self._journal.count("laid down")

    def copies(self) -> Iterator[Copy]:
        """What the owners of the maildirs have by now."""
        yield from self._copies("*/*/new/*")

    def _copies(self, pattern: str) -> Iterator[Copy]:
        for file in sorted(self.place.glob(pattern)):
            data = file.read_bytes()
            _, recipient, mail = data.split(b"\n", 2)
            digest = hashlib.sha256(mail.replace(b"\n", b"\r\n")).hexdigest()
            to = recipient.removeprefix(b"Delivered-To: ").decode()
            yield Copy(digest, to, "", self._journal.now(), wire=None, end=-1)

    def has(self, recipient: str, digest: str) -> bool:
        """It lies in the maildir of this recipient."""
        local, _, domain = recipient.rpartition("@")
        return any(one.digest == digest for one in self._copies(f"{domain}/{local}/new/*"))
