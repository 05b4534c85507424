"""Our logins by NTLM and GSSAPI: against our own server, and against one that lies."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest

from gatepost.adapters.integrated_client import GssapiClient, NtlmClient
from gatepost.delivery.authentication import Credentials, choose, exchange_for
from gatepost.intake.auth_exchange import Challenge, NtlmShown
from gatepost.intake.integrated import Integrated, NtlmExchange
from gatepost.model.fault import WorldFault
from gatepost.model.session import TlsInfo

HASH = bytes.fromhex("a4f49c406510bdcab6824ee7c30fd852")  # of "Password"
TLS = TlsInfo(version="TLSv1.3", cipher="x", bits=256, server_end_point=b"e" * 32)


class Hashes:
    def nt_hash(self, user: str) -> bytes | None:
        return HASH if user == "ann" else None


@pytest.mark.parametrize(
    ("user", "password", "good"),
    [
        ("ann", "Password", True),
        ("OURS\\ann", "Password", True),
        ("ann", "password", False),
        ("bob", "Password", False),
    ],
)
def test_ntlm_against_our_own_server(user: str, password: str, good: bool) -> None:
    house = Integrated(nt_hashes=Hashes(), ntlm_domain="OURS")
    here = NtlmExchange(house, server_challenge=b"12345678", end_point=b"e" * 32, hostname="mx.ours.example")
    there = NtlmClient(user, password)
    assert there.initial is None
    said = here.respond(there.answer(b""))
    assert isinstance(said, Challenge)
    shown = here.respond(there.answer(base64.b64decode(said.text)))
    assert isinstance(shown, NtlmShown)
    assert (shown.user, shown.is_good()) == (user.removeprefix("OURS\\"), good)
    there.accepted()
    with pytest.raises(WorldFault, match="after its end"):
        there.answer(b"more")


@pytest.mark.threat("N12")
def test_ntlm_with_a_challenge_that_is_none() -> None:
    there = NtlmClient("ann", "Password")
    there.answer(b"NTLM supported")
    with pytest.raises(WorldFault, match="AUTH NTLM cannot go on"):
        there.answer(b"NTLMSSP\0\2\0\0\0")


@dataclass
class Said:
    data: bytes


class Context:
    """Kerberos that is content with one answer."""

    complete = False

    def step(self, token: bytes | None = None) -> bytes | None:
        if token == b"broken":
            raise KeyError("whatever the library raises")
        self.complete = token is not None
        return None if self.complete else b"ticket"

    def unwrap(self, data: bytes) -> Said:
        if not data.startswith(b"wrapped:"):
            raise ValueError("not wrapped")
        return Said(data.removeprefix(b"wrapped:"))

    def wrap(self, data: bytes, *, encrypt: bool) -> Said:
        assert not encrypt
        return Said(b"wrapped:" + data)


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> GssapiClient:
    monkeypatch.setattr("spnego.client", lambda *_, **__: Context())
    return GssapiClient("ann@OURS.EXAMPLE", "secret", host="smart.example")


def test_gssapi_word_by_word(there: GssapiClient) -> None:
    assert there.initial is None
    assert there.answer(b"") == b"ticket"
    assert there.answer(b"me, too") == b""
    assert there.answer(b"wrapped:\x07\0\x10\0") == b"wrapped:\x01\0\0\0"
    there.accepted()
    with pytest.raises(WorldFault, match="after its end"):
        there.answer(b"wrapped:\x01\0\0\0")


@pytest.mark.threat("N12")
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ((b"broken",), "cannot go on: KeyError"),
        ((b"me, too", b"\x01\0\0\0"), "cannot go on: ValueError"),
        ((b"me, too", b"wrapped:\x06\0\x10\0"), "wants a security layer"),
        ((b"me, too", b"wrapped:\x01"), "wants a security layer"),
    ],
)
def test_a_server_that_lies(there: GssapiClient, said: tuple[bytes, ...], reason: str) -> None:
    there.answer(b"")
    *before, last = said
    for word in before:
        there.answer(word)
    with pytest.raises(WorldFault, match=reason):
        there.answer(last)


@pytest.mark.threat("N12")
def test_a_yes_without_a_proof_is_not_believed(there: GssapiClient) -> None:
    there.answer(b"")
    there.answer(b"me, too")
    with pytest.raises(WorldFault, match="without proving"):
        there.accepted()


def test_when_they_are_chosen() -> None:
    made = NtlmClient("ann", "x")
    able = Credentials("ann", "x", integrated=lambda mechanism, host: made)
    assert choose(("GSSAPI", "NTLM", "PLAIN"), ("PLAIN", "NTLM"), able, TLS) == "NTLM"
    assert choose(("GSSAPI", "NTLM", "PLAIN"), ("PLAIN", "NTLM"), Credentials("ann", "x"), TLS) == "PLAIN"
    assert exchange_for("NTLM", ("NTLM",), able, TLS, host="smart.example") is made
    with pytest.raises(WorldFault):
        exchange_for("NTLM", ("NTLM",), Credentials("ann", "x"), TLS)
