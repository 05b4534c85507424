"""What we say to an SMTP client: one reply, with its code, its enhanced code and its words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, final

CHALLENGE_CODE: Final = 334
REPLY_LINE_LIMIT_BYTES: Final = 512  # RFC 5321 §4.5.3.1.5
POSITIVE_BELOW: Final = 400
HANG_UP_CODES: Final = frozenset({221, 421, 521})
"""They announce that we close (RFC 5321 §3.8, RFC 7504)."""


@final
@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply: code (RFC 5321 §4.2), enhanced code (RFC 3463), text.

    The text may reach a stranger: it names the rule that was broken, never a
    host, a path, an exception or a setting of ours. `more` holds the further
    lines of a multi-line reply (EHLO).

    Raises ValueError when the codes disagree or the text is not one printable line.
    """

    code: int
    enhanced: str
    text: str
    more: tuple[str, ...] = ()
    _wire: bytes = field(default=b"", init=False, repr=False, compare=False)
    """What encode() returned: most replies are constants, said all day."""

    def __post_init__(self) -> None:
        if not 200 <= self.code <= 599:
            raise ValueError(f"{self.code} is not an SMTP reply code")
        if self.enhanced and self.enhanced[0] != str(self.code)[0]:
            raise ValueError(f"{self.code} and {self.enhanced} disagree on the class")
        if not self.text.isprintable() or (self.more and not all(map(str.isprintable, self.more))):
            raise ValueError("a reply line is printable text")

    @property
    def is_positive(self) -> bool:
        """2xx and 3xx: the client may go on as it wished."""
        return self.code < POSITIVE_BELOW

    @property
    def is_temporary(self) -> bool:
        """4xx: the same command may work later."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """5xx: the same command will fail again."""
        return self.code >= 500

    @property
    def hangs_up(self) -> bool:
        """221, 421 (RFC 5321 §3.8) and 521 (RFC 7504) announce that we close."""
        return self.code in HANG_UP_CODES

    def encode(self) -> bytes:
        """The bytes for the wire, each line within 512 octets (RFC 5321 §4.5.3.1.5) unless it is a challenge."""
        wire = self._wire
        if not wire:
            wire = _encoded(self)
            object.__setattr__(self, "_wire", wire)  # kept beside the value; it stays what it is
        return wire

    def __str__(self) -> str:
        if self.enhanced and self.text:
            return f"{self.code} {self.enhanced} {self.text}"
        return " ".join(p for p in (str(self.code), self.enhanced, self.text) if p)


def _encoded(reply: Reply) -> bytes:
    if reply.code == CHALLENGE_CODE:  # the blank is part of it, and a challenge may be long (RFC 4954 §4)
        return f"{CHALLENGE_CODE} {reply.text}\r\n".encode("ascii", "replace")
    enhanced = f"{reply.enhanced} " if reply.enhanced else ""
    if not reply.more:
        return _wire_line(f"{reply.code} {enhanced}{reply.text}".rstrip())
    *before, last = (reply.text, *reply.more)
    lines = [f"{reply.code}-{enhanced}{line}" for line in before]
    lines.append(f"{reply.code} {enhanced}{last}".rstrip())
    return b"".join(map(_wire_line, lines))


def _wire_line(line: str) -> bytes:
    return line.encode("ascii", "replace")[: REPLY_LINE_LIMIT_BYTES - 2] + b"\r\n"


OUR_FAULT: Final = Reply(451, "4.3.0", "Local error in processing, try again later")
"""What a peer hears about a bug of ours or a failing world: always the same words."""
