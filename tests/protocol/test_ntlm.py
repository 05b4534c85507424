"""NTLMv2 as MS-NLMP §4.2.4 shows it, at the edges of its fields, and what is not NTLMv2."""

from __future__ import annotations

import hashlib
import hmac
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.protocol.ntlm import (
    CHALLENGE_BYTES,
    MESSAGE_LIMIT_BYTES,
    challenge,
    check_negotiate,
    is_of_channel,
    proof_is_good,
    read_authenticate,
)

HASH = bytes.fromhex("a4f49c406510bdcab6824ee7c30fd852")  # of "Password"
SERVER_CHALLENGE = bytes.fromhex("0123456789abcdef")
HEAD = bytes.fromhex("01010000000000000000000000000000aaaaaaaaaaaaaaaa00000000")
NAMES = bytes.fromhex("02000c0044006f006d00610069006e0001000c00530065007200760065007200")
END = bytes(4)
ANSWER = HEAD + NAMES + END + bytes(4)
PROOF = bytes.fromhex("68cd0ab851e51c96aabc927bebef6a1c")


def message(
    response: bytes = PROOF + ANSWER,
    *,
    user: bytes = "User".encode("utf-16-le"),
    domain: bytes = "Domain".encode("utf-16-le"),
    flags: int = 1,
    kind: int = 3,
) -> bytes:
    """AUTHENTICATE with its fields behind the head, LM empty."""
    at, fields, content = 64, b"", b""
    for value in (b"", response, domain, user, b"", b""):
        fields += struct.pack("<HHI", len(value), len(value), at + len(content))
        content += value
    return struct.pack("<8sI", b"NTLMSSP\0", kind) + fields + struct.pack("<I", flags) + content


def test_the_example_of_the_specification() -> None:
    said = read_authenticate(message())
    assert (said.user, said.domain, said.proof, said.answer, said.channel) == (
        "User",
        "Domain",
        PROOF,
        ANSWER,
        b"",
    )
    assert proof_is_good(HASH, said, SERVER_CHALLENGE)
    assert repr(said) == "NtlmProof(user='User', domain='Domain')"


WRONG = [
    ("another password", bytes(16), message(), SERVER_CHALLENGE),
    ("another challenge", HASH, message(), bytes(8)),
    ("another user", HASH, message(user="Boss".encode("utf-16-le")), SERVER_CHALLENGE),
    ("another domain", HASH, message(domain="domain".encode("utf-16-le")), SERVER_CHALLENGE),
    ("another time", HASH, message(PROOF + ANSWER[:8] + b"\1" + ANSWER[9:]), SERVER_CHALLENGE),
    ("another proof", HASH, message(bytes(16) + ANSWER), SERVER_CHALLENGE),
]


@pytest.mark.threat("E10")
@pytest.mark.parametrize(
    ("name", "nt_hash", "said", "server_challenge"), WRONG, ids=[row[0] for row in WRONG]
)
def test_what_does_not_hold(name: str, nt_hash: bytes, said: bytes, server_challenge: bytes) -> None:
    assert not proof_is_good(nt_hash, read_authenticate(said), server_challenge)


def test_the_case_of_a_name_does_not_matter() -> None:
    assert proof_is_good(HASH, read_authenticate(message(user="uSER".encode("utf-16-le"))), SERVER_CHALLENGE)


BROKEN = [
    ("nothing", b""),
    ("another protocol", b"NTLMSSX" + message()[7:]),
    ("an opening", message(kind=1)),
    ("cut in its head", message()[:63]),
    ("cut in its fields", message()[:-1]),
    ("not Unicode", message(flags=2)),
    ("nobody", message(user=b"")),
    ("half a letter", message(user=b"a\0b")),
    ("NTLMv1", message(bytes(24))),
    ("NTLMv1 in disguise", message(bytes(60))),
    ("another version", message(PROOF + b"\1\2" + ANSWER[2:])),
    ("no answer", message(b"")),
    ("one octet short of its names", message(PROOF + HEAD[:-1])),
    ("no names", message(PROOF + HEAD)),
    ("names without end", message(PROOF + HEAD + NAMES)),
    ("a name cut off", message(PROOF + HEAD + struct.pack("<HH", 1, 3) + b"ab")),
    ("half the head of a name", message(PROOF + HEAD + NAMES + b"\1\0\0")),
    ("names in plenty", message(PROOF + HEAD + struct.pack("<HH", 1, 0) * 32 + END)),
    ("too long", message(user=b"x" * MESSAGE_LIMIT_BYTES)),
]


@pytest.mark.threat("E04", "E10")
@pytest.mark.parametrize(("name", "said"), BROKEN, ids=[row[0] for row in BROKEN])
def test_what_is_no_answer(name: str, said: bytes) -> None:
    with pytest.raises(ValueError):
        read_authenticate(said)


def test_at_the_limits() -> None:
    assert MESSAGE_LIMIT_BYTES == 8192
    room = MESSAGE_LIMIT_BYTES - len(message(user=b""))
    full = message(user=b"u\0" * (room // 2)) + b"." * (room % 2)
    assert len(full) == 8192
    assert len(read_authenticate(full).user) == room // 2
    with pytest.raises(ValueError, match="too long"):
        read_authenticate(full + b".")
    assert read_authenticate(message(PROOF + HEAD + struct.pack("<HH", 1, 0) * 31 + END)).channel == b""
    # Fields that end where the message does, a name that ends where the answer does
    empty_names = message(user=b"")[:36] + struct.pack("<HHI", 0, 0, 64) + message(user=b"")[44:]
    with pytest.raises(ValueError, match="nobody"):
        read_authenticate(empty_names)
    with pytest.raises(ValueError, match="no end"):
        read_authenticate(message(PROOF + HEAD + struct.pack("<HH", 1, 2) + b"ab"))
    with pytest.raises(ValueError, match="no end"):
        read_authenticate(message(PROOF + HEAD))
    with pytest.raises(ValueError, match="not NTLMv2"):
        read_authenticate(message(PROOF + HEAD[:-1]))
    with pytest.raises(ValueError, match="cut off"):
        read_authenticate(message(PROOF + HEAD + struct.pack("<HH", 10, 3) + b"ab"))
    with pytest.raises(ValueError, match="beyond"):
        read_authenticate(message(domain=b"")[:28] + struct.pack("<HHI", 9999, 9999, 64) + message()[36:])
    with pytest.raises(ValueError, match="not NTLMv2"):
        read_authenticate(message(b"", user=b"", domain=b"")[:64])


END_POINT = b"e" * 32


def binding(end_point: bytes) -> bytes:
    data = b"tls-server-end-point:" + end_point
    digest = hashlib.md5(bytes(16) + len(data).to_bytes(4, "little") + data).digest()
    return struct.pack("<HH", 10, 16) + digest


CHANNELS = [
    ("it does not say", b"", END_POINT, True),
    ("zeros are no binding", struct.pack("<HH", 10, 16) + bytes(16), END_POINT, True),
    ("of the wrong length", struct.pack("<HH", 10, 1) + b"X", END_POINT, False),
    ("ours", binding(END_POINT), END_POINT, True),
    ("somebody else's", binding(b"m" * 32), END_POINT, False),
    ("ours cannot be bound to", binding(b"m" * 32), b"", True),
]


@pytest.mark.threat("E10")
@pytest.mark.parametrize(("name", "pair", "end_point", "good"), CHANNELS, ids=[row[0] for row in CHANNELS])
def test_who_stands_between_is_noticed(name: str, pair: bytes, end_point: bytes, good: bool) -> None:
    said = read_authenticate(message(PROOF + HEAD + NAMES + pair + END))
    assert is_of_channel(said, end_point) is good


def test_our_challenge() -> None:
    said = challenge(SERVER_CHALLENGE, hostname="mx.ours.example", domain="Ours")
    assert CHALLENGE_BYTES == 8
    head = struct.unpack_from("<8sIHHIIQQHHI", said)
    signature, kind, length, same, at, flags, number, nothing, info, as_long, info_at = head
    assert (signature, kind, length, same, at) == (b"NTLMSSP\0", 2, 8, 8, 48)
    assert number == int.from_bytes(SERVER_CHALLENGE, "little")
    # Unicode, target, NTLM, target is a server, session security of version 2, target information
    assert (flags, nothing) == (0x008A0205, 0)
    assert said[48:56] == "OURS".encode("utf-16-le")
    assert (info, as_long, info_at) == (len(said) - 56, len(said) - 56, 56)
    names = ((2, "OURS"), (1, "MX"), (3, "mx.ours.example"))
    pairs = b"".join(struct.pack("<HH", n, 2 * len(t)) + t.encode("utf-16-le") for n, t in names)
    assert said[56:] == pairs + bytes(4)


@pytest.mark.parametrize(
    "said", [b"", b"NTLMSSP\0\1\0\0", b"NTLMSSP\0\2\0\0\0", b"NTLMSSX\0\1\0\0\0", bytes(12)]
)
def test_what_is_no_opening(said: bytes) -> None:
    with pytest.raises(ValueError):
        check_negotiate(said)


def test_an_opening() -> None:
    check_negotiate(b"NTLMSSP\0\1\0\0\0")


@given(st.binary(max_size=120))
def test_messages_of_any_kind_are_values_or_errors(data: bytes) -> None:
    for said in (data, message()[:20] + data, message(PROOF + b"\1\1" + data)):
        try:
            read_authenticate(said)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("user", "great"), [("ann", "ANN"), ("J\u00fcrgen", "J\u00dcRGEN"), ("wei\u00df", "WEI\u00df")]
)
def test_who_knows_the_hash_is_believed(user: str, great: str) -> None:
    domain = "Ours"
    key = hmac.digest(HASH, (great + domain).encode("utf-16-le"), "md5")
    proof = hmac.digest(key, SERVER_CHALLENGE + ANSWER, "md5")
    said = message(proof + ANSWER, user=user.encode("utf-16-le"), domain=domain.encode("utf-16-le"))
    assert proof_is_good(HASH, read_authenticate(said), SERVER_CHALLENGE)
