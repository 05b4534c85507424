"""How the parts for published policies are joined: nothing when nothing counts, and what is known outlives all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from tests.delivery.fakes import ListLog, NoCounters, settings_of
from tests.delivery.published import DOMAIN, Zone
from tests.fakes import FakeClock

from gatepost.adapters.dns import DnsResolver
from gatepost.main.outbound_tls import OutboundTlsParts, outbound_tls_parts
from gatepost.routing.sts_entries import StsEntry
from gatepost.standards.mta_sts import StsMode, StsPolicy

POLICY = StsPolicy(mode=StsMode.ENFORCE, max_age_s=86400, mx=("mx.b.example",))


def parts(
    tmp_path: Path, log: ListLog, clock: FakeClock, before: OutboundTlsParts | None = None, **outbound: Any
) -> OutboundTlsParts:
    settings = settings_of(
        None,
        **{
            "server": {"hostname": "gate.example", "state-directory": str(tmp_path)},
            "outbound-tls": outbound,
        },
    )
    resolver = cast(DnsResolver, Zone())
    return outbound_tls_parts(
        settings, resolver, 0, clock=clock, log=log, counters=NoCounters(), before=before
    )


def known(made: OutboundTlsParts) -> list[str]:
    assert made.policies is not None
    assert made.policies.sts is not None
    return [domain for domain, _ in made.policies.sts.entries.policies()]


def test_nothing_is_built_when_nothing_counts(tmp_path: Path) -> None:
    made = parts(tmp_path, ListLog(), FakeClock(), **{"mta-sts": False, "dane": "off"})
    assert made.policies is None
    by_hand = {DOMAIN: {"mta-sts": "enforce", "mx": ["mx.b.example"]}}
    assert parts(
        tmp_path, ListLog(), FakeClock(), **{"mta-sts": False, "dane": "off", "domains": by_hand}
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
        reloaded = parts(tmp_path, log, clock, first, **{"mta-sts-timeout": "5s"})
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
