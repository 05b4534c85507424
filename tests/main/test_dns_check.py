"""What is wrong with the name servers is said at the start, in words an administrator can act on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from gatepost.main.dns_check import check_dns, is_public
from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.resolver import LookedUp, RecordType


@dataclass
class Servers:
    """Says of every name what it was made with."""

    said: LookedUp | WorldFault
    hosts: Sequence[str] = ("127.0.0.1",)
    trusts_any: bool = True
    asked: list[str] = field(default_factory=list)

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:  # the port's
        self.asked.append(name)
        if isinstance(self.said, WorldFault):
            raise self.said
        return self.said


class Lines:
    def __init__(self) -> None:
        self.written: list[tuple[str, str, str]] = []

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.written.append((level, event, str(fields.get("text"))))


SECURE = LookedUp(records=("a",), is_secure=True)
PLAIN = LookedUp(records=("a",))
DEAF = WorldFault("SOA of org is unknown: no answer", Reply(451, "4.4.3", "Try again later"))


@pytest.mark.threat("M01", "M07", "M11")
@pytest.mark.parametrize(
    ("servers", "events", "words"),
    [
        (Servers(SECURE), ["info dns-validates"], "validate by DNSSEC"),
        (Servers(PLAIN), ["info dns-does-not-validate"], "org is signed"),
        (Servers(PLAIN, trusts_any=False), ["info dns-does-not-validate"], "dns.trust-ad"),
        (Servers(DEAF), ["warning dns-does-not-answer"], "no answer"),
        (
            Servers(SECURE, hosts=("127.0.0.1", "8.8.8.8")),
            ["warning dns-server-is-public", "info dns-validates"],
            "8.8.8.8 is a public resolver",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_log_says(servers: Servers, events: list[str], words: str) -> None:
    log = Lines()
    asyncio.run(check_dns(servers, log, name="org", timeout_s=1))
    assert [f"{level} {event}" for level, event, _ in log.written] == events
    assert words in log.written[0][2]


def test_nothing_is_asked_when_the_administrator_wants_that() -> None:
    servers = Servers(SECURE)
    asyncio.run(check_dns(servers, Lines(), name="", timeout_s=1))
    assert servers.asked == []


def test_public_resolvers() -> None:
    assert all(map(is_public, ("1.1.1.1", "8.8.4.4", "9.9.9.9", "2606:4700:4700::1111", "2620:fe::fe")))
    assert not any(map(is_public, ("127.0.0.53", "10.0.0.1", "::1", "fe80::1%eth0", "192.0.2.53")))
