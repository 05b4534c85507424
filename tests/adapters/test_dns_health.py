"""Which of several name servers is asked first, and what a gateway does while none of them answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count

import pytest
from tests.adapters.test_dns import resolver_of

from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.dns_health import SUSPECT_AFTER, in_order
from gatepost.config.dns_settings import Dns
from gatepost.lab.dns_server import Fault, LabDns, drop, honest, servfail
from gatepost.model.fault import WorldFault

ZONE = "*.good.example A 192.0.2.1\norg SOA ns.org. hostmaster.org. 1 3600 600 86400 30\n"


class Lines:
    """The log: the events only."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def write(self, _level: str, event: str, /, **_fields: object) -> None:
        self.events.append(event)


async def _asked(order: str, delays: tuple[float, float], questions: int) -> list[int]:
    """How many questions each of two servers got."""
    servers = [LabDns(ZONE, {"": Fault(honest, delay_s)}) for delay_s in delays]
    for server in servers:
        await server.start()
    settings = {"servers": tuple(f"127.0.0.1:{s.port}" for s in servers), "order": order, "timeout": "20s"}
    resolver = DnsResolver(Dns.model_validate(settings))
    for number in range(questions):
        assert await resolver.exists(f"a{number}.good.example", timeout_s=20)
    resolver.close()
    for server in servers:
        await server.stop()
    return [len(server.asked) for server in servers]


def test_the_faster_of_two_servers_is_asked_first_and_the_other_now_and_then() -> None:
    slow, fast = asyncio.run(_asked("fastest", (0.02, 0.0), 400))
    assert slow + fast == 400
    assert fast > 300
    assert slow >= 2, "what is known of a server fades, so that it is tried again"


def test_the_first_of_the_list_is_asked_where_that_is_wanted() -> None:
    assert asyncio.run(_asked("listed", (0.005, 0.0), 30)) == [30, 0]


def test_a_server_whose_word_on_dnssec_counts_is_asked_before_a_faster_one() -> None:
    async def scene() -> list[bool]:
        resolver = resolver_of(1, 2)
        first, second = resolver.servers
        first.trust_ad, first.usual_s, second.trust_ad, second.usual_s = False, 0.001, True, 0.1
        order = [in_order(resolver.servers, 0.0, "fastest")[0] is second]
        second.avoid_until = 10.0
        order.append(in_order(resolver.servers, 0.0, "fastest")[0] is first)
        return order

    assert asyncio.run(scene()) == [True, True]


@pytest.mark.threat("M01", "M14")
def test_while_no_server_answers_nobody_waits_and_the_first_answer_ends_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gatepost.adapters.dns_health.PROBE_S", 0.05)

    async def scene() -> None:
        server, lines = LabDns(ZONE, {"": Fault(drop)}), Lines()
        await server.start()
        settings = {"servers": (f"127.0.0.1:{server.port}",), "timeout": "100ms"}
        resolver = DnsResolver(Dns.model_validate(settings), lines)

        async def ask(number: int) -> str:
            try:
                await resolver.exists(f"b{number}.good.example", timeout_s=5)
            except WorldFault as fault:
                return fault.reason.rpartition(": ")[2]
            return "known"

        # Given a server that has fallen silent: the first who ask wait for it
        said = Counter(await asyncio.gather(*map(ask, range(SUSPECT_AFTER))))
        assert said == {"no answer": SUSPECT_AFTER}
        # Then one question is asked that it could answer at any time, and then nobody waits any more
        others = count(1000)  # what nobody answered is remembered for a second
        while (reason := await ask(next(others))) == "no answer":
            await asyncio.sleep(0.01)
        assert reason.startswith("no server answers")
        assert "dns-is-silent" in lines.events
        asked = len(server.asked)
        said = Counter(await asyncio.gather(*map(ask, range(20000, 22000))))
        assert said == {reason: 2000}
        assert {name.lower() for name, _, _ in list(server.asked)[asked:]} <= {"org"}
        # And when it speaks again, be it that it does not know, all questions are asked again
        server.faults[""] = Fault(servfail)
        while (reason := await ask(50000)).startswith("no server answers"):
            await asyncio.sleep(0.01)
        server.faults.clear()
        assert await ask(60000) == "known"
        assert "dns-answers-again" in lines.events
        resolver.close()
        await server.stop()

    asyncio.run(scene())


def test_names_that_nobody_answers_for_do_not_silence_the_others() -> None:
    async def scene() -> None:
        server, lines = LabDns(ZONE, {"dead.example": Fault(drop)}), Lines()
        await server.start()
        settings = {"servers": (f"127.0.0.1:{server.port}",), "timeout": "300ms"}
        resolver = DnsResolver(Dns.model_validate(settings), lines)
        for _ in range(2):
            dead = (resolver.exists(f"d{n}.dead.example", timeout_s=5) for n in range(SUSPECT_AFTER))
            assert all(isinstance(e, WorldFault) for e in await asyncio.gather(*dead, return_exceptions=True))
            assert await resolver.exists("c.good.example", timeout_s=5)
            resolver.forget()
        assert "dns-is-silent" not in lines.events
        resolver.close()
        await server.stop()

    asyncio.run(scene())
