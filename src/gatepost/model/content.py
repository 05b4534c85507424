"""What is carried: a mail's header section in memory and its body in memory or in a spool file."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec


@dataclass(frozen=True, slots=True)
class SpooledBody:
    """A body that is too large for memory: a synced file below the store's directory.

    path: relative to the store's body directory. crc32 and size_bytes are of the whole file.
    """

    path: str
    size_bytes: int
    crc32: int


class BodyForm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the framing learned of the bytes of a body in one pass, at no extra cost."""

    size_bytes: int = 0
    has_nul: bool = False
    has_8bit: bool = False
    bare_newlines: bool = False
    """Bare LF (tolerated for a named legacy client, or inside BDAT), normalised on output."""
    longest_line_bytes: int = 0
    """Without CR LF, exact up to the reader's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One mail's bytes as received: head + body is the message.

    head: the header section including the empty line that ends it (b"\\r\\n" at least
          when the message has a body; may lack it when the message is headers only).
    body: everything after it.
    """

    head: bytes
    body: bytes | SpooledBody
    form: BodyForm = BodyForm()

    @property
    def size_bytes(self) -> int:
        """Octets of head and body together."""
        body = self.body
        return len(self.head) + (body.size_bytes if isinstance(body, SpooledBody) else len(body))
