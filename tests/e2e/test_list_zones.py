"""List providers against rbldnsd: the same zone files over the DNS and in memory say the same."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from tests.adapters.test_list_feeds import World
from tests.facts.test_providers import World as Desks
from tests.services.rbldnsd import RbldnsdServer
from tests.shared_data import ABSENT, SHARED

from gatepost.config.list_settings import DomainProvider
from gatepost.config.schema import frozen

ZONES = SHARED / "dnsbl/zones"
CASES = SHARED / "dnsbl/rfc5782.json"
pytestmark = [
    pytest.mark.service("rbldnsd"),
    pytest.mark.skipif(not ZONES.exists(), reason=ABSENT),
]
ADDRESSES = (
    "127.0.0.2",
    "127.0.0.1",
    "192.0.2.77",
    "192.0.2.129",
    "198.51.100.7",
    "198.51.100.8",
    "203.0.113.5",
)
DOMAINS = (
    "spam-domain.example",
    "a.b.spam-domain.example",
    "phish.example",
    "www.phish.example",
    "good.example",
)


@pytest.mark.threat("M07")
def test_zones_in_the_dns_and_in_memory_say_the_same(tmp_path: Path) -> None:
    for file in ZONES.iterdir():
        shutil.copy(file, tmp_path)
    server = RbldnsdServer(
        list(tmp_path.iterdir()),
        ["bl.test:ip4set:ip4.rbldnsd", "bl6.test:ip6trie:ip6.rbldnsd", "dbl.test:dnset:dbl.rbldnsd"],
    )
    feeds = World(tmp_path).feeds(
        f4={"file": str(tmp_path / "ip4.rbldnsd"), "format": "ip4set", "counts-as": "provider"},
        f6={"file": str(tmp_path / "ip6.rbldnsd"), "format": "ip6trie", "counts-as": "provider"},
        names={"file": str(tmp_path / "dbl.rbldnsd"), "format": "dnset", "counts-as": "provider"},
    )

    async def scenario() -> None:
        resolver = server.resolver()
        await server.ready(resolver, "2.0.0.127.bl.test")
        await feeds.look()
        world = Desks()
        desk = world.desk(
            dns4={"zone": "bl.test", "ip-versions": [4], "reply": "{text}"},
            dns6={"zone": "bl6.test", "ip-versions": [6], "reply": "{text}"},
            here4={"feeds": ["f4"], "ip-versions": [4]},
            here6={"feeds": ["f6"], "ip-versions": [6]},
        )
        desk.lookup, desk.feeds = resolver, feeds
        assert await desk.check()
        assert world.events == []
        for address in (*ADDRESSES, "2001:db8:bad::25", "2001:db8:900d::25"):
            by_dns, here = await desk.ask(address)
            assert by_dns.problem == here.problem == "", address
            assert (by_dns.judged, by_dns.text) == (here.judged, here.text), address
        domains = {
            "by_dns": {"zone": "dbl.test", "reply": "{text}", "parents": False},
            "here": {"feeds": ["names"], "parents": False},
        }
        desk.domains = {name: DomainProvider.model_validate(frozen(one)) for name, one in domains.items()}
        desk.__post_init__()
        assert await desk.check()
        for domain in DOMAINS:
            by_dns, here = await desk.ask_domains({"helo": (domain,)})
            assert by_dns.problem == here.problem == "", domain
            assert (by_dns.judged, by_dns.text) == (here.judged, here.text), domain
        for case in json.loads(CASES.read_text()):
            if case.get("only_in", "ip4.rbldnsd") == "ip4.rbldnsd" and case["zone"] == "bl.test":
                assert (await desk.ask(case["query"]))[0].is_listed == case["listed"], case
        resolver.close()

    try:
        asyncio.run(scenario())
    finally:
        server.stop()
