"""Content on its way out: line ends made regular, dots doubled, whatever the cut (RFC 5321 §4.5.2)."""

from __future__ import annotations

import re
from typing import Final

from gatepost.protocol.data import lines_of

_ANY_NEWLINE: Final = re.compile(rb"\r\n|\r|\n")
END_OF_DATA: Final = b".\r\n"


def has_only_crlf(data: bytes) -> bool:
    """True when CR and LF occur only as the pair CR LF (RFC 5321 §2.3.8)."""
    return not lines_of(data)[1]


def normalized(data: bytes) -> bytes:
    """Every bare CR and bare LF becomes CR LF: the next hop never sees one (threats A18)."""
    return data if has_only_crlf(data) else _ANY_NEWLINE.sub(b"\r\n", data)


class NewlineNormalizer:
    """`normalized` over content that comes in pieces; the cuts make no difference."""

    def __init__(self) -> None:
        self._held_cr = b""

    def feed(self, data: bytes) -> bytes:
        """The next piece, normalised. A CR at its end waits for what follows."""
        if self._held_cr:
            data = self._held_cr + data
        self._held_cr = b"\r" if data.endswith(b"\r") else b""
        return normalized(data[:-1] if self._held_cr else data)

    def finish(self) -> bytes:
        """What was held back."""
        held, self._held_cr = self._held_cr, b""
        return b"\r\n" if held else b""


class DataEncoder:
    """Content for DATA in pieces: normalised, dots doubled at the start of lines, ended by CR LF . CR LF."""

    def __init__(self) -> None:
        self._newlines = NewlineNormalizer()
        self._at_line_start = True

    def feed(self, data: bytes) -> bytes:
        """The next piece as it goes on the wire."""
        return self._stuffed(self._newlines.feed(data))

    def finish(self) -> bytes:
        """The rest and the end of data."""
        rest = self._stuffed(self._newlines.finish())
        return rest + (END_OF_DATA if self._at_line_start else b"\r\n" + END_OF_DATA)

    def _stuffed(self, text: bytes) -> bytes:
        if not text:
            return b""
        first = b"." if self._at_line_start and text.startswith(b".") else b""
        self._at_line_start = text.endswith(b"\r\n")
        return first + text.replace(b"\r\n.", b"\r\n..")


def encode_data(content: bytes) -> bytes:
    """A whole mail as DATA wants it, the end of data included; as a DataEncoder makes it of pieces."""
    text = normalized(content).replace(b"\r\n.", b"\r\n..")
    first = b"." if text.startswith(b".") else b""
    end = END_OF_DATA if not text or text.endswith(b"\r\n") else b"\r\n" + END_OF_DATA
    return first + text + end
