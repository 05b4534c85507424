"""SCRAM-SHA-256, both sides (RFC 5802, RFC 7677): messages to values and back, and the proofs. No chance, no I/O."""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
from base64 import b64encode
from dataclasses import dataclass
from typing import Final

from gatepost.model.account import ScramKeys

MECHANISM: Final = "SCRAM-SHA-256"
MECHANISM_PLUS: Final = "SCRAM-SHA-256-PLUS"
BINDING: Final = "tls-server-end-point"
"""The one channel binding we know (RFC 5929 §4): a hash of the server's certificate."""
ITERATIONS_LOW: Final = 4096  # RFC 7677 §4
ITERATIONS_HIGH: Final = 2_000_000
"""More would be a way to keep a client busy (RFC 5802 §9)."""
MESSAGE_LIMIT_BYTES: Final = 4096
NONCE_LIMIT_CHARACTERS: Final = 512
_SALT_LIMIT_BYTES: Final = 256
_PROOF_BYTES: Final = 32

_FIRST: Final = re.compile(
    r"(?P<gs2>(?:n|y|p=(?P<binding>[A-Za-z0-9.-]{1,64})),(?:a=(?P<identity>[^,\0]*))?,)"
    r"(?P<bare>n=(?P<user>[^,\0]*),r=(?P<nonce>[!-+\--~]+))"
)
_SERVER_FIRST: Final = re.compile(
    r"r=(?P<nonce>[!-+\--~]+),s=(?P<salt>[A-Za-z0-9+/=]+),i=(?P<count>[1-9][0-9]{0,8})"
)
_FINAL: Final = re.compile(
    r"(?P<bare>c=(?P<binding>[A-Za-z0-9+/=]+),r=(?P<nonce>[!-+\--~]+)),p=(?P<proof>[A-Za-z0-9+/=]+)"
)
_NAME: Final = re.compile(r"(?:[^=]|=2C|=3D)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFirst:
    """The client's opening. gs2: its header as sent; bare: the rest as sent; binding: "", "y" or a type's name."""

    gs2: str
    bare: str
    binding: str
    identity: str
    user: str
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFirst:
    """The server's answer to it."""

    text: str
    nonce: str
    salt: bytes
    iterations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFinal:
    """The client's proof. bare: the message without it."""

    bare: str
    binding: bytes
    nonce: str
    proof: bytes


def derive_keys(password: str, *, salt: bytes, iterations: int) -> ScramKeys:
    """What a server stores of a password. Costs `iterations` hashes: not for the event loop."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    return ScramKeys(
        salt=salt,
        iterations=iterations,
        stored_key=hashlib.sha256(_hmac(salted, b"Client Key")).digest(),
        server_key=_hmac(salted, b"Server Key"),
    )


def read_client_first(data: bytes) -> ClientFirst:
    """Raises ValueError. Extensions (m=) are refused, as RFC 5802 §5.1 asks."""
    match = _FIRST.fullmatch(_text(data))
    if match is None or len(match["nonce"]) > NONCE_LIMIT_CHARACTERS:
        raise ValueError("not a client-first-message")
    return ClientFirst(
        gs2=match["gs2"],
        bare=match["bare"],
        binding=match["binding"] or ("y" if match["gs2"].startswith("y") else ""),
        identity=read_name(match["identity"] or ""),
        user=read_name(match["user"]),
        nonce=match["nonce"],
    )


def server_first(*, nonce: str, keys: ScramKeys) -> str:
    """nonce: the client's and ours behind it."""
    return f"r={nonce},s={_b64(keys.salt)},i={keys.iterations}"


def read_server_first(data: bytes) -> ServerFirst:
    """Raises ValueError, also for a count of iterations outside our bounds."""
    text = _text(data)
    match = _SERVER_FIRST.fullmatch(text)
    if match is None or len(match["nonce"]) > 2 * NONCE_LIMIT_CHARACTERS:
        raise ValueError("not a server-first-message")
    iterations = int(match["count"])
    if not ITERATIONS_LOW <= iterations <= ITERATIONS_HIGH:
        raise ValueError(f"{iterations} iterations")
    salt = _unbase64(match["salt"])
    if not 0 < len(salt) <= _SALT_LIMIT_BYTES:
        raise ValueError("a salt of unreasonable length")
    return ServerFirst(text=text, nonce=match["nonce"], salt=salt, iterations=iterations)


def read_client_final(data: bytes) -> ClientFinal:
    """Raises ValueError."""
    match = _FINAL.fullmatch(_text(data))
    if match is None:
        raise ValueError("not a client-final-message")
    proof = _unbase64(match["proof"])
    if len(proof) != _PROOF_BYTES:
        raise ValueError("a proof of the wrong length")
    binding = _unbase64(match["binding"])
    return ClientFinal(bare=match["bare"], binding=binding, nonce=match["nonce"], proof=proof)


def final_without_proof(*, binding: bytes, nonce: str) -> str:
    """binding: the GS2 header, and what the channel is bound to behind it."""
    return f"c={_b64(binding)},r={nonce}"


def proof_is_good(keys: ScramKeys, dialogue: str, proof: bytes) -> bool:
    """dialogue: client-first-bare, server-first and client-final without proof, joined by commas (AuthMessage)."""
    signature = _hmac(keys.stored_key, dialogue.encode())
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(hashlib.sha256(client_key).digest(), keys.stored_key)


def server_signature(keys: ScramKeys, dialogue: str) -> str:
    """The server's own proof, as in its last message: "v=..."."""
    return f"v={_b64(_hmac(keys.server_key, dialogue.encode()))}"


def client_proof(password: str, first: ServerFirst, dialogue: str) -> tuple[str, str]:
    """(proof in base64, the server's last message as it has to be). Costs first.iterations hashes."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), first.salt, first.iterations)
    client_key = _hmac(salted, b"Client Key")
    signature = _hmac(hashlib.sha256(client_key).digest(), dialogue.encode())
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    return _b64(proof), f"v={_b64(_hmac(_hmac(salted, b'Server Key'), dialogue.encode()))}"


def read_name(text: str) -> str:
    """A saslname: =2C is a comma, =3D an equals sign (RFC 5802 §5.1). Raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError("a name with a stray =")
    return text.replace("=2C", ",").replace("=3D", "=")


def write_name(name: str) -> str:
    """The reverse of read_name."""
    return name.replace("=", "=3D").replace(",", "=2C")


def _text(data: bytes) -> str:
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise ValueError("a message that is too long")
    return data.decode("utf-8")  # UnicodeDecodeError is a ValueError


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _b64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _unbase64(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
