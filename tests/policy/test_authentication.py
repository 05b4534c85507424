"""SPF, DMARC and the agents that stand on them, joined as the gateway joins them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

import pytest
from tests.policy.fakes import Lines, Mailboxes, Names, session, settings_of, view
from tests.standards.zones import Zones, texts

from gatepost.adapters.counters import MemoryCounters
from gatepost.config.dmarc_settings import DmarcTable
from gatepost.model.verdict import AddHeader, Disposition, Stage
from gatepost.policy.order import build
from gatepost.policy.third_party import ThirdParty
from gatepost.ports.resolver import RecordType
from gatepost.routing.accepted import accepted_domains


@dataclass
class Dns(Names):
    """One zone for questions of either port."""

    zones: Zones = field(default_factory=lambda: Zones({}))

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        found = await self.zones.look_up(name, RecordType.TXT, timeout_s=timeout_s)
        return tuple(record for record in found.records if isinstance(record, bytes))


ZONE = {
    "a.test": "v=spf1 ip4:192.0.2.7 -all",
    "_dmarc.a.test": "v=DMARC1; p=reject",
    "_dmarc.gate.test": "v=DMARC1; p=none",
    "evil.test": "v=spf1 +all",
}


def judged(sender: str, author: str) -> Disposition:
    settings, dns = settings_of(), Dns(zones=texts(ZONE))
    runner = build(
        settings,
        {"dmarc": DmarcTable.model_validate({"honour-policy": "as-published"})},
        accepted=accepted_domains(settings),
        resolver=dns,
        directory=Mailboxes(),
        log=Lines(),
        counters=MemoryCounters(),
        revision="0123456789ab",
        third_party=ThirdParty(),
        lookup=dns.zones,
    )

    async def run() -> Disposition:
        hearing = runner.hearing("internet")
        for stage, recipient in (
            (Stage.CONNECT, None),
            (Stage.HELO, None),
            (Stage.MAIL, None),
            (Stage.RCPT, "bob@gate.test"),
        ):
            answer = hearing.ask(view(stage, who=session(), sender=sender, recipient=recipient))
            if isinstance(answer, Coroutine):
                await answer
        head = f"From: {author}\r\nTo: bob@gate.test\r\nDate: x\r\n\r\n".encode()
        decided = hearing.decide(
            view(Stage.END_OF_DATA, who=session(), sender=sender, recipients=["bob@gate.test"], head=head)
        )
        decisions = await decided if isinstance(decided, Coroutine) else decided
        return decisions[0].disposition

    return asyncio.run(run())


@pytest.mark.threat("J25")
@pytest.mark.threat("J33")
@pytest.mark.parametrize(
    ("name", "sender", "author", "reply", "field", "found"),
    [
        (
            "a mail that its author's domain stands behind",
            "ann@a.test",
            "ann@a.test",
            "",
            "spf=pass smtp.mailfrom=a.test; dkim=none; "
            "dmarc=pass header.from=a.test policy.published-domain-policy=reject",
            "dmarc-pass",
        ),
        ("a mail in a stranger's name", "x@evil.test", "ann@a.test", "550 5.7.26", "", "dmarc-fail-reject"),
        (
            "a mail in our name",
            "x@evil.test",
            "bob@gate.test",
            "",
            "spf=pass smtp.mailfrom=evil.test; dkim=none; "
            "dmarc=fail header.from=gate.test policy.published-domain-policy=none",
            "own-domain-forged",
        ),
    ],
)
def test_the_parts_together(name: str, sender: str, author: str, reply: str, field: str, found: str) -> None:
    result = judged(sender, author)
    assert str(result.reply or "").startswith(reply), name
    assert found in [finding.name for verdict in result.verdicts for finding in verdict.findings], name
    fields = [
        e.value for e in result.edits if isinstance(e, AddHeader) and e.name == "Authentication-Results"
    ]
    if not reply:
        assert fields == [f"mx.gate.test; {field}"], name
