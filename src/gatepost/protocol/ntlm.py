"""The server's half of NTLMv2 (MS-NLMP), older answers refused: messages to values and back, and the proof. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from typing import Final

MESSAGE_LIMIT_BYTES: Final = 8192
CHALLENGE_BYTES: Final = 8
_SIGNATURE: Final = b"NTLMSSP\0"
_NEGOTIATE, _CHALLENGE, _AUTHENTICATE = 1, 2, 3
_UNICODE: Final = 0x00000001
_FLAGS: Final = 0x008A0205
"""Unicode, request target, NTLM, the target is a server, extended session security, target information."""
_PROOF_BYTES: Final = 16
_BEFORE_PAIRS_BYTES: Final = 28
"""Of an NTLMv2 answer behind the proof: version, time, the client's challenge (MS-NLMP §2.2.2.7)."""
_END, _COMPUTER, _DOMAIN, _DNS_COMPUTER, _CHANNEL = 0, 1, 2, 3, 10
_PAIRS_LIMIT: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NtlmProof:
    """What the client answers to a challenge. answer: the proof's second half, which it is made of."""

    user: str
    domain: str
    proof: bytes = field(repr=False)
    answer: bytes = field(repr=False)
    channel: bytes = field(repr=False)
    """The MD5 of what it believes the channel to be; b"" when it does not say."""


def check_negotiate(data: bytes) -> None:
    """The client's opening, which says nothing that we need. Raises ValueError."""
    if _kind_of(data) != _NEGOTIATE:
        raise ValueError("not a NEGOTIATE message")


def challenge(server_challenge: bytes, *, hostname: str, domain: str) -> bytes:
    """The server's message. It shows no version and no clock; who wants to write in anything but Unicode cannot.

    domain: what clients are to fill in for their own. hostname: ours, as in EHLO.
    """
    target = domain.upper().encode("utf-16-le")
    pairs = (
        (_DOMAIN, domain.upper()),
        (_COMPUTER, hostname.partition(".")[0].upper()),
        (_DNS_COMPUTER, hostname),
    )
    info = b"".join(_pair(number, text.encode("utf-16-le")) for number, text in pairs) + _pair(_END, b"")
    begins = 48
    return struct.pack(
        "<8sIHHII8s8xHHI",
        _SIGNATURE,
        _CHALLENGE,
        len(target),
        len(target),
        begins,
        _FLAGS,
        server_challenge,
        len(info),
        len(info),
        begins + len(target),
    ) + (target + info)


def read_authenticate(data: bytes) -> NtlmProof:
    """The client's answer. Raises ValueError, also for NTLMv1, LM and nobody (anonymous)."""
    if _kind_of(data) != _AUTHENTICATE or len(data) < 64:
        raise ValueError("not an AUTHENTICATE message")
    if not struct.unpack_from("<I", data, 60)[0] & _UNICODE:
        raise ValueError("not written in Unicode")
    said = _field(data, 20)
    if len(said) < _PROOF_BYTES + _BEFORE_PAIRS_BYTES or said[_PROOF_BYTES : _PROOF_BYTES + 2] != b"\1\1":
        raise ValueError("an answer that is not NTLMv2")
    user, domain = (_field(data, at).decode("utf-16-le") for at in (36, 28))
    if not user:
        raise ValueError("an answer of nobody")
    answer = said[_PROOF_BYTES:]
    return NtlmProof(
        user=user,
        domain=domain,
        proof=said[:_PROOF_BYTES],
        answer=answer,
        channel=_channel(answer[_BEFORE_PAIRS_BYTES:]),
    )


def proof_is_good(nt_hash: bytes, said: NtlmProof, server_challenge: bytes) -> bool:
    """nt_hash: MD4 of the password in UTF-16, which is all that NTLM ever knew of it (MS-NLMP §3.3.2)."""
    key = _hmac(nt_hash, (_upper(said.user) + said.domain).encode("utf-16-le"))
    return hmac.compare_digest(_hmac(key, server_challenge + said.answer), said.proof)


def is_of_channel(said: NtlmProof, end_point: bytes) -> bool:
    """False when the client was bound to another certificate (RFC 5929): somebody stands between.

    end_point: what our certificate is known by; b"" when it cannot be bound to.
    """
    if not said.channel.strip(b"\0") or not end_point:
        return True  # MS-NLMP §2.2.2.1: zeros are no binding
    bound = b"tls-server-end-point:" + end_point
    # RFC 2743 §1.1.6 in the layout of MS-NLMP: no addresses, then the application's data.
    return hmac.compare_digest(_md5(struct.pack("<16xI", len(bound)) + bound), said.channel)


def _upper(name: str) -> str:
    """As Windows does it, letter by letter: there is one for each, or it stays (ß)."""
    return "".join(great if len(great := letter.upper()) == 1 else letter for letter in name)


def _channel(pairs: bytes) -> bytes:
    at = 0
    for _ in range(_PAIRS_LIMIT):
        if at + 4 > len(pairs):
            raise ValueError("its target information has no end")
        number, length = struct.unpack_from("<HH", pairs, at)
        if number == _END:
            return b""
        if at + 4 + length > len(pairs):
            raise ValueError("its target information is cut off")
        if number == _CHANNEL:
            return pairs[at + 4 : at + 4 + length]
        at += 4 + length
    raise ValueError("its target information is too long")


def _kind_of(data: bytes) -> int:
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise ValueError("a message that is too long")
    if len(data) < 12 or not data.startswith(_SIGNATURE):
        raise ValueError("not an NTLM message")
    return int(struct.unpack_from("<I", data, 8)[0])


def _field(data: bytes, at: int) -> bytes:
    length, begins = struct.unpack_from("<HxxI", data, at)
    if begins + length > len(data):
        raise ValueError("a field beyond the message's end")
    return data[begins : begins + length]


def _pair(number: int, value: bytes) -> bytes:
    return struct.pack("<HH", number, len(value)) + value


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "md5")


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data).digest()  # noqa: S324  # the protocol's
