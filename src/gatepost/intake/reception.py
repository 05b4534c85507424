"""The content of one message while it comes in: in memory while small, in a spool file when large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gatepost.message.headers import raw_fields, split
from gatepost.model.content import BodyForm, Content
from gatepost.model.fault import Fault, PeerFault
from gatepost.model.reply import Reply
from gatepost.ports.store import BodySpool

WRITE_BYTES: Final = 256 * 1024
HEADER_STEP_BYTES: Final = 16 * 1024
HEADER_TOO_LARGE: Final = Reply(552, "5.3.4", "Header section exceeds the maximum size")
FIELD_TOO_LARGE: Final = Reply(552, "5.3.4", "Header field exceeds the maximum size")


class Reception:
    """Collects what BodyChunk events bring. One for each transaction.

    memory_body_bytes: above it the body goes to a file. header_bytes: largest header section. field_bytes: longest
    field of it.
    open_spool: makes the file; may raise WorldFault.
    """

    __slots__ = (
        "_failed",
        "_field_bytes",
        "_head",
        "_header_bytes",
        "_is_unwanted",
        "_is_writing",
        "_look_bytes",
        "_memory_bytes",
        "_open_spool",
        "_pieces",
        "_size",
        "_spool",
        "refused_bytes",
    )

    def __init__(
        self,
        open_spool: Callable[[], BodySpool],
        *,
        memory_body_bytes: int,
        header_bytes: int,
        field_bytes: int = 1 << 30,
    ) -> None:
        self._open_spool = open_spool
        self._memory_bytes = self._look_bytes = memory_body_bytes
        self._header_bytes = header_bytes
        self._field_bytes = field_bytes
        self.refused_bytes = 0
        """How large the header section or field was that was refused."""
        self._pieces: list[bytes] = []
        self._size = 0
        self._head: bytes | None = None
        self._spool: BodySpool | None = None
        self._failed: Fault | None = None
        self._is_writing = self._is_unwanted = False
        """A thread has the file; it was discarded meanwhile."""

    def add(self, data: bytes) -> bool:
        """Keep a piece. True when `write_out` has to be awaited before more is added."""
        if self._failed is not None:
            return False  # the rest is read and dropped; `finish` tells why
        self._pieces.append(data)
        self._size += len(data)
        if self._spool is not None:
            return self._size >= WRITE_BYTES
        return self._size > self._look_bytes

    async def write_out(self) -> None:
        """Move what is in memory to the spool file. Never raises a Fault: `finish` does."""
        try:
            if self._spool is None:
                self._begin_spooling()
            if self._spool is not None and self._size:
                data = b"".join(self._pieces)
                self._pieces, self._size = [], 0
                self._is_writing = True
                try:
                    await asyncio.to_thread(self._spool.write, data)
                finally:
                    self._is_writing = False
        except Fault as fault:
            self._fail(fault)
        if self._is_unwanted:
            self.discard()

    async def finish_spooled(self, form: BodyForm) -> Content:
        """The content of a large message, its body synced to disk. Raises Fault."""
        await self.write_out()
        if self._failed is not None:
            raise self._failed
        if self._spool is None:  # a header section larger than what we keep in memory, and no body
            return self.finish(form)
        body = await asyncio.to_thread(self._spool.keep)
        return Content(head=self._head or b"", body=body, form=form)

    def finish(self, form: BodyForm) -> Content:
        """The content of a small message. Raises Fault."""
        if self._failed is not None:
            raise self._failed
        head, body = split(b"".join(self._pieces))
        if len(head) > self._header_bytes or len(head) > self._field_bytes:
            self._refuse_large(head)
        return Content(head=head, body=body, form=form)

    @property
    def is_spooled(self) -> bool:
        """Whether `finish_spooled` is the one to call."""
        return self._spool is not None or (self._failed is None and self._size > self._memory_bytes)

    def keep(self) -> None:
        """The store has taken the content: from now on `discard` leaves its file alone."""
        self._pieces, self._size, self._spool = [], 0, None

    def discard(self) -> None:
        """Forget everything. Safe at any time: a file that a thread writes to is let go when that is done."""
        self._pieces, self._size = [], 0
        self._is_unwanted = True
        if self._spool is not None and not self._is_writing:
            self._spool.discard()
            self._spool = None

    def _begin_spooling(self) -> None:
        head, body = split(b"".join(self._pieces))
        if len(head) > self._header_bytes or len(head) > self._field_bytes:
            self._refuse_large(head)
        if not body and len(head) == self._size:
            # The header section has not ended. It is not read again for every octet that follows.
            self._look_bytes = self._size + HEADER_STEP_BYTES
            return
        self._spool = self._open_spool()
        self._head, self._pieces, self._size = head, [body], len(body)

    def _refuse_large(self, head: bytes) -> None:
        """Raises PeerFault when the section, or one of its fields, is too large."""
        if len(head) > self._header_bytes:
            self.refused_bytes = len(head)
            raise PeerFault(HEADER_TOO_LARGE, "header section too large", size_bytes=len(head))
        longest = max(map(len, raw_fields(head)), default=0)
        if longest > self._field_bytes:
            self.refused_bytes = longest
            raise PeerFault(FIELD_TOO_LARGE, "header field too large", size_bytes=longest)

    def _fail(self, fault: Fault) -> None:
        self._failed = fault
        self.discard()
