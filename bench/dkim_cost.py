"""What one DKIM check costs: a mail of 16 KiB, RSA-2048, relaxed/relaxed, its key in memory; dkimpy beside it.

python -m bench.dkim_cost
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import dkim  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from gatepost.message.headers import split
from gatepost.standards.dkim import Terms, check
from gatepost.standards.dkim_canon import BodyHasher, BodyWish, SignedFields
from gatepost.standards.dkim_sign import PrivateKey, SigningKey, dkim_signature, names_to_sign
from gatepost.standards.dkim_signature import Signature, considered, fields_of

BODY_BYTES = 16 * 1024
WISH = BodyWish(relaxed=True)
WANTED = (b"from", b"to", b"subject", b"date", b"message-id", b"content-type", b"mime-version")
NOW = 1_700_000_000
HEAD = (
    b"Received: from client.test ([192.0.2.7]) by other.test with ESMTP;\r\n\tMon, 1 Jan 2024 00:00:00 +0000\r\n"
    * 4
    + b"From: Ann <ann@client.test>\r\nTo: bob@gate.test\r\nSubject: hello\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@client.test>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
)
LINE = b"The quick brown fox jumps over the lazy dog,  and does it once more before\r\n"


def sign(content: bytes, key: SigningKey) -> bytes:
    """The message signed by us."""
    head, body = split(content)
    fields, hasher = SignedFields(fields_of(head)), BodyHasher([WISH])
    hasher.feed(body)
    names = names_to_sign(fields, WANTED, frozenset({b"from", b"subject"}))
    return dkim_signature(key, fields, hasher.finish()[WISH], names=names, at=NOW) + content


def verify(content: bytes, records: tuple[bytes, ...]) -> str:
    """All that the fact does but for asking the DNS."""
    head, body = split(content)
    raw = fields_of(head)
    (read,), _ = considered(raw, author_domains=("client.test",), limit=10)
    assert isinstance(read, Signature)
    hasher = BodyHasher([read.body_wish])
    hasher.feed(body)
    return check(read, SignedFields(raw), hasher.finish()[read.body_wish], records, Terms(now=NOW)).result


def cost_us(work: Callable[[], object], rounds: int) -> float:
    """Median of CPU microseconds."""
    work()
    gc.collect()
    taken = []
    for _ in range(rounds):
        begin = time.process_time_ns()
        work()
        taken.append(time.process_time_ns() - begin)
    return sorted(taken)[rounds // 2] / 1000


def measure(name: str, private: PrivateKey) -> None:
    """One algorithm."""
    key = SigningKey("client.test", "s", private)
    content = HEAD + LINE * (BODY_BYTES // len(LINE))
    signed, record = sign(content, key), key.record.encode()

    def txt(_name: bytes, timeout: int = 5) -> bytes:  # noqa: ARG001  # as dkimpy calls it
        return record

    assert verify(signed, (record,)) == "pass"
    assert dkim.verify(signed, dnsfunc=txt)
    ours = cost_us(lambda: verify(signed, (record,)), 500)
    theirs = cost_us(lambda: dkim.verify(signed, dnsfunc=txt), 50)
    making = cost_us(lambda: sign(content, key), 200)
    print(
        f"{name}: verify {ours:.0f} us, dkimpy {theirs:.0f} us ({theirs / ours:.0f} x); sign {making:.0f} us"
    )


if __name__ == "__main__":
    measure("rsa-2048", generate_private_key(65537, 2048))
    measure("ed25519", Ed25519PrivateKey.generate())
