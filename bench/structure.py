"""What finding the parts of a mail costs, beside the standard library: CPU microseconds a mail.

python -m bench.structure [CORPUS.jsonl.gz ...]    lines with "raw", a mail; without, only one of our own
"""

from __future__ import annotations

import base64
import email
import email.policy
import gzip
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

from gatepost.message.contents import looked_into
from gatepost.message.headers import HeaderIndex, body_at
from gatepost.message.structure import LIMITS
from gatepost.message.walk import walk

ROUNDS: Final = 7
MAILS_LIMIT: Final = 500
_LINE: Final = b"The quick brown fox jumps over the lazy dog, and does it once more before lunch.\r\n"
USUAL: Final = (
    b"Received: from client.test ([192.0.2.7]) by other.test with ESMTP;\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n" * 4
    + b"From: Ann <ann@client.test>\r\nTo: bob@gate.test\r\nSubject: hello\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@client.test>\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="=_outer"\r\n\r\n'
    b'--=_outer\r\nContent-Type: multipart/alternative; boundary="=_inner"\r\n\r\n'
    b"--=_inner\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + _LINE * 20 + b"\r\n"
    b"--=_inner\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    + _LINE * 30 + b"\r\n--=_inner--\r\n\r\n"
    b'--=_outer\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n'
    b'Content-Disposition: attachment; filename="a.pdf"\r\n\r\n'
    + base64.encodebytes(bytes(30_000)).replace(b"\n", b"\r\n") + b"--=_outer--\r\n"
)  # fmt: skip


def _walked(mail: bytes) -> None:
    walk(mail)


def _decoded(mail: bytes) -> None:
    for _, part in walk(mail).leaves:
        looked_into(mail, part, LIMITS)


def _indexed(mail: bytes) -> None:
    HeaderIndex.parse_once(mail[: body_at(mail)])


def _compat32(mail: bytes) -> None:
    email.message_from_bytes(mail)


def _compat32_decoded(mail: bytes) -> None:
    for part in email.message_from_bytes(mail).walk():
        part.get_payload(decode=True)


def _modern(mail: bytes) -> None:
    email.message_from_bytes(mail, policy=email.policy.default)


READERS: Final[tuple[tuple[str, Callable[[bytes], None]], ...]] = (
    ("walk", _walked),
    ("of it the header section, which every mail has read anyway", _indexed),
    ("walk, and all decoded and looked through", _decoded),
    ("standard library, compat32", _compat32),
    ("standard library, compat32, all decoded", _compat32_decoded),
    ("standard library, policy.default", _modern),
)


def cost_us(read: Callable[[bytes], None], mails: list[bytes]) -> float:
    """CPU microseconds a mail."""
    before = time.process_time()
    for mail in mails:
        try:
            read(mail)
        except (IndexError, RecursionError):
            continue  # policy.default, on real mail
    return (time.process_time() - before) / len(mails) * 1e6


def mails_of(path: str) -> Iterator[bytes]:
    """Mails of a gzipped file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for _, line in zip(range(MAILS_LIMIT), lines, strict=False):
            yield json.loads(line)["raw"].encode("latin-1").replace(b"\n", b"\r\n")


def main() -> None:
    """Rounds are interleaved: a busy machine is busy for all."""
    groups = {"our own": [USUAL] * 200}
    for path in sys.argv[1:]:
        groups[path.rpartition("/")[2]] = list(mails_of(path))
    for name, mails in groups.items():
        print(f"{name}: {len(mails)} mails, {statistics.fmean(map(len, mails)):.0f} octets each")
        taken: dict[str, list[float]] = {reader: [] for reader, _ in READERS}
        for _ in range(ROUNDS):
            for reader, read in READERS:
                taken[reader].append(cost_us(read, mails))
        for reader, figures in taken.items():
            print(f"  {reader:60} {statistics.median(figures):8.1f} us (least {min(figures):.1f})")


if __name__ == "__main__":
    main()
