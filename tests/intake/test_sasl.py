"""AUTH PLAIN and LOGIN: what the client sends, what it hears, who it is."""

from __future__ import annotations

import pytest

from gatepost.intake.auth_exchange import Challenge, Credentials
from gatepost.intake.mechanisms import Circumstances, exchange_for
from gatepost.intake.sasl import LoginExchange, PlainExchange
from gatepost.model.fault import PeerFault


@pytest.mark.parametrize(
    ("response", "result"),
    [
        (b"\0ann\0secret", Credentials("ann", "secret")),
        (b"ann\0ann\0secret", Credentials("ann", "secret")),
        ("\0j\u00f6rg\0p\u00e4ss".encode(), Credentials("j\u00f6rg", "p\u00e4ss")),
        (None, Challenge("")),
    ],
)
def test_plain(response: bytes | None, result: object) -> None:
    assert PlainExchange().respond(response) == result


@pytest.mark.threat("E04", "E05", "E09")
@pytest.mark.parametrize(
    ("response", "code"),
    [
        (b"", 501),
        (b"no separators", 501),
        (b"\0ann", 501),
        (b"\0ann\0secret\0more", 501),
        (b"\0ann\0\xff\xfe", 501),
        (b"boss\0ann\0secret", 535),
        (b"\0ann\0", 535),
        (b"\0\0secret", 535),
        (b"\0ann\0" + b"x" * 1025, 535),
    ],
)
def test_plain_refused(response: bytes, code: int) -> None:
    with pytest.raises(PeerFault) as caught:
        PlainExchange().respond(response)
    assert caught.value.reply.code == code


def test_login_asks_twice() -> None:
    exchange = LoginExchange()
    assert exchange.respond(None) == Challenge("VXNlcm5hbWU6")
    assert exchange.respond(b"ann") == Challenge("UGFzc3dvcmQ6")
    assert exchange.respond(b"secret") == Credentials("ann", "secret")


def test_login_with_an_initial_response() -> None:
    exchange = LoginExchange()
    assert exchange.respond(b"ann") == Challenge("UGFzc3dvcmQ6")


@pytest.mark.threat("E10")
@pytest.mark.parametrize("mechanism", ["NTLM", "GSSAPI", "CRAM-MD5", "DIGEST-MD5"])
def test_other_mechanisms_are_not_ours(mechanism: str) -> None:
    with pytest.raises(PeerFault):
        exchange_for(mechanism, Circumstances(nonce="n", end_point=b"", offered=("PLAIN",)))


@pytest.mark.threat("E15")
def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Credentials("ann", "secret"))
