"""Plays a scene: a scheduler among next hops in memory, each domain with a host of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.delivery.fakes import FakeDialer, FakeHost, FakeResolver, Yard, mail_to, settings_of, yard
from tests.fakes import FakeStore

from gatepost.config.settings import Settings
from gatepost.model.queued import QueuedMail
from gatepost.ports.resolver import Mx

Play = Callable[[Yard, dict[str, FakeHost]], Coroutine[Any, Any, None]]


def internet(
    *domains: str, settings: Settings | None = None, store: FakeStore | None = None
) -> tuple[Yard, dict[str, FakeHost]]:
    """A yard with DNS routing where each domain has a host of its own."""
    resolver, dialer = FakeResolver(), FakeDialer()
    hosts = {}
    for number, domain in enumerate(domains):
        ip = f"8.8.1.{number + 1}"
        resolver.exchangers_of[domain] = (Mx(10, f"mx.{domain}"),)
        resolver.addresses_of[f"mx.{domain}"] = (ip,)
        hosts[domain] = dialer.hosts[ip] = FakeHost()
    return yard(settings or settings_of(), dialer=dialer, resolver=resolver, store=store), hosts


def play(test: Play, *domains: str, settings: Settings | None = None) -> None:
    """Run a test with a started scheduler; at the end it must stop in time and owe nothing."""

    async def run() -> None:
        made, hosts = internet(*domains, settings=settings)
        made.scheduler.start()
        await test(made, hosts)
        await made.scheduler.stop(0.05)
        assert all(host.connections == 0 for host in hosts.values())

    asyncio.run(run())


def to(*addresses: str, mail_id: int, **fields: Any) -> QueuedMail:
    return mail_to(*addresses, mail_id=mail_id, next_hop="", **fields)


def state_of(made: Yard, mail_id: int) -> list[tuple[str, int]]:
    mail = made.store.mail(mail_id)
    return [(r.state.value, r.attempts) for r in mail.recipients] if mail else []


def records_of(made: Yard) -> list[str]:
    from gatepost.ports.store import RecordFilter

    return [r.event for r in reversed(made.store.records(RecordFilter(), limit=100000))]
