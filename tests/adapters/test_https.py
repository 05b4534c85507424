"""Questions over HTTPS against a real server: who is believed, what is followed, how long is waited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.fakes import FakeClock
from tests.intake.house import Lines, NoDns
from tests.services.issuer import IssuerServer, answer

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.tls import client_pump
from gatepost.adapters.token_keys import RETRY_S, TokenKeysUrl
from gatepost.model.fault import WorldFault
from gatepost.model.https_url import HttpsUrl, parse_https_url
from gatepost.ports.https import HttpsRequest
from gatepost.routing.addresses import may_be_dialled


class Names(NoDns):
    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        return ("127.0.0.2", "127.0.0.1") if name != "nowhere.example" else ()


def request(url: str, **wishes: Any) -> HttpsRequest:
    return HttpsRequest(url=parse_https_url(url), **{"answer_limit_bytes": 100, "timeout_s": 30.0, **wishes})


def with_issuer(
    tmp_path: Path, scenario: Callable[[IssuerServer, HttpsAsker], Awaitable[None]], ca_file: str = ""
) -> None:
    async def run() -> None:
        issuer = IssuerServer(tmp_path)
        await issuer.start()
        try:
            asker = HttpsAsker(Names(), LoopDialer(client_pump), ca_file=ca_file or str(issuer.ca_file))
            await scenario(issuer, asker)
        finally:
            await issuer.stop()

    asyncio.run(run())


def test_a_question_and_its_answer(tmp_path: Path) -> None:
    async def scenario(issuer: IssuerServer, https: HttpsAsker) -> None:
        issuer.answer = lambda *_: answer(b"yes")
        asked = request(issuer.url("/a?b=c"), body=b"token=x", authorization="Basic eA==")
        assert await https.ask(asked) == b"yes"
        # By name, over the second of its addresses
        assert await https.ask(request(f"https://issuer.example:{issuer.port}/keys")) == b"yes"
        (posted, body), (got, _) = issuer.asked
        assert posted.startswith("POST /a?b=c HTTP/1.1\r\n")
        assert f"Host: 127.0.0.1:{issuer.port}\r\n" in posted
        assert "Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic eA==\r\n" in posted
        assert body == b"token=x"
        assert got.startswith("GET /keys HTTP/1.1\r\n")
        assert "Authorization" not in got

    with_issuer(tmp_path, scenario)


REFUSED = [
    ("a redirect", answer(b"", "302 Found", "Location: https://elsewhere.example/"), "302, and redirects"),
    ("an error", answer(b"no", "500 Oops"), "answered 500"),
    ("nothing to say", answer(b"", "204 Nothing"), "answered 204"),
    ("much too long", answer(b"x" * 101), "longer than 100 octets"),
    ("cut off", answer(b"xx")[:-1], "the answer is not HTTP"),
    ("not HTTP", b"* OK IMAP4rev1 ready\r\n\r\n", "the answer is not HTTP"),
    ("gone", b"", "the server closed the connection"),
]


@pytest.mark.threat("E08")
@pytest.mark.parametrize(("name", "said", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_no_answer(tmp_path: Path, name: str, said: bytes, reason: str) -> None:
    async def scenario(issuer: IssuerServer, https: HttpsAsker) -> None:
        issuer.answer = lambda *_: said
        with pytest.raises(WorldFault, match=reason):
            await https.ask(request(issuer.url()))

    with_issuer(tmp_path, scenario)


@pytest.mark.threat("E08")
def test_a_server_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    async def scenario(issuer: IssuerServer, https: HttpsAsker) -> None:
        issuer.answer = lambda *_: None
        with pytest.raises(WorldFault, match=r"within 0\.5 s"):
            await https.ask(request(issuer.url(), timeout_s=0.5))

    with_issuer(tmp_path, scenario)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    async def scenario(issuer: IssuerServer, https: HttpsAsker) -> None:
        url = issuer.url()
        await issuer.stop()
        with pytest.raises(WorldFault, match="no connection"):
            await https.ask(request(url))
        with pytest.raises(WorldFault, match=r"nowhere\.example has no address"):
            await https.ask(request("https://nowhere.example/"))

    with_issuer(tmp_path, scenario)


@pytest.mark.threat("E08")
def test_a_certificate_for_another_name_or_of_another_authority_is_not_believed(tmp_path: Path) -> None:
    async def scenario(issuer: IssuerServer, https: HttpsAsker) -> None:
        with pytest.raises(WorldFault, match="TLS failed: CERTIFICATE_VERIFY_FAILED"):
            await https.ask(request(f"https://other.example:{issuer.port}/"))
        assert issuer.asked == []

    with_issuer(tmp_path, scenario)
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with_issuer(tmp_path, scenario, ca_file=str(other))


@pytest.mark.parametrize(
    ("text", "url", "authority"),
    [
        ("https://a.example", HttpsUrl("a.example", 443, "/"), "a.example"),
        ("https://A.example:8443/b/c?d=e", HttpsUrl("a.example", 8443, "/b/c?d=e"), "a.example:8443"),
        ("https://[2001:DB8::1]/", HttpsUrl("2001:db8::1", 443, "/"), "[2001:db8::1]"),
    ],
)
def test_a_url(text: str, url: HttpsUrl, authority: str) -> None:
    assert parse_https_url(text) == url
    assert url.authority == authority


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://a.example/",
        "https://",
        "https:///path",
        "https://u:p@a.example/",
        "https://a.example/#b",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://[::1/",
        "https://[a.example]/",
        "https://a b.example/",
        "https://bücher.example/",
        "https://a.example\r\nX: y/",
        "https://a$.example/",
        "https://a.example/" + "x" * 2048,
    ],
)
def test_no_url(text: str) -> None:
    with pytest.raises(ValueError):
        parse_https_url(text)


@pytest.mark.threat("E08")
def test_published_keys_are_believed_for_a_while() -> None:
    async def run() -> None:
        said: list[bytes | WorldFault] = [WorldFault("away"), b"one", b"one", WorldFault("away"), b"two"]

        async def fetch() -> bytes:
            now = said.pop(0)
            if isinstance(now, WorldFault):
                raise now
            return now

        clock, lines = FakeClock(), Lines()
        keys = TokenKeysUrl(fetch, refresh_s=600, age_s=3600, clock=clock, log=lines)

        # Given an issuer that is away at first: nobody can be told from anybody
        with pytest.raises(WorldFault) as caught:
            keys.read()
        assert caught.value.reply.code == 454
        assert not await keys.refresh()
        assert lines.written == [("token-keys-unavailable", {"level": "error", "reason": "away"})]
        # When it is there, its keys stay the same object as long as they are the same
        assert await keys.refresh()
        first = keys.read()
        assert await keys.refresh()
        assert keys.read() is first
        # Then it may be away for an hour, and not longer
        clock.advance(3599)
        assert not await keys.refresh()
        assert keys.read() is first
        clock.advance(1)
        with pytest.raises(WorldFault):
            keys.read()
        assert await keys.refresh()
        assert keys.read() == b"two"

    asyncio.run(run())


def test_fetching_goes_on_and_sooner_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        waits: list[float] = []
        said: list[bytes] = [b"", b"one"]

        async def fetch() -> bytes:
            if data := said.pop(0):
                return data
            raise WorldFault("away")

        async def sleep(seconds: float) -> None:
            waits.append(seconds)
            if not said:
                raise asyncio.CancelledError

        monkeypatch.setattr("gatepost.adapters.token_keys.asyncio.sleep", sleep)
        with pytest.raises(asyncio.CancelledError):
            await TokenKeysUrl(fetch, refresh_s=600, age_s=3600, clock=FakeClock(), log=Lines()).run()
        assert waits == [RETRY_S, 600]

    asyncio.run(run())


@pytest.mark.threat("R11")
def test_no_name_leads_to_a_cloud_s_metadata_and_no_feed_into_our_networks(tmp_path: Path) -> None:
    class Leads:
        """A name that leads where the test says."""

        def __init__(self, *addresses: str) -> None:
            self._found = addresses

        async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
            return self._found

    async def asked(*addresses: str, public_only: bool = False) -> str:
        resolver: Any = Leads(*addresses)
        https = HttpsAsker(resolver, LoopDialer(client_pump), ca_file="", is_public=may_be_dialled)
        with pytest.raises(WorldFault) as fault:
            await https.ask(request("https://issuer.example:1/", public_only=public_only))
        return fault.value.reason

    async def scenario() -> None:
        assert "no possible address" in await asked("169.254.169.254", "fe80::1", "0.0.0.0")  # refused
        assert "no public address" in await asked("10.0.0.5", "127.0.0.1", "::1", public_only=True)
        assert "has no" not in await asked("127.0.0.1")  # our own service: it is dialled

    asyncio.run(scenario())


def test_what_a_stranger_names_is_asked_at_public_addresses_only_and_believed_by_its_media_type(
    tmp_path: Path,
) -> None:
    async def scenario(issuer: IssuerServer, https: HttpsAsker) -> None:
        issuer.answer = lambda *_: answer(b"yes")
        url = f"https://issuer.example:{issuer.port}/"
        with pytest.raises(WorldFault, match="not text/plain"):
            await https.ask(request(url, accept="text/plain", accept_only=True))
        inside = HttpsAsker(Names(), LoopDialer(client_pump), ca_file="", is_public=lambda _: False)
        with pytest.raises(WorldFault, match="has no public address"):
            await inside.ask(request(url, public_only=True))
        assert len(issuer.asked) == 1

    with_issuer(tmp_path, scenario)
