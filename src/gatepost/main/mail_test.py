"""`gatepost test mail`: a scenario played from its first sender to our door, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from gatepost.adapters.dns import DnsResolver
from gatepost.adapters.world import SystemClock
from gatepost.config.errors import ConfigurationError, ConfigurationErrors
from gatepost.config.first_file import FirstAnswers, first_file, parse_mailboxes
from gatepost.config.load import Configuration
from gatepost.control.played import OUTCOME_OF, Kept, Played, surprises
from gatepost.control.scenario import (
    MESSAGE_LIMIT_BYTES,
    OUTCOMES,
    Hop,
    Key,
    Scenario,
    Script,
    overlay_errors,
    scenario_of,
)
from gatepost.facts.arc import ArcResult
from gatepost.facts.dkim import DkimResults
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.sender_id import SenderIdResult
from gatepost.facts.spf import SpfResult
from gatepost.lab.made_mail import KeyRing, changed, key_records, made_message, sealed, signed, with_crlf
from gatepost.lab.zone import NoRecord, RealDns, ZoneDns
from gatepost.main.configuration import load_configuration, load_to_try
from gatepost.main.list_book import open_lists
from gatepost.main.places import shared_state_file
from gatepost.main.playing import Heard, PlayClock, PlayGateway, Visit
from gatepost.message.headers import split
from gatepost.model.accepted_domains import DomainType
from gatepost.model.content import Content
from gatepost.model.fault import WorldFault
from gatepost.model.verdict import Stage
from gatepost.policy import order
from gatepost.policy.explain import Explanation, explain
from gatepost.policy.third_party import find_third_party
from gatepost.ports.lists import AddressLists
from gatepost.standards.arc_seal import own_results

STAND_IN: Final = "ours.example"
"""Whose gateway it is when there is neither a configuration nor a word about it in the scenario."""
_HOP_AGENTS: Final = frozenset({"authentication-results", "relay-restriction"})


def play(config_path: str, script: Script, flags: Mapping[str, Any]) -> Played:
    """One scenario. config_path: "": a configuration as `gatepost init` writes it stands in.

    Raises ConfigurationErrors, and WorldFault for what is missing in the world.
    """
    return asyncio.run(_play(config_path, script, flags))


async def _play(config_path: str, script: Script, flags: Mapping[str, Any]) -> Played:
    base = load_configuration(config_path) if config_path else None
    scenario = scenario_of(script, own_domain=_own_domain(base) if base else "", flags=flags)
    configuration = _laid_over(script, scenario, base)
    clock = PlayClock(SystemClock().now())
    with ExitStack() as stack:
        ring = _keys(script, scenario)
        names = _names(script, scenario, configuration, ring, stack)
        lists = stack.enter_context(_lists(configuration)) if base else None
        gateway = PlayGateway(
            configuration,
            names,
            clock,
            unlisted=frozenset(address.lower() for address in scenario.unlisted),
            lists=lists,
        )
        way = _Way(scenario, names, clock, ring)
        visit = await way.to_our_door(_message(script, scenario, clock.now()))
        heard = await gateway.receive(visit)
        notes = list(way.notes)
        if scenario.retry_after and _outcome(heard, None) == "deferred":
            notes.append(
                f"put off ({heard.refusals[-1]}), and tried again {scenario.retry_after:g} s later"
                if heard.refusals
                else "put off, and tried again"
            )
            clock.passed_s += scenario.retry_after
            heard = await gateway.receive(visit)
    return _played(script, scenario, configuration, heard, way.path, notes)


def _own_domain(configuration: Configuration) -> str:
    """The first domain whose mailboxes are ours; "" when there is none without a wildcard."""
    domains = configuration.settings.accepted_domains.items()
    names = [name for name, domain in domains if not name.startswith("*")]
    ours = [name for name in names if DomainType(dict(domains)[name].type) is DomainType.AUTHORITATIVE]
    return next(iter((*ours, *names)), "")


def _laid_over(script: Script, scenario: Scenario, base: Configuration | None) -> Configuration:
    if base is not None and not scenario.configuration:
        return base
    path, text = (base.path, base.text) if base is not None else _stand_in(scenario)
    try:
        return load_to_try(path, text, scenario.configuration)
    except ConfigurationErrors as errors:
        raise overlay_errors(script, errors) from None


def _stand_in(scenario: Scenario) -> tuple[str, str]:
    domain = scenario.ours or STAND_IN
    answers = FirstAnswers(
        hostname=f"mx.{domain}",
        domains=(domain,),
        mailboxes=parse_mailboxes("[192.0.2.10]"),
        recipients="/etc/gatepost/recipients.txt",
        relay_from=(),
        state_directory="/var/lib/gatepost",
    )
    return f"(a first configuration for {domain})", first_file(answers)


def _keys(script: Script, scenario: Scenario) -> KeyRing:
    try:
        return KeyRing.of(_wanted(scenario))
    except ValueError as error:
        raise ConfigurationErrors(
            [ConfigurationError(file=script.file, line=0, key="sign", message=str(error))]
        ) from None


def _wanted(scenario: Scenario) -> tuple[Key, ...]:
    of_hops = ((*hop.sign, *((hop.seal,) if hop.seal else ())) for hop in scenario.hops)
    return (*scenario.sign, *(key for keys in of_hops for key in keys))


def _names(
    script: Script, scenario: Scenario, configuration: Configuration, ring: KeyRing, stack: ExitStack
) -> ZoneDns:
    """The scenario's DNS; the configured servers where it has none; the keys made for the play are in both."""
    beyond: RealDns | None = None
    world = scenario.dns
    if world is None:
        resolver = DnsResolver(configuration.settings.dns)
        stack.callback(resolver.close)
        beyond = resolver
    try:
        zone = ZoneDns(world.records if world else "", silent=world.silent if world else (), beyond=beyond)
    except ValueError as error:
        line = script.line_in_text(error.number if isinstance(error, NoRecord) else 0, "dns", "records")
        raise ConfigurationErrors(
            [ConfigurationError(file=script.file, line=line, key="dns.records", message=str(error))]
        ) from None
    for name, data in key_records(ring, _wanted(scenario)).items():
        zone.add(name, "TXT", data)
    return zone


@contextmanager
def _lists(configuration: Configuration) -> Iterator[AddressLists | None]:
    """The IP lists of the gateway, to look at; None where nobody has made any, or we may not read them."""
    settings = configuration.settings
    with ExitStack() as stack:
        lists: AddressLists | None = None
        with suppress(WorldFault, OSError):
            if shared_state_file(settings).exists():
                lists = stack.enter_context(open_lists(settings))
        yield lists


def _message(script: Script, scenario: Scenario, now: float) -> bytes:
    mail = scenario.mail
    if not mail.message:
        return made_message(mail, now)
    path = script.folder / mail.message
    try:
        with Path(path).open("rb") as file:
            message = file.read(MESSAGE_LIMIT_BYTES + 1)
    except OSError as error:
        raise WorldFault(f"the message {path} cannot be read: {error.strerror}") from error
    if len(message) > MESSAGE_LIMIT_BYTES:
        raise WorldFault(f"the message {path} is larger than {MESSAGE_LIMIT_BYTES >> 20} MiB")
    return with_crlf(message)


class _Way:
    """The mail's way from its author over the hops to us."""

    def __init__(self, scenario: Scenario, names: ZoneDns, clock: PlayClock, ring: KeyRing) -> None:
        self._scenario = scenario
        self._names = names
        self._clock = clock
        self._ring = ring
        self.path: list[str] = []
        self.notes: list[str] = []

    async def to_our_door(self, message: bytes) -> Visit:
        """The session that we see."""
        scenario, mail = self._scenario, self._scenario.mail
        if scenario.sign:
            message = signed(message, [self._ring.find(key) for key in scenario.sign], self._clock.now())
        by = f", signed by {_domains(scenario.sign)}" if scenario.sign else ""
        self.path.append(f"{mail.helo} [{mail.client}] sends for <{mail.sender}>{by}")
        client, helo, sender = mail.client, mail.helo, mail.sender
        for hop in scenario.hops:
            message = await self._through(hop, client, helo, sender, message)
            client, helo, sender = hop.client, hop.helo, sender if hop.sender is None else hop.sender
        return Visit(
            client=client,
            helo=helo,
            sender=sender,
            recipients=mail.recipients,
            message=message,
            user=mail.user,
            tls=mail.tls,
            connector=mail.connector,
        )

    async def _through(self, hop: Hop, client: str, helo: str, sender: str, message: bytes) -> bytes:
        """As it leaves a hop: with its trace and its results on top, then changed, signed, sealed."""
        now, did = self._clock.now(), ["passes it on"]
        message = _octets(await self._taken_in(hop, client, helo, sender, message))
        if hop.sender is not None:
            did.append(f"as <{hop.sender}>")
        results = own_results(split(message)[0], hop.helo)
        if hop.changes:
            message = changed(message, hop)
            did.append(f"changes {', '.join(hop.changes)}")
        if hop.sign:
            message = signed(message, [self._ring.find(key) for key in hop.sign], now)
            did.append(f"signs for {_domains(hop.sign)}")
        if hop.seal:
            said = f"{hop.helo}; {hop.seal.results}" if hop.seal.results else results
            message, why_not = sealed(message, self._ring.find(hop.seal), said, now)
            did.append(f"does not seal: {why_not}" if why_not else f"seals for {hop.seal.domain}")
        self.path.append(f"{hop.helo} [{hop.client}] {', '.join(did)}")
        return message

    async def _taken_in(self, hop: Hop, client: str, helo: str, sender: str, message: bytes) -> Content:
        """What the hop has in its hands: its own checks are ours, it refuses nothing."""
        domains = {address.rpartition("@")[2] for address in self._scenario.mail.recipients}
        agents = [row.name for row in order.rows() if row.name not in _HOP_AGENTS]
        text = first_file(
            FirstAnswers(
                hostname=hop.helo,
                domains=tuple(sorted(domains)),
                mailboxes=parse_mailboxes("[192.0.2.10]"),
                recipients="",
                relay_from=(),
                state_directory="/var/lib/gatepost",
            )
        )
        configuration = load_to_try(f"(hop {hop.helo})", text, {"policy": {"disabled": agents}})
        visit = Visit(
            client=client,
            helo=helo,
            sender=sender,
            recipients=self._scenario.mail.recipients,
            message=message,
        )
        heard = await PlayGateway(configuration, self._names, self._clock).receive(visit)
        if not heard.accepted:
            raise WorldFault(f"the hop {hop.helo} does not take the mail: {heard.last}")
        return heard.accepted[0].content


def _domains(keys: Sequence[Key]) -> str:
    return ", ".join(dict.fromkeys(key.domain for key in keys))


def _octets(content: Content) -> bytes:
    assert isinstance(content.body, bytes), "nothing of a play is in a file"
    return content.head + content.body


def _played(
    script: Script,
    scenario: Scenario,
    configuration: Configuration,
    heard: Heard,
    way: Sequence[str],
    notes: Sequence[str],
) -> Played:
    settings = configuration.settings
    folder = settings.policy.agents_directory
    tree = explain(heard.dossier, order.fact_types(find_third_party(folder))) if heard.dossier else None
    outcome = _outcome(heard, tree)
    played = Played(
        name=script.name,
        about=scenario.about,
        configuration=configuration.path,
        way=(*way, f"{settings.server.hostname} is us"),
        dialog=heard.dialog,
        outcome=outcome,
        reply=str(heard.refusals[-1] if heard.refusals else heard.last),
        results=_results(heard),
        findings=tuple(_findings(tree)) if tree else (),
        explanation=tree,
        kept=tuple(_kept(heard)),
        notes=tuple(notes),
    )
    problems = tuple(surprises(played, scenario.expect))
    return replace(played, problems=problems) if problems else played


def _outcome(heard: Heard, tree: Explanation | None) -> str:
    """Of the recipient who fares worst; refusals before a recipient are everybody's."""
    found = ["accepted"]
    found += [OUTCOME_OF[one.action] for one in (tree.outcomes if tree else ()) if one.action in OUTCOME_OF]
    found += ["deferred" if reply.is_temporary else "refused" for reply in heard.refusals]
    return max(found, key=OUTCOMES.index)


def _results(heard: Heard) -> dict[str, str]:
    """What the checks came to, where they were made."""
    results: dict[str, str] = {}
    for fact in heard.facts:
        match fact:
            case SpfResult():
                results["spf"] = fact.result
            case SenderIdResult():
                results["sender-id"] = fact.result
            case DkimResults():
                found = [signature.result for signature in fact.signatures]
                results["dkim"] = "pass" if "pass" in found else next(iter(found), "none")
            case DmarcResult():
                results["dmarc"] = fact.result
            case ArcResult():
                results["arc"] = fact.result
    return results


def _findings(tree: Explanation) -> Iterator[str]:
    order_of = {stage.value: number for number, stage in enumerate(Stage)}
    for stage in sorted(tree.stages, key=lambda shown: order_of.get(shown.stage, 0)):
        for opinion in stage.opinions:
            yield from (name for name, _ in opinion.findings)


def _kept(heard: Heard) -> Iterator[Kept]:
    for accept in heard.accepted:
        yield Kept(
            recipients=tuple(str(one.recipient.address) for one in accept.mail.recipients),
            state=accept.mail.recipients[0].state.value,
            next_hop=accept.mail.recipients[0].next_hop,
            message=_octets(accept.content),
        )
