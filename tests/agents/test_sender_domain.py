"""The agent sender-domain: what the DNS says of the return path's domain, and what comes of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from tests.agents.asking import ask, settings
from tests.policy.fakes import World, session, site, view

from gatepost.agents.sender_domain import SenderDomainCheck
from gatepost.facts.gathering import Sources
from gatepost.facts.sender_domain import Mailable, SenderDomain, find_sender_domain, gatherer
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Stage
from gatepost.ports.resolver import Mx


@dataclass
class Dns:
    """Names with mail servers and addresses; "?" is one that nobody knows, "!" one that cannot be asked."""

    mx: dict[str, tuple[Mx, ...]] = field(default_factory=dict)
    hosts: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        self._fails(name)
        return self.mx.get(name, ())

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        self._fails(name)
        return self.hosts.get(name, ())

    def _fails(self, name: str) -> None:
        if name.startswith("?"):
            raise WorldFault("nobody knows")
        if name.startswith("!"):
            raise PeerFault(Reply(501, "5.5.4", "No name"), "no name")


HOSTS = {
    "good.test": ("192.0.2.1",),
    "inside.test": ("10.0.0.1", "::1"),
    "both.test": ("10.0.0.1", "2001:db8::1"),
    "cloud.test": ("169.254.169.254", "0.0.0.0"),  # an answer of the DNS
}
CASES = [
    ("an MX with an address", ("good.test",), Mailable.YES),
    ("no MX, and an address", None, Mailable.YES),
    ("nothing at all", (), Mailable.NO_DOMAIN),
    ("an MX without an address", ("gone.test",), Mailable.NO_DOMAIN),
    ("an MX that is no name", ("!x",), Mailable.NO_DOMAIN),
    ("null MX", ("",), Mailable.NULL_MX),
    ("private and loopback addresses", ("inside.test",), Mailable.NOT_PUBLIC),
    ("no address of a service", ("cloud.test",), Mailable.NOT_PUBLIC),
    ("one public address is enough", ("both.test",), Mailable.YES),
    ("the second host is public", ("inside.test", "good.test"), Mailable.YES),
    ("a host that nobody knows, and a good one", ("?x", "good.test"), Mailable.YES),
    ("more hosts than are looked up", ("inside.test", *(f"h{n}.test" for n in range(9))), Mailable.YES),
]


@pytest.mark.threat("F38", "M09")
@pytest.mark.parametrize(("name", "hosts", "then"), CASES, ids=[row[0] for row in CASES])
def test_what_the_dns_says(name: str, hosts: tuple[str, ...] | None, then: Mailable) -> None:
    dns = Dns(hosts=dict(HOSTS))
    if hosts is None:
        dns.hosts["a.test"] = ("192.0.2.9",)
    else:
        dns.mx["a.test"] = tuple(Mx(10, host) for host in hosts)
    assert asyncio.run(find_sender_domain("a.test", dns, timeout_s=1)).mailable is then  # type: ignore[arg-type]


@pytest.mark.threat("F38", "I9")
@pytest.mark.parametrize("hosts", [("?x",), ("inside.test", "?x")])
def test_what_nobody_knows_is_unknown(hosts: tuple[str, ...]) -> None:
    dns = Dns(mx={"a.test": tuple(Mx(10, host) for host in hosts)}, hosts=HOSTS)
    with pytest.raises(WorldFault):
        asyncio.run(find_sender_domain("a.test", dns, timeout_s=1))  # type: ignore[arg-type]


@pytest.mark.parametrize("sender", ["", "x@gate.test", "x@[192.0.2.1]"])
def test_bounces_and_our_own_domains_are_not_looked_up(sender: str) -> None:
    sources = Sources(site=site(), resolver=World().names, directory=World().mailboxes)
    mail = view(Stage.MAIL, who=session(), sender=sender)
    find = gatherer(sources).find
    assert find is not None
    assert find(mail) == SenderDomain()


VERDICTS = [
    (Mailable.YES, (), "pass", ()),
    (Mailable.NO_DOMAIN, (), "pass", ("sender-domain-missing",)),
    (Mailable.NULL_MX, (), "pass", ("sender-domain-null-mx",)),
    (Mailable.NOT_PUBLIC, ("no-domain",), "pass", ("sender-domain-not-public",)),
    (Mailable.NO_DOMAIN, ("no-domain",), "550 5.1.8 The sender's domain has no mail server", ()),
    (Mailable.NULL_MX, ("null-mx", "no-domain"), "550 5.7.27 The sender's domain takes no mail", ()),
]


@pytest.mark.threat("F38")
@pytest.mark.parametrize(("mailable", "refuse", "then", "findings"), VERDICTS)
def test_verdicts(mailable: Mailable, refuse: tuple[str, ...], then: str, findings: tuple[str, ...]) -> None:
    agent = SenderDomainCheck(settings(SenderDomainCheck, {"refuse": list(refuse)}), site())
    verdict = ask(agent, view(Stage.MAIL), SenderDomain(domain="a.test", mailable=mailable))
    assert str(verdict.reply or "pass") == then
    assert tuple(f.name for f in verdict.findings) == findings
    assert agent.when_unknown is (Action.DEFER if refuse else Action.PASS)
