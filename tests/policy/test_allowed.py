"""Clients on an allow list: whom they are spared, from when on, and that nobody after them is."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Mapping
from typing import Any

import pytest
from tests.agents.asking import settings as table
from tests.facts.test_providers import World as Providers
from tests.fakes import FakeClock
from tests.policy.fakes import Lines, Mailboxes, Names, session, settings_of, view

from gatepost.adapters.address_lists import SharedAddressLists
from gatepost.adapters.counters import MemoryCounters
from gatepost.agents.ip_lists import IpLists
from gatepost.facts.provider_desk import ProviderDesk
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Disposition, Stage, Verdict
from gatepost.policy.assembly import build
from gatepost.policy.hearing import Hearing
from gatepost.policy.third_party import ThirdParty
from gatepost.ports.memory_shared import MemoryShared
from gatepost.routing.accepted import accepted_domains

IP = "192.0.2.7"


class Strict:
    """Refuse everybody."""

    name = "strict"
    needs = {Stage.RCPT: (), Stage.DATA: ()}  # noqa: RUF012  # a stand-in
    when_unknown = Action.PASS
    is_filter = True
    findings = ()

    def __init__(self, *_: Any) -> None: ...

    def examine(self, *_: Any) -> Verdict:
        return Verdict.reject("strict", Reply(550, "5.7.1", "No"), "always")


def hearing(
    given: Mapping[str, Any], lists: SharedAddressLists | None = None, providers: ProviderDesk | None = None
) -> Hearing:
    settings = settings_of()
    return build(
        settings,
        {"ip-lists": table(IpLists, given)},
        accepted=accepted_domains(settings),
        resolver=Names(),
        directory=Mailboxes(),
        log=Lines(),
        counters=MemoryCounters(),
        revision="0123456789ab",
        third_party=ThirdParty(agents=(Strict,)),
        lists=lists,
        providers=providers,
    ).hearing("internet")


async def said(used: Hearing, stage: Stage, **more: Any) -> str:
    answer = used.ask(view(stage, **more))
    found = await answer if inspect.isawaitable(answer) else answer
    assert isinstance(found, Disposition)
    return f"{found.reply.code} {found.decided_by}" if found.reply is not None else "pass"


def allowing() -> SharedAddressLists:
    clock = FakeClock()
    lists = SharedAddressLists(MemoryShared(clock.now), clock.now)
    for name in ("allow", "block"):
        lists.add(name, IP, expires_at=math.inf, author="ann", comment="")
    return lists


@pytest.mark.parametrize(
    ("skips", "expected"),
    [
        (["exchange"], "pass"),
        (["strict"], "pass"),
        (["block-list-providers"], "550 strict"),
        ([], "550 strict"),
    ],
)
def test_what_a_client_on_our_allow_list_is_spared(skips: list[str], expected: str) -> None:
    async def scenario() -> None:
        used = hearing({"allow-skips": skips}, allowing())
        assert await said(used, Stage.CONNECT) == "pass"
        await said(used, Stage.MAIL)
        assert await said(used, Stage.RCPT, recipient="bob@gate.test") == expected
        assert await said(used, Stage.RCPT, recipient="u@foreign.test") == "550 relay-restriction"
        used.forget_mail()
        await said(used, Stage.MAIL)
        assert await said(used, Stage.RCPT, recipient="bob@gate.test") == expected
        used.forget_client()  # a proxy says that it is somebody else
        other = session(client_ip="198.51.100.1")
        await said(used, Stage.CONNECT, who=other)
        assert await said(used, Stage.RCPT, recipient="bob@gate.test", who=other) == "550 strict"

    asyncio.run(scenario())


def test_only_exchanges_list_exempts_from_the_level() -> None:
    async def scenario() -> None:
        for skips, level in ((["exchange"], -1), (["strict"], 0)):
            used = hearing({"allow-skips": skips}, allowing())
            await said(used, Stage.CONNECT)
            await said(used, Stage.MAIL)
            assert await said(used, Stage.RCPT, recipient="bob@gate.test") == "pass"
            decisions = used.decide(view(Stage.END_OF_DATA, recipients=("bob@gate.test",)))
            found = await decisions if inspect.isawaitable(decisions) else decisions
            assert [d.disposition.scl for d in found] == [level]

    asyncio.run(scenario())


def test_an_allow_list_provider_spares_from_the_first_recipient_on() -> None:
    world = Providers()
    world.zones.records = {"7.2.0.192.wl.test": ("127.0.0.2",), "7.2.0.192.bl.test": ("127.0.0.2",)}
    desk = world.desk(allow_wl={"zone": "wl.test"}, bl={"zone": "bl.test"})

    async def scenario() -> None:
        used = hearing({"allow-skips": ["strict"]}, None, desk)
        await said(used, Stage.CONNECT)
        for _ in range(2):
            assert await said(used, Stage.RCPT, recipient="bob@gate.test") == "pass"
        assert await said(used, Stage.DATA) == "pass"
        assert await said(used, Stage.RCPT, recipient="u@foreign.test") == "550 relay-restriction"

    asyncio.run(scenario())


def test_providers_are_asked_at_the_greeting_and_refuse_at_rcpt() -> None:
    world = Providers()
    world.zones.records = {"7.2.0.192.bl.test": ("127.0.0.2",)}

    async def scenario() -> None:
        used = hearing({}, None, world.desk(bl={"zone": "bl.test"}))
        assert await said(used, Stage.CONNECT) == "pass"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert world.zones.asked == ["7.2.0.192.bl.test"]
        assert await said(used, Stage.MAIL) == "pass"
        assert await said(used, Stage.RCPT, recipient="bob@gate.test") == "550 block-list-providers"
        assert world.zones.asked == ["7.2.0.192.bl.test"]

    asyncio.run(scenario())


def test_providers_are_not_asked_about_clients_on_our_allow_list() -> None:
    world = Providers()

    async def scenario() -> None:
        used = hearing({}, allowing(), world.desk(bl={"zone": "bl.test"}))
        await said(used, Stage.CONNECT)
        await said(used, Stage.RCPT, recipient="bob@gate.test")
        assert world.zones.asked == []

    asyncio.run(scenario())
