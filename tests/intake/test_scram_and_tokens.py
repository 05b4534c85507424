"""SCRAM and tokens: our server's half against our client's half, RFC 7677's example, and everything that is wrong."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.delivery.authentication import Credentials as Secret
from gatepost.delivery.authentication import choose, exchange_for
from gatepost.intake.auth_exchange import Challenge, KeysWanted, Proven, Step, TokenShown
from gatepost.intake.sasl import BearerExchange, ScramExchange
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.session import TlsInfo
from gatepost.protocol.sasl_client import ScramClient
from gatepost.protocol.scram import (
    client_proof,
    derive_keys,
    final_without_proof,
    read_client_final,
    read_client_first,
    read_name,
    read_server_first,
    write_name,
)

KEYS = derive_keys("pencil", salt=base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), iterations=4096)
END_POINT = b"e" * 32
TLS = TlsInfo(version="TLSv1.3", cipher="x", bits=256, server_end_point=END_POINT)


def server(*, bound_to: bytes = b"", plus_offered: bool = False) -> ScramExchange:
    return ScramExchange(nonce="%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", bound_to=bound_to, plus_offered=plus_offered)


def client(*, password: str = "pencil", end_point: bytes = b"", plus: bool = False) -> ScramClient:
    return ScramClient("user", password, nonce="rOprNGfwEbeRWgbNEkqO", end_point=end_point, plus=plus)


def challenge(step: Step) -> bytes:
    assert isinstance(step, Challenge)
    return base64.b64decode(step.text)


def converse(here: ScramExchange, there: ScramClient) -> Step:
    """The whole exchange; the last step of the server."""
    assert here.respond(there.initial) == KeysWanted("user")
    proof = there.answer(challenge(here.know(KEYS)))
    step = here.respond(there.answer(challenge(here.respond(proof))))
    there.accepted()
    return step


def test_the_example_of_rfc_7677() -> None:
    here, there = server(), client()
    assert there.initial == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    here.respond(there.initial)
    said = challenge(here.know(KEYS))
    assert said == b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    proof = there.answer(said)
    assert proof.endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    assert challenge(here.respond(proof)) == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert here.respond(b"") == Proven("user")


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (server(), client()),
        (server(), client(end_point=END_POINT)),
        (server(bound_to=END_POINT, plus_offered=True), client(end_point=END_POINT, plus=True)),
    ],
    ids=["unbound", "the client could bind, we do not offer it", "bound"],
)
def test_both_halves_agree(here: ScramExchange, there: ScramClient) -> None:
    assert converse(here, there) == Proven("user")


REFUSED = [
    ("a wrong password", server(), client(password="pen"), 535),
    ("a channel to somebody else", server(bound_to=END_POINT), client(end_point=b"m" * 32, plus=True), 535),
    ("-PLUS taken out of our EHLO", server(plus_offered=True), client(end_point=END_POINT), 535),
    ("a binding without -PLUS", server(), client(end_point=END_POINT, plus=True), 501),
    ("-PLUS without a binding", server(bound_to=END_POINT), client(), 501),
]


@pytest.mark.threat("E05", "E07")
@pytest.mark.parametrize(("name", "here", "there", "code"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_does_not_hold_is_refused(name: str, here: ScramExchange, there: ScramClient, code: int) -> None:
    with pytest.raises(PeerFault) as caught:
        converse(here, there)
    assert caught.value.reply.code == code


OPENINGS = [
    (b"n,a=boss,n=user,r=x", 535),
    (b"n,,n=,r=x", 535),
    (b"n,,n=" + b"u" * 1025 + b",r=x", 535),
    (b"n,,m=ext,n=user,r=x", 501),
    (b"n,,n=us=er,r=x", 501),
    (b"n,,n=user,r=a,b", 501),
    (b"n,,n=user,r=", 501),
    (b"p=tls-unique,,n=user,r=x", 501),
    (b"n,,n=user,r=" + b"x" * 513, 501),
    (b"x" * 5000, 501),
    (b"\xff", 501),
    (b"", 501),
]


@pytest.mark.threat("E04", "E05", "E09")
@pytest.mark.parametrize(("opening", "code"), OPENINGS)
def test_a_bad_opening(opening: bytes, code: int) -> None:
    with pytest.raises(PeerFault) as caught:
        server().respond(opening)
    assert caught.value.reply.code == code


@pytest.mark.threat("E04")
def test_a_proof_of_another_login_does_not_count() -> None:
    # Given somebody who saw a whole login and says its proof again, nonce and all
    seen, there = server(), client()
    seen.respond(there.initial)
    proof = there.answer(challenge(seen.know(KEYS)))
    here = ScramExchange(nonce="another", bound_to=b"", plus_offered=False)
    here.respond(there.initial)
    here.know(KEYS)
    with pytest.raises(PeerFault):
        here.respond(proof)
    # Or one who knows the password and leaves our nonce out
    here = server()
    here.respond(there.initial)
    said = challenge(here.know(KEYS))
    bare = final_without_proof(binding=b"n,,", nonce="rOprNGfwEbeRWgbNEkqO")
    good, _ = client_proof(
        "pencil", read_server_first(said), f"n=user,r=rOprNGfwEbeRWgbNEkqO,{said.decode()},{bare}"
    )
    with pytest.raises(PeerFault):
        here.respond(f"{bare},p={good}".encode())


@pytest.mark.threat("E05")
def test_ones_own_identity_may_be_named() -> None:
    assert server().respond(b"n,a=USER,n=user,r=x") == KeysWanted("user")


@pytest.mark.threat("E04")
@pytest.mark.parametrize(
    "final",
    [b"", b"c=biws,r=x", b"c=biws,r=x,p=AA==", b"c=?,r=x,p=" + base64.b64encode(bytes(32)), b"\0" * 10],
)
def test_a_bad_proof(final: bytes) -> None:
    here = server()
    here.respond(b"n,,n=user,r=x")
    here.know(KEYS)
    with pytest.raises(PeerFault) as caught:
        here.respond(final)
    assert caught.value.reply.code == 501


@pytest.mark.threat("E04")
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_whatever_is_said_is_answered(first: bytes, second: bytes) -> None:
    for prefix in (b"", b"n,,n=user,r=x"):
        here = server()
        try:
            if isinstance(here.respond(prefix + first), KeysWanted):
                here.know(KEYS)
                here.respond(second)
        except PeerFault:
            continue


@given(st.text(max_size=40))
def test_names_come_back(name: str) -> None:
    assert read_name(write_name(name)) == name
    assert "," not in write_name(name)


# The client, against a server that lies.

SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqOmore,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
LIES = [
    ("another nonce", b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
    ("our nonce with nothing of its own", b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"),
    ("few iterations", SERVER_FIRST.replace(b"4096", b"1")),
    ("endless iterations", SERVER_FIRST.replace(b"4096", b"999999999")),
    ("no salt", b"r=rOprNGfwEbeRWgbNEkqOmore,s=,i=4096"),
    ("an error", b"e=unknown-user"),
    ("nothing", b""),
]


@pytest.mark.threat("N12")
@pytest.mark.parametrize("lie", [row[1] for row in LIES], ids=[row[0] for row in LIES])
def test_a_server_that_lies_learns_nothing(lie: bytes) -> None:
    with pytest.raises(WorldFault):
        client().answer(lie)


@pytest.mark.threat("N12")
def test_a_server_that_cannot_prove_itself_is_not_believed() -> None:
    there = client()
    there.answer(SERVER_FIRST)
    with pytest.raises(WorldFault):
        there.accepted()
    with pytest.raises(WorldFault):
        there.answer(b"v=AAAA")


SECRET = Secret("ann", "secret", nonce=lambda: "abc")
TOKEN = Secret("ann", token=lambda: "t0ken")
ALL = ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2")
CHOICES = [
    ("the strongest", ALL, SECRET, TLS, "SCRAM-SHA-256-PLUS"),
    ("nothing to bind to", ALL, SECRET, replace(TLS, server_end_point=b""), "SCRAM-SHA-256"),
    ("what is offered", ("LOGIN", "PLAIN", "NTLM"), SECRET, TLS, "PLAIN"),
    ("a token", ALL, TOKEN, TLS, "OAUTHBEARER"),
    ("a token at a large provider", ("XOAUTH2", "PLAIN"), TOKEN, TLS, "XOAUTH2"),
    ("a token is no password", ("PLAIN", "LOGIN"), TOKEN, TLS, None),
    ("a password is no token", ("XOAUTH2",), SECRET, TLS, None),
    ("nothing we know", ("NTLM", "CRAM-MD5"), SECRET, TLS, None),
]


@pytest.mark.parametrize(
    ("name", "offered", "secret", "tls", "chosen"), CHOICES, ids=[row[0] for row in CHOICES]
)
def test_the_choice(
    name: str, offered: tuple[str, ...], secret: Secret, tls: TlsInfo, chosen: str | None
) -> None:
    assert choose(ALL, offered, secret, tls) == chosen


@pytest.mark.parametrize(
    ("mechanism", "offered", "initial"),
    [
        ("SCRAM-SHA-256-PLUS", ALL, b"p=tls-server-end-point,,n=ann,r=abc"),
        ("SCRAM-SHA-256", ALL, b"n,,n=ann,r=abc"),
        ("SCRAM-SHA-256", ("SCRAM-SHA-256",), b"y,,n=ann,r=abc"),
    ],
)
def test_what_the_client_says_of_bindings(mechanism: str, offered: tuple[str, ...], initial: bytes) -> None:
    assert exchange_for(mechanism, offered, SECRET, TLS).initial == initial


@pytest.mark.threat("E15")
def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(SECRET)
    assert "t0ken" not in repr(TokenShown("ann", "t0ken"))
    assert "stored" not in repr(KEYS)


# Tokens.


@pytest.mark.parametrize(
    ("is_google", "mechanism"), [(False, "OAUTHBEARER"), (True, "XOAUTH2")], ids=["OAUTHBEARER", "XOAUTH2"]
)
def test_a_token_is_shown(is_google: bool, mechanism: str) -> None:
    said = exchange_for(mechanism, ALL, replace(TOKEN, user="a,n=n"), TLS).initial
    assert BearerExchange(is_google=is_google).respond(said) == TokenShown("a,n=n", "t0ken")


@pytest.mark.threat("E14")
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"user=ann\x01auth=Bearer " + b"t" * 8193 + b"\x01\x01", 535),
        (b"user=ann\x01auth=Basic t\x01\x01", 501),
        (b"user=ann\x01auth=Bearer t", 501),
        (b"user=ann\x01auth=Bearer t\x01auth=Bearer u\x01\x01", 501),
        (b"ann\x01auth=Bearer t\x01\x01", 501),
        (b"user=ann\x01\x01", 501),
        (b"", 501),
    ],
)
def test_a_bad_show(said: bytes, code: int) -> None:
    with pytest.raises(PeerFault) as caught:
        BearerExchange(is_google=True).respond(said)
    assert caught.value.reply.code == code


def test_a_refused_token_is_explained_before_the_no() -> None:
    exchange = BearerExchange(is_google=False)
    exchange.respond(b"n,,\x01auth=Bearer t\x01\x01")
    assert challenge(exchange.refuse()) == b'{"status":"invalid_token"}'
    with pytest.raises(PeerFault) as caught:
        exchange.respond(b"\x01")
    assert caught.value.reply.code == 535


@given(st.binary(max_size=200))
def test_messages_of_any_kind_are_values_or_errors(data: bytes) -> None:
    for read in (read_client_first, read_server_first, read_client_final):
        try:
            read(data)
        except ValueError:
            continue
