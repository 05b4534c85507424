"""Tokens by their issuer's word: what it must say, how long it is believed, what happens when it says nothing."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.fakes import FakeClock
from tests.intake.house import settings_with

from gatepost.intake.introspection import QUESTIONS_WAITING, Introspection
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.https import HttpsRequest

URL = "https://issuer.example/introspect"
ANN = {"active": True, "email": "ann@ours.example", "aud": "mail"}


class Issuer:
    """Answers with `said`; counts. Holds its answers while `gate` is shut."""

    def __init__(self, said: object) -> None:
        self.said = said
        self.asked: list[HttpsRequest] = []
        self.at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def ask(self, request: HttpsRequest) -> bytes:
        self.asked.append(request)
        self.at_once += 1
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if isinstance(self.said, Exception):
            raise self.said
        return self.said if isinstance(self.said, bytes) else json.dumps(self.said).encode()


def introspection(of: Issuer, clock: FakeClock, **tokens: Any) -> Introspection:
    asked = {"url": URL, "client-id": "gate:post", "secret-file": "x", **tokens.pop("introspection", {})}
    settings = settings_with(users={"tokens": {"audience": "mail", **tokens, "introspection": asked}})
    return Introspection(settings.users.tokens, of, secret=lambda: "sü ss", clock=clock)


def told(said: object, **tokens: Any) -> str:
    async def run() -> str:
        return await introspection(Issuer(said), FakeClock(now=1000.0), **tokens).user_of("t0ken")

    return asyncio.run(run())


GOOD = [
    ("no more than needed", ANN, {}),
    ("valid for a while", {**ANN, "exp": 1001, "nbf": 1000}, {}),
    ("within the leeway", {**ANN, "exp": 941, "nbf": 1060}, {}),
    ("for others, too", {**ANN, "aud": ["calendar", "mail"]}, {}),
    ("of the issuer", {**ANN, "iss": "me"}, {"issuer": "me"}),
    ("with the scope", {**ANN, "scope": "openid mail.send"}, {"scope": "mail.send"}),
    ("with the scope in a list", {**ANN, "scope": ["mail.send"]}, {"scope": "mail.send"}),
    ("by another name", {**ANN, "username": "ann@ours.example", "email": 1}, {"user-claim": "username"}),
    ("for anybody, when we do not ask", {"active": True, "email": "ann@ours.example"}, {"audience": ""}),
]


@pytest.mark.parametrize(("name", "said", "tokens"), GOOD, ids=[row[0] for row in GOOD])
def test_a_token_that_counts(name: str, said: object, tokens: dict[str, Any]) -> None:
    assert told(said, **tokens) == "ann@ours.example"


REFUSED = [
    ("not active", {**ANN, "active": False}, {}),
    ("expired", {**ANN, "exp": 940}, {}),
    ("not valid yet", {**ANN, "nbf": 1061}, {}),
    ("a time that is none", {**ANN, "exp": "soon"}, {}),
    ("for somebody else", {**ANN, "aud": "calendar"}, {}),
    ("for nobody", {"active": True, "email": "ann@ours.example"}, {}),
    ("of another issuer", {**ANN, "iss": "you"}, {"issuer": "me"}),
    ("without the scope", {**ANN, "scope": "mail.sender mail"}, {"scope": "mail.send"}),
    ("without any scope", ANN, {"scope": "mail.send"}),
    ("names nobody", {**ANN, "email": None}, {}),
    ("an address nobody verified", {**ANN, "email_verified": False}, {}),
]


@pytest.mark.threat("E14")
@pytest.mark.parametrize(("name", "said", "tokens"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_token_that_does_not_count(name: str, said: object, tokens: dict[str, Any]) -> None:
    with pytest.raises(PeerFault) as caught:
        told(said, **tokens)
    assert caught.value.reply.code == 535
    assert "t0ken" not in caught.value.reason


@pytest.mark.threat("E08")
@pytest.mark.parametrize(
    "said",
    [WorldFault("away"), b"", b"null", b"{}", b"[]", {"active": "yes"}, {"active": 1}, b"{" * 100_000],
    ids=["away", "nothing", "null", "an empty object", "a list", "a word", "a number", "nested without end"],
)
def test_an_issuer_that_does_not_say_is_neither_a_yes_nor_a_no(said: object) -> None:
    with pytest.raises(WorldFault) as caught:
        told(said)
    assert caught.value.reply.is_temporary


def test_how_the_issuer_is_asked() -> None:
    async def run() -> None:
        issuer = Issuer(ANN)
        await introspection(issuer, FakeClock(), timeout="7s").user_of("a+b/c==")
        (asked,) = issuer.asked
        assert (asked.url.authority, asked.url.target, asked.timeout_s) == (
            "issuer.example",
            "/introspect",
            7.0,
        )
        assert parse_qs(asked.body.decode()) == {"token": ["a+b/c=="], "token_type_hint": ["access_token"]}
        # RFC 6749 §2.3.1: name and secret are encoded before they are joined
        assert base64.b64decode(asked.authorization.removeprefix("Basic ")) == b"gate%3Apost:s%C3%BC+ss"
        assert "a%2Bb" not in repr(asked)
        assert "Basic" not in repr(asked)

    asyncio.run(run())


def test_a_yes_is_believed_for_a_while_and_never_after_the_end() -> None:
    async def run() -> None:
        clock = FakeClock(now=1000.0)
        issuer = Issuer(ANN)
        checking = introspection(issuer, clock)
        # Given a token that says no end: a minute
        for after_s, questions in ((0, 1), (59, 1), (1, 2)):
            clock.advance(after_s)
            await checking.user_of("a")
            assert len(issuer.asked) == questions
        # And one that ends sooner
        issuer.said = {**ANN, "exp": clock.now() + 10}
        await checking.user_of("b")
        clock.advance(9)
        await checking.user_of("b")
        assert len(issuer.asked) == 3
        clock.advance(1)
        issuer.said = {"active": False}
        with pytest.raises(PeerFault):
            await checking.user_of("b")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ({"introspection": {"cache-time": "0s"}}, ANN),
        ({}, {**ANN, "exp": 999}),  # within the leeway, and over
        ({}, {"active": False}),
    ],
    ids=["no cache", "over already", "a no"],
)
def test_what_is_asked_again_each_time(tokens: dict[str, Any], said: object) -> None:
    async def run() -> None:
        issuer = Issuer(said)
        checking = introspection(issuer, FakeClock(now=1000.0), **tokens)
        for _ in range(3):
            try:
                await checking.user_of("t")
            except PeerFault:
                assert said == {"active": False}
        assert len(issuer.asked) == 3

    asyncio.run(run())


def test_so_many_answers_are_remembered() -> None:
    async def run() -> None:
        issuer = Issuer(ANN)
        checking = introspection(issuer, FakeClock(), introspection={"cache-entries": 2})
        for token, questions in (("a", 1), ("b", 2), ("a", 2), ("c", 3), ("a", 3), ("b", 4)):
            await checking.user_of(token)
            assert len(issuer.asked) == questions, token

    asyncio.run(run())


@pytest.mark.threat("E08")
def test_so_many_questions_are_on_their_way_and_so_many_wait() -> None:
    async def run() -> None:
        issuer = Issuer(ANN)
        issuer.gate.clear()
        checking = introspection(issuer, FakeClock(), introspection={"requests-at-once": 3})
        waiting = [asyncio.create_task(checking.user_of(f"t{n}")) for n in range(QUESTIONS_WAITING)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert issuer.at_once == 3
        with pytest.raises(WorldFault) as caught:
            await checking.user_of("one more")
        assert caught.value.reply.code == 454
        issuer.gate.set()
        assert set(await asyncio.gather(*waiting)) == {"ann@ours.example"}

    asyncio.run(run())
