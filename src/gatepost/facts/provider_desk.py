"""Asks list providers: all at once, with one deadline; lets those rest that fail, and distrusts those that list all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from gatepost.config.list_settings import DnsLists, DomainProvider, DomainSource, Provider
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.ip_ranges import address_text, number_of
from gatepost.model.list_answer import Judged, Match, judge, printable
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Lookup, RecordType
from gatepost.protocol.list_formats import Listing
from gatepost.standards.dns_lists import (
    NAME_TESTS,
    TESTS,
    is_domain_asked,
    question_for,
    question_for_name,
    with_parents,
)

ProviderKind = Literal["block", "allow", "domain"]
CHECK_RETRY_S: Final = 300.0
"""A check of the test points that could not be finished is tried again after this."""


class Feeds(Protocol):
    """What providers without a zone are asked in."""

    def listing(self, name: str, version: int, number: int) -> Listing | None:
        """Raises WorldFault before the feed was read."""

    def name_listing(self, name: str, domain: str) -> Listing | None:
        """The same of a domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What one provider said of one address, or of one domain."""

    provider: str
    kind: ProviderKind
    zone: str
    judged: Judged = Judged()
    text: str = ""
    problem: str = ""
    """Why it said nothing; "" when it answered."""
    elapsed_s: float = 0.0
    subject: str = ""
    """The address or domain."""

    @property
    def is_listed(self) -> bool:
        """Whether the answer counts."""
        return bool(self.judged.codes)


@dataclass(slots=True, kw_only=True)
class _Desk:
    """One provider, and how it has been lately."""

    name: str
    kind: ProviderKind
    settings: Provider | DomainProvider
    match: Match
    failures: int = 0
    rest_s: float = 0.0
    rests_until: float = 0.0
    why_resting: str = ""
    distrusted: str = ""
    complaint: str = ""
    """What was logged last, so that it is not logged again."""

    def hears_of(self, version: int) -> bool:
        """Whether it is asked about addresses of this version."""
        return isinstance(self.settings, Provider) and version in self.settings.ip_versions

    @property
    def tests(self) -> tuple[tuple[str, str], ...]:
        """(listed, not listed) for each kind of thing that it is asked about."""
        if isinstance(self.settings, DomainProvider):
            return ((self.settings.test_name or NAME_TESTS[0], NAME_TESTS[1]),)
        return tuple(TESTS[version] for version in self.settings.ip_versions)

    def question(self, subject: str) -> str:
        """The name that is asked for in its zone."""
        if isinstance(self.settings, DomainProvider):
            return question_for_name(subject, self.settings.zone)
        return question_for(subject, self.settings.zone)


@dataclass(slots=True, kw_only=True)
class ProviderDesk:
    """All providers of one configuration. monotonic: seconds."""

    block: Mapping[str, Provider]
    allow: Mapping[str, Provider]
    settings: DnsLists
    lookup: Lookup
    feeds: Feeds
    monotonic: Callable[[], float]
    log: Log
    counters: Counters
    domains: Mapping[str, DomainProvider] = field(default_factory=dict)
    _desks: tuple[_Desk, ...] = field(init=False)

    def __post_init__(self) -> None:
        pairs: list[tuple[ProviderKind, Mapping[str, Provider] | Mapping[str, DomainProvider]]] = [
            ("block", self.block),
            ("allow", self.allow),
            ("domain", self.domains),
        ]
        desks = [
            _Desk(name=name, kind=kind, settings=one, match=Match.of(one.answers, one.bitmask))
            for kind, providers in pairs
            for name, one in providers.items()
            if one.enabled
        ]
        self._desks = tuple(sorted(desks, key=lambda desk: (desk.settings.priority, desk.name)))

    def __bool__(self) -> bool:
        return bool(self._desks)

    @property
    def lists_addresses(self) -> bool:
        """Whether ask() asks anybody."""
        return any(desk.kind != "domain" for desk in self._desks)

    def asks_of(self, *sources: DomainSource) -> bool:
        """Whether ask_domains() asks anybody about such domains."""
        settings = (desk.settings for desk in self._desks)
        return any(set(sources) & set(one.asked) for one in settings if isinstance(one, DomainProvider))

    def settings_of(self, name: str, kind: ProviderKind) -> Provider | DomainProvider:
        """Raises KeyError."""
        if kind == "domain":
            return self.domains[name]
        return (self.block if kind == "block" else self.allow)[name]

    async def ask(self, address: str) -> tuple[ProviderAnswer, ...]:
        """In the order of their priority. Those that rest or are not trusted are not asked, and have a problem."""
        version, number = number_of(address)
        address = address_text(version, number)  # IPv4 in IPv6 is asked as IPv4
        return await self._ask_all([(desk, address) for desk in self._desks if desk.hears_of(version)])

    async def ask_domains(self, named: Mapping[DomainSource, Sequence[str]]) -> tuple[ProviderAnswer, ...]:
        """named: domains in lower-case A-labels, by where the mail names them. As ask(), an answer a name."""
        pairs: dict[tuple[int, str], tuple[_Desk, str]] = {}
        for desk in self._desks:
            if isinstance(desk.settings, DomainProvider):
                for source in desk.settings.asked:
                    for name in _asked_names(named.get(source, ()), parents=desk.settings.parents):
                        pairs.setdefault((id(desk), name), (desk, name))
        return await self._ask_all(list(pairs.values()))

    async def _ask_all(self, pairs: Sequence[tuple[_Desk, str]]) -> tuple[ProviderAnswer, ...]:
        answers: list[ProviderAnswer | asyncio.Future[ProviderAnswer]] = [
            asyncio.ensure_future(self._ask_unless_resting(desk, subject))
            if desk.settings.zone
            else self._ask_local(desk, subject)
            for desk, subject in pairs
        ]
        tasks = [one for one in answers if not isinstance(one, ProviderAnswer)]
        if tasks:
            try:
                await asyncio.wait(tasks, timeout=self.settings.deadline_s)
            finally:
                for task in tasks:
                    task.cancel()
        return tuple(
            one if isinstance(one, ProviderAnswer) else self._concluded(desk, subject, one)
            for (desk, subject), one in zip(pairs, answers, strict=True)
        )

    async def ask_each(self, subject: str, names: Iterable[str] = ()) -> Sequence[ProviderAnswer]:
        """For people: every enabled provider (or those named) of an address or a domain, whatever its state."""
        wanted, pairs = frozenset(names), list[tuple[_Desk, str]]()
        try:
            version, number = number_of(subject)
        except ValueError:
            for desk in self._desks:
                if isinstance(desk.settings, DomainProvider):
                    asked = _asked_names([subject], parents=desk.settings.parents)
                    pairs += [(desk, name) for name in asked]
        else:
            address = address_text(version, number)
            pairs += [(desk, address) for desk in self._desks if desk.hears_of(version)]
        return await asyncio.gather(
            *(
                self._ask_zone(desk, one, with_text=True)
                if desk.settings.zone
                else _at_once(self._ask_local(desk, one))
                for desk, one in pairs
                if not wanted or desk.name in wanted
            )
        )

    async def run(self) -> None:
        """Ask the test points at the start and every check-interval, until cancelled."""
        while self._desks:
            is_whole = await self.check()
            interval_s = self.settings.check_interval_s
            await asyncio.sleep(interval_s if is_whole else min(interval_s, CHECK_RETRY_S))

    async def check(self) -> bool:
        """Ask every zone's test points; True when all of them answered."""
        zones = [desk for desk in self._desks if desk.settings.zone]
        return all(await asyncio.gather(*(self._check(desk) for desk in zones)))

    async def _check(self, desk: _Desk) -> bool:
        """A list that lists 127.0.0.1 lists everybody: its zone is parked, sold or broken (threats M07)."""
        for place, (listed, not_listed) in enumerate(desk.tests):
            wrong = await self._ask_zone(desk, not_listed)
            if wrong.problem:
                return False
            if wrong.is_listed:
                self._distrust(desk, f"it lists {not_listed}, so it lists everybody: it is not asked")
                return True
            right = await self._ask_zone(desk, listed)
            if right.problem:
                return False
            if not right.is_listed and not right.judged.ignored and not place:
                self._trust(desk)
                self._complain(
                    desk,
                    f"it does not list its test point {listed}: is it the right zone, is it still there?",
                )
                return True
        self._trust(desk)
        self._complain(desk, "")
        return True

    def _distrust(self, desk: _Desk, reason: str) -> None:
        desk.distrusted = reason
        self.counters.set("list_provider_distrusted", 1, provider=desk.name)
        self._complain(desk, reason)

    def _trust(self, desk: _Desk) -> None:
        if desk.distrusted:
            self.log.write("info", "list-provider-trusted-again", provider=desk.name, zone=desk.settings.zone)
        desk.distrusted = ""
        self.counters.set("list_provider_distrusted", 0, provider=desk.name)

    def _complain(self, desk: _Desk, reason: str) -> None:
        if reason and reason != desk.complaint:
            self.log.write(
                "error", "list-provider-wrong", provider=desk.name, zone=desk.settings.zone, reason=reason
            )
        desk.complaint = reason

    async def _ask_unless_resting(self, desk: _Desk, subject: str) -> ProviderAnswer:
        why = desk.distrusted
        if not why and desk.rests_until > self.monotonic():
            why = f"it rests: {desk.why_resting}"
        if why:
            self.counters.add("list_questions", provider=desk.name, outcome="not-asked")
            return ProviderAnswer(
                provider=desk.name, kind=desk.kind, zone=desk.settings.zone, problem=why, subject=subject
            )
        answer = await self._ask_zone(desk, subject, with_text="{text}" in desk.settings.reply)
        self._learn(desk, answer)
        return answer

    async def _ask_zone(self, desk: _Desk, subject: str, *, with_text: bool = False) -> ProviderAnswer:
        zone, timeout_s = desk.settings.zone, desk.settings.timeout_s
        question = desk.question(subject)
        began_at = self.monotonic()
        text, problem, judged = "", "", Judged()
        try:
            found = await self.lookup.look_up(question, RecordType.A, timeout_s=timeout_s)
            judged = judge([str(record) for record in found.records], desk.match)
            if with_text and judged.codes:
                text = await self._text(question, timeout_s)
        except (WorldFault, PeerFault) as fault:
            problem = fault.reason
        return ProviderAnswer(
            provider=desk.name,
            kind=desk.kind,
            zone=zone,
            judged=judged,
            text=text,
            problem=problem or _refusal(judged),
            elapsed_s=self.monotonic() - began_at,
            subject=subject,
        )

    async def _text(self, question: str, timeout_s: float) -> str:
        """Its words; a list without them lists all the same."""
        try:
            found = await self.lookup.look_up(question, RecordType.TXT, timeout_s=timeout_s)
        except (WorldFault, PeerFault):
            return ""
        words = sorted(record for record in found.records if isinstance(record, bytes))
        return printable(words[0]) if words else ""

    def _ask_local(self, desk: _Desk, subject: str) -> ProviderAnswer:
        codes, texts, origins, problem = [], [], [], ""
        for name in desk.settings.feeds:
            try:
                listing = (
                    self.feeds.name_listing(name, subject)
                    if desk.kind == "domain"
                    else self.feeds.listing(name, *number_of(subject))
                )
            except WorldFault as fault:
                problem = fault.reason
                continue
            if listing is not None:
                codes.append(listing.code)
                origins.append(name)
                texts.append(listing.text.replace("$", subject))
        judged = judge(codes, desk.match)
        outcome = "listed" if judged.codes else "failed" if problem else "clear"
        self.counters.add("list_questions", provider=desk.name, outcome=outcome)
        return ProviderAnswer(
            provider=desk.name,
            kind=desk.kind,
            zone=", ".join(origins) or desk.settings.feeds[0],
            judged=judged,
            text=printable(next(filter(None, texts), "")),
            problem="" if judged.codes else problem,
            subject=subject,
        )

    def _concluded(self, desk: _Desk, subject: str, task: asyncio.Future[ProviderAnswer]) -> ProviderAnswer:
        """Who has not answered by now has no say."""
        if task.done() and not task.cancelled():
            return task.result()
        late = ProviderAnswer(
            provider=desk.name,
            kind=desk.kind,
            zone=desk.settings.zone,
            problem=f"no answer within {self.settings.deadline_s:g} s",
            elapsed_s=self.settings.deadline_s,
            subject=subject,
        )
        self._learn(desk, late)
        return late

    def _learn(self, desk: _Desk, answer: ProviderAnswer) -> None:
        refused = answer.judged.refused
        outcome = (
            "refused"
            if refused
            else "failed"
            if answer.problem
            else "listed"
            if answer.is_listed
            else "clear"
        )
        self.counters.add("list_questions", provider=desk.name, outcome=outcome)
        self.counters.add("list_seconds", answer.elapsed_s, provider=desk.name)
        if answer.judged.strange:
            self._complain(
                desk, f"it answers {answer.judged.strange[0]}, which is no listing: its zone may be parked"
            )
        if refused:
            self._rest(desk, self.settings.refused_rest_s, answer.problem)
        elif answer.problem:
            desk.failures += 1
            if desk.failures >= self.settings.failures:
                desk.rest_s = min(max(2 * desk.rest_s, self.settings.rest_s), self.settings.longest_rest_s)
                self._rest(desk, desk.rest_s, answer.problem)
        else:
            if desk.rest_s:
                self.log.write(
                    "info", "list-provider-answers-again", provider=desk.name, zone=desk.settings.zone
                )
            desk.failures, desk.rest_s = 0, 0.0

    def _rest(self, desk: _Desk, rest_s: float, reason: str) -> None:
        desk.rests_until = self.monotonic() + rest_s
        if not desk.why_resting or reason != desk.why_resting:
            self.log.write(
                "error",
                "list-provider-rests",
                provider=desk.name,
                zone=desk.settings.zone,
                reason=reason,
                rest_s=rest_s,
            )
        desk.why_resting = reason
        desk.failures = self.settings.failures - 1  # one failure after the rest is enough


def _asked_names(domains: Iterable[str], *, parents: bool) -> tuple[str, ...]:
    """Each once; without what no list of domains can know."""
    known = [domain for domain in domains if is_domain_asked(domain)]
    if parents:
        return tuple(dict.fromkeys(name for domain in known for name in with_parents(domain)))
    return tuple(dict.fromkeys(known))


def _refusal(judged: Judged) -> str:
    if not judged.refused:
        return ""
    return (
        f"it answers {judged.refused}: it does not want questions from us (a public resolver, too many questions, "
        "no contract)"
    )


async def _at_once(answer: ProviderAnswer) -> ProviderAnswer:
    return answer
