"""The messages of a run: recognisable, of many sizes, and with a digest of the part that must arrive unchanged."""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "crash.test"
MARK: Final = b"X-Crash-Ledger: "
USERS: Final = tuple(f"user{n}@{DOMAIN}" for n in range(40))
STRANGERS: Final = tuple(f"nobody{n}@{DOMAIN}" for n in range(10))
SMALLEST_BYTES: Final = 512
LARGEST_BYTES: Final = 100 * 1024
_MARKED: Final = re.compile(rb"(?:^|\r\n)(X-Crash-Ledger: (\S+)\r\n)")


@dataclass(frozen=True, slots=True)
class Mail:
    """One message as the client sends it."""

    name: str
    recipients: tuple[str, ...]
    content: bytes
    """With CR LF at the end of each line and of the whole; dots not yet stuffed."""
    digest: str
    eight_bit: bool = False


class Mailer:
    """Makes the messages of one run; the same seed makes the same ones."""

    def __init__(self, run: str, chance: random.Random, *, large: float = 0.0) -> None:
        """large: the share of bodies above 64 KiB that come beside those of every size."""
        self._large = large
        self._run = run
        self._chance = chance
        self._plain = _text(chance, "abcdefghijklmnopqrstuvwxyz ABC.0123456789")
        self._eight_bit = _text(chance, "äöüßéñ abcdefghijklmnopqrstuvwxyz.")

    def next(self, client: int, number: int) -> Mail:
        """1 to 3 recipients, one in twenty of them unknown to the gateway; most mails are small."""
        chance = self._chance
        name = f"{self._run}.{client}.{number}"
        eight_bit = chance.random() < 0.1
        source = self._eight_bit if eight_bit else self._plain
        size = int(SMALLEST_BYTES * (LARGEST_BYTES / SMALLEST_BYTES) ** (chance.random() ** 1.5))
        if self._large and chance.random() < self._large:
            size = chance.randint(66_000, LARGEST_BYTES)
        start = source.index(b"\r\n", chance.randrange(len(source) - LARGEST_BYTES - 200)) + 2
        body = source[start : source.index(b"\r\n", start + size - 2) + 2]
        recipients = chance.sample(USERS, chance.choice((1, 1, 1, 2, 3)))
        if chance.random() < 0.05:
            recipients[-1] = chance.choice(STRANGERS)
        content = _head(name, recipients, eight_bit=eight_bit) + body
        return Mail(name, tuple(recipients), content, digest_of(content), eight_bit)


def digest_of(part: bytes) -> str:
    """Of the part from the mark on."""
    return hashlib.sha256(part).hexdigest()


def marked_part(content: bytes) -> tuple[str, bytes] | None:
    """The message's name and everything from the mark to the end; None for mail that is not of a ledger."""
    found = _MARKED.search(content)
    return (found[2].decode("ascii", "replace"), content[found.start(1) :]) if found else None


def _head(name: str, recipients: list[str], *, eight_bit: bool) -> bytes:
    fields = [
        MARK.decode() + name,
        "Date: Sun, 22 Nov 2026 12:00:00 +0000",
        f"Message-ID: <{name}@{DOMAIN}>",
        "From: ledger@sender.test",
        f"To: {', '.join(recipients)}",
        f"Subject: ledger {name}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {'8bit' if eight_bit else '7bit'}",
    ]
    return "\r\n".join([*fields, "", ""]).encode("ascii")


def _text(chance: random.Random, letters: str) -> bytes:
    """More than two of the largest messages: lines of 0 to 78 characters, some beginning with dots."""
    lines: list[str] = []
    length = 0
    while length < 3 * LARGEST_BYTES:
        line = "".join(chance.choices(letters, k=chance.randrange(79)))
        lines.append("." * chance.choice((0, 0, 0, 0, 1, 2)) + line)
        length += len(line) + 2
    return ("\r\n".join(lines) + "\r\n").encode()
