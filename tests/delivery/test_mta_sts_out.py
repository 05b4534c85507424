"""MTA-STS towards next hops: who gets the mail, who does not, and what happens when the policy cannot be had."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests import certificates
from tests.delivery.fakes import ListLog
from tests.delivery.published import DOMAIN, ENFORCE, MX, TESTING, Scene, Zone, http, play, sts_of
from tests.fakes import FakeClock

from gatepost.delivery.courier import NoHost
from gatepost.delivery.outcome import Fate
from gatepost.model.fault import WorldFault
from gatepost.routing.sts_entries import StsEntries

pytestmark = pytest.mark.filterwarnings(
    # A sink's TLS may still be saying goodbye when its loop ends
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
RECORD = (b"v=STSv1; id=1;",)
OTHER = certificates.leaf("other.example")
STRANGER = certificates.leaf(MX, by="stranger")
EXPIRED = certificates.expired(MX)

# What the server shows, what the domain publishes, whether the mail goes, what is noted.
CASES: list[tuple[str, dict[str, Any], bytes, str, list[tuple[str, str]]]] = [
    ("a server as the policy says", {}, ENFORCE, "verified", [("sts", "")]),
    ("an mx with a star", {}, ENFORCE.replace(b"mx: mx.", b"mx: *."), "verified", [("sts", "")]),
    (
        "a server that is not in the policy",
        {},
        ENFORCE.replace(b"mx: mx.", b"mx: m2."),
        "waits",
        [("sts", "validation-failure")],
    ),
    (
        "a certificate for another name",
        {"mail_certificate": OTHER},
        ENFORCE,
        "waits",
        [("sts", "certificate-host-mismatch")],
    ),
    (
        "a certificate nobody vouches for",
        {"mail_certificate": STRANGER},
        ENFORCE,
        "waits",
        [("sts", "certificate-not-trusted")],
    ),
    (
        "a certificate that has expired",
        {"mail_certificate": EXPIRED},
        ENFORCE,
        "waits",
        [("sts", "certificate-expired")],
    ),
    ("no STARTTLS", {"starttls": False}, ENFORCE, "waits", [("sts", "starttls-not-supported")]),
    ("testing, and all is well", {}, TESTING, "verified", [("sts", "")]),
    (
        "testing, and another certificate",
        {"mail_certificate": OTHER},
        TESTING,
        "encrypted",
        [("sts", "certificate-host-mismatch")],
    ),
    (
        "testing, and another server",
        {},
        TESTING.replace(b"mx: mx.", b"mx: m2."),
        "encrypted",
        [("sts", "validation-failure")],
    ),
    (
        "testing, and no STARTTLS",
        {"starttls": False},
        TESTING,
        "clear",
        [("sts", "starttls-not-supported")] * 2,
    ),
    (
        "mode none",
        {"mail_certificate": OTHER},
        b"version: STSv1\nmode: none\nmax_age: 1\n",
        "encrypted",
        [("no-policy-found", "")],
    ),
    (
        "a policy nobody can read",
        {"mail_certificate": OTHER},
        b"<html>",
        "encrypted",
        [("no-policy-found", "sts-policy-fetch-error")],
    ),
]


@pytest.mark.threat("D22")
@pytest.mark.parametrize(
    ("setting", "policy", "expected", "noted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_a_policy_decides(
    tmp_path: Path, setting: dict[str, Any], policy: bytes, expected: str, noted: list[tuple[str, str]]
) -> None:
    async def script(scene: Scene) -> None:
        scene.zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        scene.server.body = policy
        if expected == "waits":
            with pytest.raises(NoHost):
                await scene.deliver()
            assert scene.sink.mails == []
            assert "tls-policy-failed" in scene.log.events()
        else:
            done = await scene.deliver()
            assert done.outcomes[0].fate is Fate.DELIVERED
            assert bool(done.tls) is (expected != "clear")
        assert scene.noted.lines == noted

    play(tmp_path, script, **setting)


def test_without_a_record_nothing_is_fetched_and_the_dns_is_asked_once(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        for _ in range(3):
            await scene.deliver()
        assert scene.server.asked == []
        assert scene.zone.asked.count(f"TXT _mta-sts.{DOMAIN}") == 1

    play(tmp_path, script, mail_certificate=OTHER)


OVERRIDES: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    ("mta-sts is off", {"mta-sts": False}, {}, True),
    ("off for the domain", {"domains": {DOMAIN: {"mta-sts": "off"}}}, {}, True),
    ("off for its parent", {"domains": {"*.example": {"mta-sts": "off"}}}, {}, True),
    (
        "the connector says what TLS to the domain is",
        {},
        {"tls-domains": {DOMAIN: {"tls": "required"}}},
        True,
    ),
    (
        "enforced here, other servers",
        {"domains": {DOMAIN: {"mta-sts": "enforce", "mx": ["m2.b.example"]}}},
        {},
        False,
    ),
    ("nothing is set", {}, {}, False),
]


@pytest.mark.parametrize(
    ("outbound", "connector", "goes"), [o[1:] for o in OVERRIDES], ids=[o[0] for o in OVERRIDES]
)
def test_an_administrator_has_the_last_word(
    tmp_path: Path, outbound: dict[str, Any], connector: dict[str, Any], goes: bool
) -> None:
    async def script(scene: Scene) -> None:
        scene.zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        if goes:
            await scene.deliver()
        else:
            with pytest.raises(NoHost):
                await scene.deliver()

    play(tmp_path, script, mail_certificate=OTHER, outbound=outbound, connector=connector)


def test_enforced_here_without_any_record(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        done = await scene.deliver()
        assert done.outcomes[0].fate is Fate.DELIVERED
        assert scene.noted.lines == [("sts", "")]
        assert scene.zone.asked.count(f"TXT _mta-sts.{DOMAIN}") == 0

    domains = {DOMAIN: {"mta-sts": "enforce", "mx": ["*.b.example"]}}
    play(tmp_path, script, outbound={"mta-sts": False, "domains": domains})


def test_requiretls_is_content_with_a_server_that_a_policy_proved(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        scene.zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        done = await scene.deliver(require_tls=True)
        assert done.outcomes[0].reply.startswith("554 5.7.30")  # proven; it only does not offer REQUIRETLS
        assert len(scene.noted.lines) == 1

    play(tmp_path, script)


UNFETCHED = [
    ("a redirect", http(b"", "text/plain", "302 Found", "Location: https://other.example/")),
    ("not found", http(b"gone", "text/plain", "404 Not Found")),
    ("another media type", http(ENFORCE, "text/html")),
    ("ten MiB", http(ENFORCE + b"x" * (10 << 20))),
    ("a policy cut off", http(ENFORCE)[:-20]),
    ("not HTTP", b"hello\r\n\r\n"),
]


@pytest.mark.threat("D24")
@pytest.mark.parametrize("said", [u[1] for u in UNFETCHED], ids=[u[0] for u in UNFETCHED])
def test_what_is_no_policy_leaves_the_old_one_in_force(tmp_path: Path, said: bytes) -> None:
    async def script(scene: Scene) -> None:
        scene.zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        await scene.sts.of(DOMAIN)
        scene.zone.texts_of[f"_mta-sts.{DOMAIN}"] = (b"v=STSv1; id=2",)
        scene.server.answers = lambda: said
        scene.clock.advance(400)
        scene.sts.known(DOMAIN)
        await asyncio.gather(*scene.sts.looking)
        assert len(scene.server.asked) == 2
        entry = scene.sts.known(DOMAIN)
        assert entry is not None
        assert entry.problem
        assert entry.in_force(scene.clock.now()) is not None
        with pytest.raises(NoHost):
            await scene.deliver()

    play(tmp_path, script, mail_certificate=OTHER)


@pytest.mark.threat("D24")
def test_a_server_of_policies_with_another_certificate_is_not_asked(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        scene.zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        entry = await scene.sts.of(DOMAIN)
        assert "CERTIFICATE_VERIFY_FAILED" in entry.problem
        assert scene.server.asked == []

    play(tmp_path, script, policy_certificate=certificates.leaf(DOMAIN))


class Policies:
    """A fetch that counts, and its answers."""

    def __init__(self) -> None:
        self.body: bytes | WorldFault = ENFORCE
        self.count = 0

    async def __call__(self, domain: str) -> bytes:
        self.count += 1
        if isinstance(self.body, WorldFault):
            raise self.body
        return self.body


def test_the_life_of_a_policy() -> None:
    async def run() -> None:
        zone, clock, fetch = Zone(), FakeClock(), Policies()
        zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        sts = sts_of(zone, clock, ListLog(), fetch)

        async def after(seconds: float) -> Any:
            clock.advance(seconds)
            sts.known(DOMAIN)
            sts.refresh()
            await asyncio.gather(*sts.looking)
            entry = sts.known(DOMAIN)
            assert entry is not None
            return entry.in_force(clock.now())

        assert (await asyncio.gather(*(sts.of(DOMAIN) for _ in range(5))))[0].policy is not None
        assert fetch.count == 1, "five mails at once, one fetch"
        assert await after(400) is not None
        assert fetch.count == 1, "the id is the same"
        assert await after(44_000) is not None
        assert fetch.count == 2, "half of max_age has gone by"
        zone.texts_of.clear()
        fetch.body = WorldFault("no connection")
        assert await after(80_000) is not None, "neither record nor server: the old policy counts"
        assert await after(10_000) is None, "max_age has gone by"

    asyncio.run(run())


def test_an_unknown_record_is_not_no_record_and_holds_no_mail_up_for_ever() -> None:
    async def run() -> None:
        zone, clock, fetch = Zone(), FakeClock(), Policies()
        zone.unknown.add(f"_mta-sts.{DOMAIN}")
        sts = sts_of(zone, clock, ListLog(), fetch)
        assert "does not answer" in (await sts.of(DOMAIN)).problem
        await sts.of(DOMAIN)
        assert len(zone.asked) == 1, "not asked again at once"
        zone.unknown.clear()
        zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        clock.advance(400)
        sts.known(DOMAIN)
        await asyncio.gather(*sts.looking)
        assert (await sts.of(DOMAIN)).policy is not None

    asyncio.run(run())


def test_policies_outlive_a_restart_and_a_bad_file_is_told() -> None:
    async def run() -> None:
        zone, clock, fetch = Zone(), FakeClock(), Policies()
        zone.texts_of[f"_mta-sts.{DOMAIN}"] = RECORD
        before = sts_of(zone, clock, ListLog(), fetch)
        await before.of(DOMAIN)
        assert before.entries.has_news
        stored = before.entries.stored(clock.now())
        entries = StsEntries(100)
        entries.restore(stored, clock.now())
        zone.unknown.add(f"_mta-sts.{DOMAIN}")
        after = sts_of(zone, clock, ListLog(), fetch, entries)
        found = await after.of(DOMAIN)
        assert found.in_force(clock.now()) == (await before.of(DOMAIN)).policy
        await asyncio.gather(*after.looking)
        late = StsEntries(100)
        late.restore(stored, clock.now() + 90_000)
        assert len(late) == 0
        for bad in (b"", b"{}", b"[[[", stored[:-5], stored.replace(b"mx.b", b"*.*"), b"[" * 100_000):
            with pytest.raises(ValueError, match=r".+"):
                StsEntries(100).restore(bad, clock.now())

    asyncio.run(run())


def test_memory_is_bounded_and_domains_without_a_policy_go_first() -> None:
    async def run() -> None:
        zone, fetch = Zone(), Policies()
        sts = sts_of(zone, FakeClock(), ListLog(), fetch, StsEntries(10))
        zone.texts_of["_mta-sts.d0.example"] = RECORD
        for number in range(30):
            await sts.of(f"d{number}.example")
        assert len(sts.entries) == 10
        assert [domain for domain, _ in sts.entries.policies()] == ["d0.example"]

    asyncio.run(run())
