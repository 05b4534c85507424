"""A thing in carriers that are broken in a thousand ways: where another reader finds it, we do, or say that they differ."""

# ruff: noqa: E501  # a table is read across

from __future__ import annotations

import base64
import email
import importlib.util
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
from fuzz.mutation import mutants

from gatepost.message.contents import attached, looked_into
from gatepost.message.contents import contents as contents_of
from gatepost.message.structure import Structure
from gatepost.message.structure_defects import StructureDefect
from gatepost.message.walk import walk

THING = b"XYZ-a-thing-that-must-be-found-XYZ"
CODED = base64.encodebytes(THING).replace(b"\n", b"\r\n")
_OUTER = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n"
_ATTACHED = (
    b"Content-Type: application/octet-stream; name=a.exe\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-Disposition: attachment; filename=a.exe\r\n\r\n" + CODED
)
CARRIERS = (
    _OUTER + b"--bb\r\n\r\nhello\r\n--bb\r\n" + _ATTACHED + b"--bb--\r\n",
    _OUTER
    + b"--bb\r\nContent-Type: multipart/related; boundary=cc\r\n\r\n--cc\r\n"
    + _ATTACHED
    + b"--cc--\r\n--bb--\r\n",
    _OUTER + b"--bb\r\nContent-Type: message/rfc822\r\n\r\nMIME-Version: 1.0\r\n" + _ATTACHED + b"--bb--\r\n",
    b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=58" + THING[1:] + b"\r\n",
)
WORDS = (
    b"Content-Type: multipart/mixed; boundary=cc\r\n", b"Content-Type: text/plain\r\n", b"Content-Transfer-Encoding: 7bit\r\n",
    b"Content-Transfer-Encoding: base64\r\n", b"; boundary=cc", b"--bb\r\n", b"--bb--\r\n", b"--cc\r\n", b"\r\n", b"\n", b"\r", b"\0", b" ", b"=",
    b"=\r\n", b'"', b"(", b"multipart", b"base64", b"quoted-printable", b":", b"\xff",
)  # fmt: skip
_HARMLESS = {StructureDefect.NO_MIME_VERSION}


def _everything(mail: bytes, structure: Structure) -> Iterator[bytes]:
    for _, part in structure.leaves:
        yield contents_of(mail, part).octets
    for inner in attached(mail, structure):
        yield from (contents_of(inner.octets, part).octets for _, part in inner.structure.leaves)


def is_found_or_told(mail: bytes) -> bool:
    structure = walk(mail)
    if structure.passed or structure.defects - _HARMLESS:
        return True
    if any(looked_into(mail, part).defects for _, part in structure.leaves):
        return True
    return any(THING in octets for octets in _everything(mail, structure))


def library(mail: bytes) -> list[bytes]:
    parts = email.message_from_bytes(mail).walk()
    return [bytes(part.get_payload(decode=True) or b"") for part in parts if not part.is_multipart()]


def in_rust(mail: bytes) -> list[bytes]:
    import fast_mail_parser

    try:
        return [
            bytes(part.content or b"")
            for part in fast_mail_parser.walk(fast_mail_parser.parse_email_tree(mail))
        ]
    except fast_mail_parser.ParseError:
        return []


def _readers() -> list[Callable[[bytes], list[bytes]]]:
    return [library] if importlib.util.find_spec("fast_mail_parser") is None else [library, in_rust]


@pytest.mark.threat("H32")
def test_what_another_reader_finds_is_found_or_told() -> None:
    assert all(not walk(mail).defects for mail in CARRIERS)
    assert all(is_found_or_told(mail) for mail in CARRIERS)
    found = 0
    for mail in islice(mutants(CARRIERS, WORDS, seed=32), 1500):
        for reader in _readers():
            if any(THING in octets for octets in reader(mail)):
                found += 1
                assert is_found_or_told(mail), (reader.__name__, mail)
    assert found > 200
