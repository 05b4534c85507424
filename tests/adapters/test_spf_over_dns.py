"""SPF over real questions to a real name server: splits, aliases, a server that refuses, TCP, and the cache."""

from __future__ import annotations

import asyncio

from gatepost.adapters.dns import DnsResolver
from gatepost.config.dns_settings import Dns
from gatepost.lab.dns_server import Fault, LabDns, refuse, truncate
from gatepost.standards.spf import Limits, Query, check_host
from gatepost.standards.spf_record import Result

ZONE = """
one.test. TXT "v=spf1 ip4:192.0." "2.0/24 -all"
usual.test. TXT "hello"
usual.test. TXT "v=spf1 a mx include:alias.test -all"
usual.test. A 203.0.113.1
usual.test. MX 10 mx.usual.test.
mx.usual.test. A 203.0.113.2
alias.test. CNAME one.test.
long.test. TXT "v=spf1 ptr:usual.test include:one.test -all"
7.2.0.192.in-addr.arpa. PTR host.usual.test.
host.usual.test. A 192.0.2.7
refused.test. TXT "v=spf1 -all"
"""
CASES = [
    ("one.test", Result.PASS, "ip4:192.0.2.0/24"),
    ("usual.test", Result.PASS, "ip4:192.0.2.0/24"),
    ("long.test", Result.PASS, "ptr:usual.test"),
    ("no.test", Result.NONE, ""),
    ("refused.test", Result.TEMPERROR, ""),
]


def test_over_the_wire() -> None:
    async def scenario() -> None:
        server = LabDns(ZONE, {"refused.test": Fault(refuse), "long.test": Fault(truncate)})
        await server.start()
        resolver = DnsResolver(
            Dns.model_validate({"servers": (f"127.0.0.1:{server.port}",), "timeout": "20s"})
        )
        try:
            now = asyncio.get_running_loop().time
            for _ in range(2):  # the second time from the cache
                for domain, result, term in CASES:
                    query = Query(ip="192.0.2.7", domain=domain, local="ann", sender_domain=domain)
                    answer = await check_host(query, resolver, now, Limits(total_s=60.0, lookup_s=20.0))
                    assert (answer.result, answer.term) == (result, term), answer
        finally:
            resolver.close()
            await server.stop()

    asyncio.run(scenario())
