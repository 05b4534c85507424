"""What a client says at a smart host, word by word, and when it says nothing more."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gatepost.model.fault import WorldFault
from gatepost.protocol.sasl_client import (
    BY_CERTIFICATE,
    BY_PASSWORD,
    BY_TOKEN,
    BearerClient,
    ClientExchange,
    ExternalClient,
    LoginClient,
    PlainClient,
    ScramClient,
)
from gatepost.protocol.scram import (
    ITERATIONS_HIGH,
    ITERATIONS_LOW,
    MESSAGE_LIMIT_BYTES,
    read_client_first,
    read_server_first,
)

SAID: list[tuple[str, Callable[[], ClientExchange], tuple[bytes | None, ...]]] = [
    ("PLAIN: everything at once", lambda: PlainClient("jürgen", "secret"), ("\0jürgen\0secret".encode(),)),
    ("LOGIN: nothing, name, password", lambda: LoginClient("ann", "secret"), (None, b"ann", b"secret")),
    ("EXTERNAL: who we are by our certificate", lambda: ExternalClient("jürgen"), ("jürgen".encode(),)),
    (
        "OAUTHBEARER: the token, then one octet for the error",
        lambda: BearerClient("a=b,c", "t0ken", is_google=False),
        (b"n,a=a=3Db=2Cc,\x01auth=Bearer t0ken\x01\x01", b"\x01"),
    ),
    (
        "XOAUTH2: the token, then nothing for the error",
        lambda: BearerClient("a=b,c", "t0ken", is_google=True),
        (b"user=a=b,c\x01auth=Bearer t0ken\x01\x01", b""),
    ),
]


@pytest.mark.parametrize(("name", "begin", "said"), SAID, ids=[row[0] for row in SAID])
def test_what_is_said_and_that_nothing_follows(
    name: str, begin: Callable[[], ClientExchange], said: tuple[bytes | None, ...]
) -> None:
    exchange = begin()
    assert (exchange.initial, *(exchange.answer(b"whatever:") for _ in said[1:])) == said
    with pytest.raises(WorldFault):
        exchange.answer(b"and now?")


def test_which_secret_is_for_which_mechanism() -> None:
    assert {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN"} == BY_PASSWORD
    assert {"OAUTHBEARER", "XOAUTH2"} == BY_TOKEN
    assert {"EXTERNAL"} == BY_CERTIFICATE


def test_a_server_that_owes_nothing_is_believed() -> None:
    PlainClient("ann", "secret").accepted()
    LoginClient("ann", "secret").accepted()
    ExternalClient("ann").accepted()
    BearerClient("ann", "t0ken", is_google=False).accepted()
    with pytest.raises(WorldFault):
        ScramClient("ann", "secret", nonce="abc", end_point=b"", plus=False).accepted()


def opening(*, nonce: str = "abc", salt: str = "c2FsdA==", iterations: int = ITERATIONS_LOW) -> bytes:
    return f"r={nonce},s={salt},i={iterations}".encode()


ANSWERS = [
    ("the fewest iterations", opening(), True),
    ("fewer", opening(iterations=ITERATIONS_LOW - 1), False),
    ("the most iterations", opening(iterations=2_000_000), True),
    ("more", opening(iterations=2_000_001), False),
    ("a salt of 255 octets", opening(salt="A" * 340), True),
    ("a salt of 256 octets", opening(salt="A" * 340 + "AA=="), True),
    ("a salt of 257 octets", opening(salt="A" * 340 + "AAA="), False),
]


@pytest.mark.threat("N12")
@pytest.mark.parametrize(("name", "said", "taken"), ANSWERS, ids=[row[0] for row in ANSWERS])
def test_what_a_server_may_ask_for(name: str, said: bytes, taken: bool) -> None:
    assert ITERATIONS_HIGH == 2_000_000
    if taken:
        assert read_server_first(said).text == said.decode()
    else:
        with pytest.raises(ValueError):
            read_server_first(said)


def test_a_message_at_the_limit_and_past_it() -> None:
    # Given an opening whose name fills it
    assert MESSAGE_LIMIT_BYTES == 4096
    full = b"n,,n=" + b"u" * (4096 - len("n,,n=,r=x")) + b",r=x"
    assert len(read_client_first(full).user) == 4096 - len("n,,n=,r=x")
    with pytest.raises(ValueError, match="too long"):
        read_client_first(b"n,,n=" + b"u" * (4097 - len("n,,n=,r=x")) + b",r=x")
