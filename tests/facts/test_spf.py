"""Which identity SPF checks, for whom, and what is kept of the answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from tests.policy.fakes import session, view
from tests.standards.zones import Zones, texts

from gatepost.config.spf_settings import Spf
from gatepost.facts.spf import UNCHECKED, SpfChecks, SpfResult
from gatepost.model.verdict import Stage

ZONES = {"client.test": "v=spf1 ip4:192.0.2.0/24 -all", "mx.client.test": "v=spf1 a -all"}


def find(zones: Zones, *, sender: str = "ann@client.test", settings: Spf = Spf(), **who: Any) -> SpfResult:  # noqa: B008  # frozen
    checks = SpfChecks(settings, zones, receiver="mx.gate.test", lookup_timeout_s=1.0)

    async def ask() -> SpfResult:
        found = checks.find(view(Stage.MAIL, who=session(**who), sender=sender))
        if not isinstance(found, SpfResult):
            found = await found
        assert isinstance(found, SpfResult)
        return found

    return asyncio.run(ask())


def test_the_return_path_and_the_ehlo_name() -> None:
    found = find(texts(ZONES), helo="MX.client.test.")
    assert (found.result, found.identity, found.domain) == ("pass", "mailfrom", "client.test")
    assert (found.term, found.path) == ("ip4:192.0.2.0/24", ("client.test",))
    assert (found.helo_result, found.helo_domain) == ("fail", "mx.client.test")


@pytest.mark.threat("J32")
def test_a_pass_of_the_ehlo_name_is_no_pass_of_the_return_path() -> None:
    found = find(texts({"mx.evil.test": "v=spf1 +all", "client.test": "v=spf1 -all"}), helo="mx.evil.test")
    assert (found.result, found.identity, found.domain) == ("fail", "mailfrom", "client.test")
    assert found.helo_result == "pass"


def test_without_a_return_path_the_ehlo_name_is_checked() -> None:
    found = find(texts(ZONES), sender="", helo="mx.client.test")
    assert (found.result, found.identity, found.domain) == ("fail", "helo", "mx.client.test")


@pytest.mark.threat("J09")
@pytest.mark.parametrize(
    "helo", ["[192.0.2.7]", "localhost", "\x00 <>", "", "a" * 2000, "ä..test", "1.2.3.4"]
)
def test_an_ehlo_name_that_is_none(helo: str) -> None:
    assert find(texts(ZONES), sender="", helo=helo).result == "none"
    assert find(texts(ZONES), helo=helo).helo_result == ""


@pytest.mark.threat("J11")
def test_a_name_that_does_not_exist_below_a_protected_domain() -> None:
    assert find(texts(ZONES), sender="ann@no.client.test").result == "none"


def test_the_ehlo_name_is_left_alone_where_it_is_so_wished() -> None:
    zones = texts(ZONES)
    settings = Spf.model_validate({"check-helo": False})
    assert find(zones, settings=settings, helo="mx.client.test").helo_result == ""
    assert zones.asked == [("client.test", "TXT")]


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "", "no address"])
def test_clients_that_are_not_checked(ip: str) -> None:
    zones = texts(ZONES)
    found = find(zones, client_ip=ip)
    assert (found.result, found.problem, zones.asked) == ("none", UNCHECKED, [])


def test_the_address_behind_our_relays_is_checked() -> None:
    assert find(texts(ZONES), client_ip="10.0.0.1", origin_ip="203.0.113.9").result == "fail"


def test_a_silent_name_server_is_a_temperror_and_no_unknown_fact() -> None:
    found = find(Zones({}, frozenset({"client.test"})))
    assert (found.result, found.problem) == ("temperror", "client.test TXT: no name server answers")


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError):
        Spf.model_validate({"unchecked-networks": ("10.0.0.0/33",)})
