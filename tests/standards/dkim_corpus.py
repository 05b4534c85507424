"""Messages and key records of public DKIM and ARC suites, which stand beside the repository, never in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_data import SHARED

from gatepost.message.headers import split
from gatepost.standards.dkim import Checked, NoAnswer, Terms, check
from gatepost.standards.dkim_canon import BodyHasher, SignedFields
from gatepost.standards.dkim_signature import Broken, Signature, fields_of, read_signature

PLACE = SHARED


def folder(name: str) -> Path:
    """A suite's folder; the test is skipped where it is not there."""
    place = PLACE / name
    if not place.is_dir():
        pytest.skip(f"the suite {place} is not on this machine")
    return place


def crlf(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def records_of(dns: dict[str, bytes], name: str) -> tuple[bytes, ...] | NoAnswer:
    """A record "~~...~~" is an error of the DNS; NXDOMAIN is no record."""
    record = dns.get(name)
    if record is None or record.startswith(b"NXDOMAIN"):
        return ()
    return NoAnswer("no name server answers") if record.startswith(b"~~") else (record,)


def results(content: bytes, dns: dict[str, bytes], *, now: float, low_bits: int = 1024) -> list[Checked]:
    """What comes of each signature of a message, from the top down."""
    head, body = split(content)
    raw = fields_of(head)
    fields = SignedFields(raw)
    read = [read_signature(field) for name, field in raw if name == b"dkim-signature"]
    hasher = BodyHasher(s.body_wish for s in read if isinstance(s, Signature))
    hasher.feed(body)
    hashes = hasher.finish()
    return [
        Checked(result=one.result, reason=one.reason)
        if isinstance(one, Broken)
        else check(
            one,
            fields,
            hashes[one.body_wish],
            records_of(dns, one.key_name),
            Terms(now=now, low_bits=low_bits),
        )
        for one in read
    ]
