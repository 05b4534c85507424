"""The parts of a mail that hold something, for reading attachments that strangers made: reports, above all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gatepost.message.contents import attached
from gatepost.message.encodings import Encoding, decode
from gatepost.message.structure import Structure, StructureLimits
from gatepost.message.walk import walk

PARTS_LIMIT: Final = 100
"""Parts looked at, multiparts included; what follows is not seen."""
DEPTH_LIMIT: Final = 10
LIMITS: Final = StructureLimits(parts=PARTS_LIMIT, depth=DEPTH_LIMIT, delimiter_lines=1000)
"""Tighter than those of mail in general: a report is made by a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One part that is no multipart. media_type: lower case. names: every reading of its file's name."""

    media_type: str
    names: tuple[str, ...]
    encoding: Encoding
    encoded: bytes = field(repr=False)

    def decoded(self) -> bytes:
        """What it holds, as far as it can be read."""
        return decode(self.encoding, self.encoded, LIMITS.leaf_bytes).octets


def leaves(mail: bytes) -> Iterator[Leaf]:
    """In their order, those of attached mails too. Takes any bytes, raises nothing."""
    structure = walk(mail, LIMITS)
    yield from _leaves_of(mail, structure)
    for inner in attached(mail, structure, LIMITS):
        yield from _leaves_of(inner.octets, inner.structure)


def _leaves_of(mail: bytes, structure: Structure) -> Iterator[Leaf]:
    for _, part in structure.leaves:
        yield Leaf(
            media_type=part.media_type,
            names=part.names,
            encoding=part.encoding,
            encoded=mail[part.body_at : part.end],
        )
