"""SPF, DMARC and the agents that stand on them, joined as the gateway joins them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

import pytest
from msgspec import structs
from tests.policy.fakes import Lines, Mailboxes, Names, session, settings_of, view
from tests.standards.zones import Zones, texts

from gatepost.adapters.counters import MemoryCounters
from gatepost.config.dmarc_settings import DmarcTable
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.verdict import AddHeader, Disposition, Stage
from gatepost.policy.assembly import build
from gatepost.policy.third_party import ThirdParty
from gatepost.ports.resolver import ASKING_FOR, LookedUp, Mx, RecordType
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


def judged(
    sender: str, author: str, *, zones: Zones | None = None, helo: str = "c.test", signature: str = ""
) -> Disposition:
    settings, dns = settings_of(), Dns(zones=zones or texts(ZONE))
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
            answer = hearing.ask(view(stage, who=session(helo=helo), sender=sender, recipient=recipient))
            if isinstance(answer, Coroutine):
                await answer
        head = f"{signature}From: {author}\r\nTo: bob@gate.test\r\nDate: x\r\n\r\n".encode()
        who, recipients = session(helo=helo), ["bob@gate.test"]
        seen = view(Stage.END_OF_DATA, who=who, sender=sender, recipients=recipients, head=head)
        decided = hearing.decide(structs.replace(seen, content=Content(head=head, body=b"x\r\n")))
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


@dataclass
class Counting(Zones):
    """As the resolver: a mail that has used up its questions gets no answer."""

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        budget = ASKING_FOR.get()
        if budget is not None:
            if budget.left <= 0:
                raise WorldFault("used up")
            budget.left -= 1
        await asyncio.sleep(0)
        return await super().look_up(name, kind, timeout_s=timeout_s)


@pytest.mark.threat("J31")
@pytest.mark.threat("M14")
def test_nobody_gets_round_a_policy_by_records_that_use_up_the_mail_s_questions() -> None:
    # Given two records of a stranger's that cost a hundred questions each, and a signature that is not the author's
    hosts = {f"h{n}.evil.test": {"A": ["198.51.100.9"]} for n in range(10)}
    many = {
        f"m{n}.{of}.evil.test": {"MX": [Mx(k, f"h{k}.evil.test") for k in range(10)]}
        for n in range(10)
        for of in ("a", "b")
    }
    record = {of: " ".join(f"mx:m{n}.{of}.evil.test" for n in range(10)) for of in ("a", "b")}
    zones = Counting(
        {
            **hosts,
            **many,
            "a.evil.test": {"TXT": [f"v=spf1 {record['a']} ?all".encode()]},
            "b.evil.test": {"TXT": [f"v=spf1 {record['b']} ?all".encode()]},
            "_dmarc.a.test": {"TXT": [b"v=DMARC1; p=reject"]},
            "a.test": {"TXT": [b"v=spf1 -all"]},
        }
    )
    signature = "DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=x; h=from; bh=YQ==; b=YQ==\r\n"
    # When he writes in the name of another
    result = judged("x@a.evil.test", "ann@a.test", zones=zones, helo="b.evil.test", signature=signature)
    # Then the policy is found all the same
    assert len(zones.asked) > 100
    assert str(result.reply or "").startswith("550 5.7.26")
