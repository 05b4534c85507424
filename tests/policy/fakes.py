"""A small world for policies: names and mailboxes that are known, late or silent, and mails to judge."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gatepost.adapters.counters import MemoryCounters
from gatepost.config.schema import frozen
from gatepost.config.settings import Settings
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import Address
from gatepost.model.content import BodyForm
from gatepost.model.envelope import BodyType, Envelope, Recipient
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.known import MailView
from gatepost.model.reply import Reply
from gatepost.model.session import ClientKind, Rights, Session
from gatepost.model.site import Site
from gatepost.model.verdict import Disposition, Stage
from gatepost.policy.assembly import build
from gatepost.policy.hearing import Hearing
from gatepost.policy.runner import PolicyRunner
from gatepost.policy.third_party import ThirdParty
from gatepost.ports.directory import Entry
from gatepost.ports.resolver import Mx
from gatepost.routing.accepted import accepted_domains

ANONYMOUS = Rights.SUBMIT | Rights.ANY_SENDER | Rights.OWN_DOMAIN_SENDER | Rights.ROUTING_HEADERS
USER = Rights.SUBMIT | Rights.RELAY | Rights.BYPASS_FILTERS | Rights.ROUTING_HEADERS | Rights.INTERNAL
OWN_IP = "203.0.113.25"
DOMAINS = {
    "gate.test": DomainType.AUTHORITATIVE,
    "relay.test": DomainType.INTERNAL_RELAY,
    "far.test": DomainType.EXTERNAL_RELAY,
    "*.branch.test": DomainType.AUTHORITATIVE,
}
HEAD = (
    b"Received: from client.test ([192.0.2.7]) by other.test with ESMTP; Mon, 1 Jan 2024 00:00:00 +0000\r\n"
    b"From: Ann <ann@client.test>\r\nTo: bob@gate.test\r\nSubject: hello\r\n"
    b"Date: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@client.test>\r\n\r\n"
)


@dataclass
class Names:
    """Keeps the promise of ports.resolver.Resolver. silent: does not answer; odd: cannot be asked."""

    pointers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    hosts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    odd: frozenset[str] = frozenset()
    held: asyncio.Event | None = None
    """When set, every answer waits for it."""
    asked: list[str] = field(default_factory=list)

    async def _ask(self, name: str) -> None:
        self.asked.append(name)
        if self.held is not None:
            await self.held.wait()
        if name in self.silent:
            raise WorldFault("no name server answers")
        if name in self.odd:
            raise PeerFault(Reply(501, "5.1.3", "Not a domain name"), "empty label")

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        await self._ask(address)
        return tuple(self.pointers.get(address, ()))

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        await self._ask(name)
        return tuple(self.hosts.get(name, ()))

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        return ()

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        return ()

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        return True


@dataclass
class Mailboxes:
    """Keeps the promise of ports.directory.RecipientDirectory."""

    listed: frozenset[str] = frozenset({"bob@gate.test", "eve@gate.test", "bob@relay.test"})
    is_down: bool = False
    asked: list[str] = field(default_factory=list)

    internal: frozenset[str] = frozenset()
    """Those who take mail of authenticated senders only."""

    def look_up(self, recipient: Address) -> Entry:
        self.asked.append(str(recipient))
        if self.is_down:
            raise WorldFault("recipients were never loaded")
        return Entry(recipient.key in self.listed, recipient.key in self.internal)


@dataclass
class Lines:
    """Keeps the promise of ports.log.Log."""

    lines: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def write(self, level: str, event: str, /, **fields: object) -> None:
        self.lines.append((level, event, fields))


@dataclass
class World:
    """Everything a policy stands on, and the policy."""

    names: Names = field(default_factory=Names)
    mailboxes: Mailboxes = field(default_factory=Mailboxes)
    log: Lines = field(default_factory=Lines)
    counters: MemoryCounters = field(default_factory=MemoryCounters)

    def runner(
        self,
        policy: Mapping[str, Any] | None = None,
        agents: Mapping[str, Any] | None = None,
        third_party: ThirdParty | None = None,
        relays: Sequence[str] = (),
        **connector: Any,
    ) -> PolicyRunner:
        settings = settings_of(policy, relays=relays, **connector)
        return build(
            settings,
            agents or {},
            accepted=accepted_domains(settings),
            resolver=self.names,
            directory=self.mailboxes,
            log=self.log,
            counters=self.counters,
            revision="0123456789ab",
            third_party=third_party or ThirdParty(),
        )

    def hearing(self, policy: Mapping[str, Any] | None = None, **wishes: Any) -> Hearing:
        return self.runner(policy, **wishes).hearing("internet")


def settings_of(
    policy: Mapping[str, Any] | None = None, *, relays: Sequence[str] = (), **connector: Any
) -> Settings:
    """As a configuration file with these tables."""
    return Settings.model_validate(
        frozen(
            {
                "server": {"hostname": "mx.gate.test", "internal-relays": list(relays)},
                "accepted-domains": {name: {"type": kind.value} for name, kind in DOMAINS.items()},
                "receive-connectors": {"internet": {"listen": ["127.0.0.1:2525"], **connector}},
                "policy": dict(policy or {}),
            }
        )
    )


def site(**wishes: Any) -> Site:
    """The door `internet` of mx.gate.test."""
    given: dict[str, Any] = {
        "connector": "internet",
        "hostname": "mx.gate.test",
        "own_names": frozenset({"mx.gate.test"}),
        "accepted_domains": AcceptedDomains(DOMAINS),
        "checked_domains": frozenset({"gate.test", "*.branch.test"}),
    }
    return Site(**{**given, **wishes})


def session(**wishes: Any) -> Session:
    """An anonymous stranger, unless wished otherwise."""
    given: dict[str, Any] = {
        "session_id": "00112233aabbccdd",
        "connector": "internet",
        "client_ip": "192.0.2.7",
        "client_port": 4025,
        "local_ip": OWN_IP,
        "local_port": 25,
        "started_at": 1_800_000_000.0,
        "kind": ClientKind.ANONYMOUS,
        "rights": ANONYMOUS,
        "helo": "client.test",
    }
    return Session(**{**given, **wishes})


STRANGER = session()
ACCOUNT = session(kind=ClientKind.AUTHENTICATED, rights=USER, user="ann@gate.test")


def to(text: str) -> Recipient:
    """local@domain, split at the last @; without one, a local part alone."""
    local, _, domain = text.rpartition("@")
    return Recipient(address=Address(local, domain) if local else Address(domain, ""))


def _recipient(given: str | Address | None) -> Recipient | None:
    if given is None:
        return None
    return Recipient(address=given) if isinstance(given, Address) else to(given)


def view(
    stage: Stage,
    *,
    who: Session = STRANGER,
    sender: str = "ann@client.test",
    recipient: str | Address | None = None,
    recipients: Sequence[str] = (),
    head: bytes = HEAD,
    form: BodyForm | None = None,
    body: BodyType = BodyType.SEVEN_BIT,
    smtputf8: bool = False,
) -> MailView:
    """A mail at a stage. sender "" is the null sender."""
    at_end = stage in (Stage.END_OF_HEADERS, Stage.END_OF_DATA)
    before_mail = stage in (Stage.CONNECT, Stage.HELO, Stage.STARTTLS, Stage.AUTH)
    envelope = Envelope(
        sender=to(sender).address if sender else Address("", ""),
        recipients=tuple(to(text) for text in recipients),
        body=body,
        smtputf8=smtputf8,
    )
    return MailView(
        stage=stage,
        session=who,
        now=1_800_000_001.5,
        envelope=None if before_mail else envelope,
        recipient=_recipient(recipient),
        head=head if at_end else b"",
        form=form or BodyForm(),
        size_bytes=len(head) + 100 if at_end else 0,
    )


def at_once(answer: Disposition | Coroutine[Any, Any, Disposition]) -> Disposition:
    """An answer that did not have to wait."""
    assert isinstance(answer, Disposition)
    return answer
