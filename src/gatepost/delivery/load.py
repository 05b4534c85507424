"""The content of one mail on its way to the wire: whole from memory, or piece by piece from its file."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from gatepost.model.content import Content, SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.ports.bodies import BodyFiles
from gatepost.protocol.outgoing import DataEncoder, NewlineNormalizer, encode_data


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be carried. binary: BODY=BINARYMIME, every octet as it is, by BDAT."""

    content: Content
    binary: bool
    bodies: BodyFiles
    body_path: Callable[[SpooledBody], str]

    def whole_for_data(self) -> bytes | None:
        """Everything for DATA with its end; None when the body is in a file."""
        body = self.content.body
        return encode_data(self.content.head + body) if isinstance(body, bytes) else None

    async def pieces_for_data(self) -> AsyncIterator[bytes]:
        """As `whole_for_data`, in pieces; the last one ends the data. Raises WorldFault before that one."""
        encoder = DataEncoder()
        async for piece in self.pieces():
            yield encoder.feed(piece)
        yield encoder.finish()

    async def pieces_for_bdat(self) -> AsyncIterator[bytes]:
        """Octets for chunks; bare newlines become CR LF unless the mail is binary (threats A18)."""
        newlines = NewlineNormalizer()
        async for piece in self.pieces():
            yield piece if self.binary else newlines.feed(piece)
        yield newlines.finish()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Head and body as stored. Raises WorldFault when the file is gone or not what was written."""
        yield self.content.head
        body = self.content.body
        if isinstance(body, bytes):
            yield body
            return
        crc32, size_bytes = 0, 0
        async for piece in self.bodies.chunks(self.body_path(body)):
            crc32, size_bytes = zlib.crc32(piece, crc32), size_bytes + len(piece)
            yield piece
        if (crc32, size_bytes) != (body.crc32, body.size_bytes):
            raise WorldFault("the stored body is damaged", path=body.path)
