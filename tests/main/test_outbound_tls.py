"""How the parts for published policies are joined: nothing when nothing counts, and what is known outlives all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from tests.delivery.fakes import Dice, ListLog, NoCounters, settings_of
from tests.delivery.published import DOMAIN, Zone
from tests.fakes import FakeClock, FakeStore

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.tls import client_pump
from gatepost.main.lasting import Lasting
from gatepost.main.outbound_tls import OutboundTlsParts, outbound_tls_parts, tls_reporter
from gatepost.main.world import World
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.mail_id import MailIds
from gatepost.routing.link_policies import NO_POLICY
from gatepost.routing.next_hop import Router
from gatepost.routing.sts_entries import StsEntry
from gatepost.standards.mta_sts import StsMode, StsPolicy

POLICY = StsPolicy(mode=StsMode.ENFORCE, max_age_s=86400, mx=("mx.b.example",))


def parts(
    tmp_path: Path,
    log: ListLog,
    clock: FakeClock,
    before: OutboundTlsParts | None = None,
    outbound: dict[str, Any] | None = None,
) -> OutboundTlsParts:
    settings = settings_of(
        None,
        **{
            "server": {"hostname": "gate.example", "state-directory": str(tmp_path)},
            "outbound-tls": outbound or {},
        },
    )
    resolver = cast(DnsResolver, Zone())
    return outbound_tls_parts(
        settings,
        resolver,
        0,
        dialer=LoopDialer(client_pump),
        clock=clock,
        log=log,
        counters=NoCounters(),
        before=before,
    )


def known(made: OutboundTlsParts) -> list[str]:
    assert made.policies is not None
    assert made.policies.sts is not None
    return [domain for domain, _ in made.policies.sts.entries.policies()]


def test_nothing_is_built_when_nothing_counts(tmp_path: Path) -> None:
    made = parts(tmp_path, ListLog(), FakeClock(), outbound={"mta-sts": False, "dane": "off"})
    assert made.policies is None
    by_hand = {DOMAIN: {"mta-sts": "enforce", "mx": ["mx.b.example"]}}
    assert parts(
        tmp_path, ListLog(), FakeClock(), outbound={"mta-sts": False, "dane": "off", "domains": by_hand}
    ).policies


def test_policies_outlive_a_reload_a_restart_and_a_broken_file(tmp_path: Path) -> None:
    async def run() -> None:
        log, clock = ListLog(), FakeClock()
        first = parts(tmp_path, log, clock)
        first.start()
        assert first.policies is not None
        assert first.policies.sts is not None
        first.policies.sts.entries.put(
            DOMAIN,
            StsEntry(policy=POLICY, policy_id="1", fetched_at=clock.now(), expires_at=clock.now() + 86400),
        )
        reloaded = parts(tmp_path, log, clock, first, {"mta-sts-timeout": "5s"})
        assert known(reloaded) == [DOMAIN]
        await reloaded.tick()
        file = tmp_path / "worker-0" / "mta-sts.json"
        assert file.stat().st_mode & 0o777 == 0o600
        reloaded.stop()
        again = parts(tmp_path, log, clock)
        again.start()
        assert known(again) == [DOMAIN]
        again.stop()
        file.write_bytes(b"{")
        broken = parts(tmp_path, log, clock)
        broken.start()
        assert known(broken) == []
        broken.stop()
        assert "mta-sts-file-failed" in log.events()

    asyncio.run(run())


def test_a_report_is_a_mail_of_ours_in_the_queue(tmp_path: Path) -> None:
    async def run() -> None:
        clock, store, zone, offered = FakeClock(1_800_000_000.0), FakeStore(), Zone(), []
        settings = settings_of(
            None,
            **{
                "server": {"hostname": "gate.example", "state-directory": str(tmp_path)},
                "outbound-tls": {"reports": {"sender": "tls@gate.example"}},
            },
        )
        lasting = SimpleNamespace(
            number=0,
            world=World(),
            clock=clock,
            store=store,
            log=ListLog(),
            counters=NoCounters(),
            ids=MailIds(0, after=0),
            deliveries=SimpleNamespace(offer=lambda mail, content: offered.append(mail)),
        )
        zone.texts_of["_smtp._tls.b.example"] = (b"v=TLSRPTv1; rua=mailto:r@c.example",)
        reporter = tls_reporter(
            settings,
            cast(Lasting, lasting),
            cast(DnsResolver, zone),
            Router(settings, AcceptedDomains({})),
            Dice(),
        )
        assert reporter is not None
        reporter.note(
            domain=DOMAIN, published=NO_POLICY, result="", host="mx", ip="192.0.2.1", local_ip="", why=""
        )
        await reporter.tick()
        clock.advance(86400)
        await reporter.tick()
        store.sync()
        (mail,) = offered
        assert str(mail.sender) == "tls@gate.example"
        assert mail.recipients[0].next_hop == "out:smtp:c.example"
        assert mail.is_notice

    asyncio.run(run())


def test_without_a_sender_nobody_counts(tmp_path: Path) -> None:
    settings = settings_of(None)
    nobody = cast(Any, None)
    assert tls_reporter(settings, nobody, nobody, nobody, nobody) is None
