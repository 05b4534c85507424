"""What was said on a connection, line by line, as Exchange's protocol and connectivity logs. No password, no content.

Pure but for the sink: lines go where the caller says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Final

from gatepost.records.csv_log import cell
from gatepost.records.tracking import iso_time
from gatepost.records.values import shown

PROTOCOL_FIELDS: Final = (
    "date-time",
    "connector-id",
    "session-id",
    "sequence-number",
    "local-endpoint",
    "remote-endpoint",
    "event",
    "data",
    "context",
)
CONNECTIVITY_FIELDS: Final = ("date-time", "session", "source", "destination", "direction", "description")
LINE_LIMIT_BYTES: Final = 2048
LINES_LIMIT: Final = 10_000
"""Lines of one session; what follows is not written."""
MASKED: Final = "***"

Sink = Callable[[str], None]
"""Takes one line of CSV with its CR LF. Never blocks, never raises."""
_CHALLENGE: Final = re.compile(r"334[ -]")


class Mark(Enum):
    """The event column."""

    CONNECT = "+"
    DISCONNECT = "-"
    SENT = ">"
    RECEIVED = "<"
    INFORMATION = "*"


@dataclass(slots=True, kw_only=True)
class Transcript:
    """One session's lines. local, remote: address and port.  now: seconds since the epoch."""

    sink: Sink
    now: Callable[[], float]
    connector: str
    session_id: str
    local: str
    remote: str
    _numbers: Iterator[int] = field(default_factory=count)
    _partial: bytearray = field(default_factory=bytearray)
    _in_auth: bool = False
    _is_over: bool = False

    def connected(self) -> None:
        """The connection is there."""
        self._write(Mark.CONNECT, "")

    def disconnected(self) -> None:
        """It is gone; said once."""
        if not self._is_over:
            self._write(Mark.DISCONNECT, "")
            self._is_over = True

    def note(self, text: str) -> None:
        """Something that is no line of the protocol: TLS, the octets of a message."""
        self._write(Mark.INFORMATION, "", text)

    def replied(self, octets: bytes) -> None:
        """Our replies to a client; challenges of AUTH are not for the log."""
        for line in _lines(octets):
            self._write(Mark.SENT, f"334 {MASKED}" if _CHALLENGE.match(line) else line)

    def asked(self, text: str) -> None:
        """A client's command, as it was understood; passwords are left out by the caller."""
        self._write(Mark.RECEIVED, text)

    def commanded(self, octets: bytes) -> None:
        """Our commands to a next hop. What follows AUTH is masked until the next hop has decided (threats E15)."""
        for line in _lines(octets):
            self._write(Mark.SENT, self._without_secrets(line))

    def _without_secrets(self, line: str) -> str:
        words = line.split(" ", 2)
        if self._in_auth:
            return MASKED
        if words[0].upper() != "AUTH":
            return line
        self._in_auth = True
        return " ".join([*words[:2], *([MASKED] if len(words) > 2 else [])])

    def heard(self, octets: bytes) -> None:
        """What a next hop says, in any pieces."""
        self._partial += octets
        *whole, rest = bytes(self._partial).split(b"\n")
        self._partial = bytearray(rest[:LINE_LIMIT_BYTES])
        for line in whole:
            text = line.rstrip(b"\r").decode("utf-8", "backslashreplace")
            if _CHALLENGE.match(text):
                text = f"334 {MASKED}"
            else:
                self._in_auth = False
            self._write(Mark.RECEIVED, text)

    def _write(self, mark: Mark, data: str, context: str = "") -> None:
        number = next(self._numbers)
        if self._is_over or number > LINES_LIMIT:
            return
        self.sink(
            csv_line(
                iso_time(self.now()),
                self.connector,
                self.session_id,
                number,
                self.local,
                self.remote,
                mark.value,
                data[:LINE_LIMIT_BYTES],
                context,
            )
        )


def csv_line(*values: object) -> str:
    """One line with its end; every text on one line and safe for a spreadsheet (threats S01, S02)."""
    return ",".join(cell(shown(v) if isinstance(v, str) else v) for v in values) + "\r\n"


def header_lines(log_type: str, fields: tuple[str, ...], at: float) -> str:
    """What a file begins with."""
    return (
        f"#Software: Gatepost\r\n#Version: 1.0\r\n#Log-Type: {log_type}\r\n"
        f"#Date: {iso_time(at)}\r\n#Fields: {','.join(fields)}\r\n"
    )


def endpoint(ip: str, port: int | str) -> str:
    """ "192.0.2.1:25", "[2001:db8::1]:25"."""
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def _lines(octets: bytes) -> list[str]:
    return octets.decode("utf-8", "backslashreplace").splitlines()
