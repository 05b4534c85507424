"""A gateway to play with: the doors and the policy of a configuration, joined without a socket or a disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

from gatepost.adapters.counters import MemoryCounters
from gatepost.adapters.list_feeds import ListFeeds
from gatepost.adapters.world import SystemRandomness
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.facts.provider_desk import ProviderDesk
from gatepost.intake.account_rates import AccountRates
from gatepost.intake.conversation import Conversation
from gatepost.intake.counter import Counter
from gatepost.intake.door import Door, choose_door
from gatepost.intake.failed_logins import FailedLogins
from gatepost.intake.log_in import LogInDesk
from gatepost.intake.taking_in import TakingIn
from gatepost.intake.tarpit import Tarpit
from gatepost.lab.zone import RealDns, ZoneDns
from gatepost.main.guarding import guard_of
from gatepost.main.list_book import Quiet
from gatepost.main.places import feed_directory
from gatepost.main.return_paths import return_paths_of
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.model.mail_id import MailIds
from gatepost.model.queued import Accept, Change, KeepDossier
from gatepost.model.reply import Reply
from gatepost.model.session import Session, TlsInfo
from gatepost.policy import assembly
from gatepost.policy.hearing import Hearing
from gatepost.ports.directory import Entry
from gatepost.ports.lists import AddressLists
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.store import BodySpool, Done
from gatepost.protocol.events import BodyChunk, Pause
from gatepost.protocol.smtp_server import ServerEngine
from gatepost.routing.accepted import accepted_domains
from gatepost.routing.next_hop import Router

LARGEST_IN_MEMORY_BYTES: Final = 1 << 30
"""Nothing of a play goes to a file; what a play may weigh, the scenario limits."""
_TLS: Final = TlsInfo(version="TLSv1.3", cipher="TLS_AES_256_GCM_SHA384", bits=256)
_PORT: Final = 25


@dataclass(slots=True)
class PlayClock:
    """Both clocks. base: what the play begins at; passed_s: what it says has passed since."""

    base: float
    passed_s: float = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.base + self.passed_s

    def monotonic(self) -> float:
        """Seconds."""
        return self.passed_s


class _NoWait(Tarpit):
    """Delayed replies are not waited for."""

    async def hold(self, delay_s: float, network: str = "") -> bool:  # noqa: ARG002  # Tarpit's signature
        return True


@dataclass(frozen=True, slots=True)
class AllListed:
    """Keeps the promise of ports.directory.RecipientDirectory: everybody exists but those named."""

    unlisted: frozenset[str]

    def look_up(self, recipient: Address) -> Entry:
        """Answers at once."""
        return Entry(recipient.key not in self.unlisted)


@dataclass(slots=True)
class _Memory:
    """What a store is asked for while mail comes in: keeps the changes of one session."""

    hearing: Hearing | None = None
    changes: list[Change] = field(default_factory=list)
    facts: tuple[Any, ...] = ()

    def commit(self, changes: Sequence[Change], done: Done | None = None) -> None:
        """Done at once."""
        self.changes += changes
        if self.hearing is not None and any(isinstance(change, KeepDossier) for change in changes):
            self.facts = tuple(self.hearing.facts)
        if done is not None:
            done(None)

    def spool(self) -> BodySpool:
        """Nothing is that large."""
        raise WorldFault("there is no disk in a play")

    def why_not_accepting(self) -> str:
        """Mail is taken."""
        return ""


class _NoDeliveries:
    """Nothing leaves."""

    def offer(self, *_: object) -> None:
        """Nothing."""

    def held(self, next_hop: str) -> None:
        """Nothing is held back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One session with one mail."""

    client: str
    helo: str
    sender: str
    recipients: Sequence[str]
    message: bytes = field(repr=False)
    user: str = ""
    tls: bool = True
    connector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What came of a visit."""

    dialog: tuple[str, ...]
    refusals: tuple[Reply, ...]
    last: Reply
    dossier: bytes | None
    facts: tuple[Any, ...]
    accepted: tuple[Accept, ...]


class PlayGateway:
    """One configuration with a DNS. What it remembers of one visit it knows at the next."""

    def __init__(
        self,
        configuration: Configuration,
        names: ZoneDns | RealDns,
        clock: PlayClock,
        *,
        unlisted: frozenset[str] = frozenset(),
        lists: AddressLists | None = None,
    ) -> None:
        """lists: the IP lists that are asked; nothing is written to them. Raises ValueError, WorldFault."""
        self._settings = settings = _undelayed(configuration.settings)
        self._clock = clock
        self._counters, self._log = MemoryCounters(), Quiet()
        self._shared = MemoryShared(clock.now)
        accepted = accepted_domains(settings)
        paths = return_paths_of(settings, accepted)
        self._runner = assembly.build(
            settings,
            configuration.agents,
            accepted=accepted,
            resolver=names,
            directory=AllListed(unlisted),
            log=self._log,
            counters=self._counters,
            revision=configuration.revision,
            shared=self._shared,
            lists=lists,
            providers=self._providers(names),
            lookup=names,
            return_paths=paths,
        )
        self._guard = guard_of(
            settings,
            configuration.agents,
            self._shared,
            None,
            accepted=accepted,
            clock=clock,
            counters=self._counters,
            log=self._log,
        )
        self._taking_in = {
            "router": Router(settings, accepted),
            "ids": MailIds(0),
            "deliveries": _NoDeliveries(),
            "settings": settings,
            "clock": clock,
            "counters": self._counters,
            "log": self._log,
            "notice": lambda *_: None,
            "return_paths": paths,
        }

    async def receive(self, visit: Visit) -> Heard:
        """Play one session. Raises WorldFault for a connector that is not there, or that serves somebody else."""
        memory = _Memory()
        door = self._door(visit)
        door.tarpit = _NoWait(1)
        session = Session(
            session_id=SystemRandomness().token_hex(8),
            connector=door.name,
            client_ip=visit.client,
            client_port=45000,
            local_ip="::" if ":" in visit.client else "0.0.0.0",  # noqa: S104  # nothing listens
            local_port=_PORT,
            started_at=self._clock.now(),
        )
        memory.hearing = self._runner.hearing(door.name)
        conversation = Conversation(door, session, memory.hearing, self._desk(memory))
        if visit.tls:
            conversation.tls_started(_TLS)
        if visit.user:
            conversation.authenticated(visit.user)
        talk = _Talk(conversation, ServerEngine(conversation.offer, door.engine_limits, tls=visit.tls))
        await talk.hold(visit)
        conversation.over()
        dossiers = [change.data for change in memory.changes if isinstance(change, KeepDossier)]
        return Heard(
            dialog=tuple(talk.said),
            refusals=tuple(talk.refusals),
            last=talk.last,
            dossier=dossiers[-1] if dossiers else None,
            facts=memory.facts,
            accepted=tuple(change for change in memory.changes if isinstance(change, Accept)),
        )

    def _desk(self, memory: _Memory) -> Counter:
        taking_in = TakingIn(cast(Any, memory), **cast(Any, self._taking_in))
        taking_in.memory_body_bytes = LARGEST_IN_MEMORY_BYTES
        users, now = self._settings.users, self._clock.now
        log_in = LogInDesk(
            accounts=cast(Any, None),  # who has logged in, the scenario says
            failures=FailedLogins(users.lockout, shared=MemoryShared(now), now=now),
            rates=AccountRates(users.recipients_per_hour, shared=MemoryShared(now), now=now),
            randomness=SystemRandomness(),
            counters=self._counters,
            log=self._log,
        )
        return Counter(
            taking_in=taking_in,
            log_in=log_in,
            clock=self._clock,
            counters=self._counters,
            log=self._log,
            guarding=self._guard,
        )

    def _door(self, visit: Visit) -> Door:
        connectors = self._settings.receive_connectors
        if visit.connector and visit.connector not in connectors:
            raise WorldFault(
                f"there is no receive connector {visit.connector!r}; there are: {', '.join(connectors)}"
            )
        names = [visit.connector] if visit.connector else _public(connectors)
        doors = [
            Door(name, connectors[name], hostname=self._settings.server.hostname, tls=None) for name in names
        ]
        door = choose_door(doors, visit.client)
        if door is None:
            raise WorldFault(
                f"no receive connector serves {visit.client}; looked at: {', '.join(names) or 'none'}"
            )
        return door

    def _providers(self, names: ZoneDns | RealDns) -> ProviderDesk:
        settings = self._settings
        return ProviderDesk(
            block=settings.block_list_providers,
            allow=settings.allow_list_providers,
            settings=settings.dns_lists,
            lookup=names,
            feeds=ListFeeds(
                settings=settings.list_feeds,
                directory=feed_directory(settings),
                clock=self._clock,
                log=self._log,
                counters=self._counters,
                lazy=True,
            ),
            monotonic=self._clock.monotonic,
            log=self._log,
            counters=self._counters,
        )


def _public(connectors: Any) -> list[str]:
    """Those on port 25; where there is none, all."""
    enabled = [name for name, connector in connectors.items() if connector.enabled]
    on_25 = [n for n in enabled if any(place.endswith(f":{_PORT}") for place in connectors[n].listen)]
    return on_25 or enabled


def _undelayed(settings: Settings) -> Settings:
    """The same, with answers that are not delayed: nobody wants to wait for them in a play."""
    connectors = {
        name: connector.model_copy(update={"tarpit_s": 0.0})
        for name, connector in settings.receive_connectors.items()
    }
    return settings.model_copy(update={"receive_connectors": connectors})


class _Talk:
    """The client's side of one session, without a wire."""

    def __init__(self, conversation: Conversation, engine: ServerEngine) -> None:
        self._conversation = conversation
        self._engine = engine
        conversation.announce = engine.ehlo_reply
        self.said: list[str] = []
        self.refusals: list[Reply] = []
        self.last = Reply(421, "", "")

    async def hold(self, visit: Visit) -> None:
        """As far as the server goes along."""
        greeting = self._conversation.greet()
        greeted = greeting if isinstance(greeting, Reply) else await greeting
        self._heard(greeted)
        self._engine.greet(greeted)
        if not greeted.is_positive or not await self._say(f"EHLO {visit.helo}"):
            return
        if not await self._say(f"MAIL FROM:<{visit.sender}>{_parameters(visit)}"):
            return
        taken = [await self._say(f"RCPT TO:<{recipient}>") for recipient in visit.recipients]
        if any(taken) and await self._say("DATA"):
            await self._bring(visit.message)
        await self._send(b"QUIT\r\n")

    async def _say(self, line: str) -> bool:
        self.said.append(f"C: {line}")
        reply = await self._send(line.encode() + b"\r\n")
        if reply is None:
            return False
        self._heard(reply)
        return reply.is_positive

    async def _bring(self, message: bytes) -> None:
        self.said.append(f"C: (the message, {len(message)} octets)")
        stuffed = (b"." if message.startswith(b".") else b"") + message.replace(b"\r\n.", b"\r\n..")
        reply = await self._send(stuffed + b".\r\n")
        if reply is not None:
            self._heard(reply)

    async def _send(self, data: bytes) -> Reply | None:
        """The last reply to these octets; None when the session is over."""
        self._engine.receive(data)
        reply = None
        while not isinstance(event := self._engine.next_event(), Pause):
            if isinstance(event, BodyChunk):
                if (slow := self._conversation.keep(event.data)) is not None:
                    await slow
                continue
            answer = self._conversation.answer(event)
            reply = answer if isinstance(answer, Reply) else await answer
            self._engine.send(reply)
        return reply

    def _heard(self, reply: Reply) -> None:
        self.last = reply
        self.said += [f"S: {line}" for line in reply.encode().decode().splitlines()[:1]]
        if not reply.is_positive:
            self.refusals.append(reply)


def _parameters(visit: Visit) -> str:
    """What MAIL has to say of this mail."""
    addresses = (visit.sender, *visit.recipients)
    said = f" SIZE={len(visit.message)}"
    if not visit.message.isascii():
        said += " BODY=8BITMIME"
    return said + ("" if all(map(str.isascii, addresses)) else " SMTPUTF8")
