"""Asks list providers: all at once, with one deadline; lets those rest that fail, and distrusts those that list all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from gatepost.config.list_settings import DnsLists, Provider
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.ip_ranges import address_text, number_of
from gatepost.model.list_answer import Judged, Match, judge, printable
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Lookup, RecordType
from gatepost.protocol.list_formats import Listing
from gatepost.standards.dns_lists import TESTS, question_for

ProviderKind = Literal["block", "allow"]
CHECK_RETRY_S: Final = 300.0
"""A check of the test points that could not be finished is tried again after this."""


class Feeds(Protocol):
    """What providers without a zone are asked in."""

    def listing(self, name: str, version: int, number: int) -> Listing | None:
        """Raises WorldFault before the feed was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What one provider said of one address."""

    provider: str
    kind: ProviderKind
    zone: str
    judged: Judged = Judged()
    text: str = ""
    problem: str = ""
    """Why it said nothing; "" when it answered."""
    elapsed_s: float = 0.0

    @property
    def is_listed(self) -> bool:
        """Whether the answer counts."""
        return bool(self.judged.codes)


@dataclass(slots=True, kw_only=True)
class _Desk:
    """One provider, and how it has been lately."""

    name: str
    kind: ProviderKind
    settings: Provider
    match: Match
    failures: int = 0
    rest_s: float = 0.0
    rests_until: float = 0.0
    why_resting: str = ""
    distrusted: str = ""
    complaint: str = ""
    """What was logged last, so that it is not logged again."""


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
    _desks: tuple[_Desk, ...] = field(init=False)

    def __post_init__(self) -> None:
        pairs: list[tuple[ProviderKind, Mapping[str, Provider]]] = [
            ("block", self.block),
            ("allow", self.allow),
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

    def settings_of(self, name: str, kind: ProviderKind) -> Provider:
        """Raises KeyError."""
        return (self.block if kind == "block" else self.allow)[name]

    async def ask(self, address: str) -> tuple[ProviderAnswer, ...]:
        """In the order of their priority. Those that rest or are not trusted are not asked, and have a problem."""
        version, number = number_of(address)
        address = address_text(version, number)  # IPv4 in IPv6 is asked as IPv4
        desks = [desk for desk in self._desks if version in desk.settings.ip_versions]
        local = {id(d): self._ask_local(d, address) for d in desks if not d.settings.zone}
        tasks = {
            id(desk): asyncio.ensure_future(self._ask_unless_resting(desk, address))
            for desk in desks
            if desk.settings.zone
        }
        if tasks:
            try:
                await asyncio.wait(tasks.values(), timeout=self.settings.deadline_s)
            finally:
                for task in tasks.values():
                    task.cancel()
        return tuple(
            local[id(desk)] if id(desk) in local else self._concluded(desk, tasks[id(desk)]) for desk in desks
        )

    async def ask_each(self, address: str, names: Iterable[str] = ()) -> Sequence[ProviderAnswer]:
        """For people: every enabled provider (or those named), whatever its state, with its words."""
        wanted, (version, number) = frozenset(names), number_of(address)
        address = address_text(version, number)
        asked = [desk for desk in self._desks if version in desk.settings.ip_versions]
        desks = [desk for desk in asked if not wanted or desk.name in wanted]
        return await asyncio.gather(
            *(
                self._ask_zone(desk, address, with_text=True)
                if desk.settings.zone
                else _at_once(self._ask_local(desk, address))
                for desk in desks
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
        for version in desk.settings.ip_versions:
            listed, not_listed = TESTS[version]
            wrong = await self._ask_zone(desk, not_listed)
            if wrong.problem:
                return False
            if wrong.is_listed:
                self._distrust(desk, f"it lists {not_listed}, so it lists everybody: it is not asked")
                return True
            right = await self._ask_zone(desk, listed)
            if right.problem:
                return False
            if not right.is_listed and not right.judged.ignored and version == desk.settings.ip_versions[0]:
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

    async def _ask_unless_resting(self, desk: _Desk, address: str) -> ProviderAnswer:
        why = desk.distrusted
        if not why and desk.rests_until > self.monotonic():
            why = f"it rests: {desk.why_resting}"
        if why:
            self.counters.add("list_questions", provider=desk.name, outcome="not-asked")
            return ProviderAnswer(provider=desk.name, kind=desk.kind, zone=desk.settings.zone, problem=why)
        answer = await self._ask_zone(desk, address, with_text="{text}" in desk.settings.reply)
        self._learn(desk, answer)
        return answer

    async def _ask_zone(self, desk: _Desk, address: str, *, with_text: bool = False) -> ProviderAnswer:
        zone, timeout_s = desk.settings.zone, desk.settings.timeout_s
        question = question_for(address, zone)
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
        )

    async def _text(self, question: str, timeout_s: float) -> str:
        """Its words; a list without them lists all the same."""
        try:
            found = await self.lookup.look_up(question, RecordType.TXT, timeout_s=timeout_s)
        except (WorldFault, PeerFault):
            return ""
        words = sorted(record for record in found.records if isinstance(record, bytes))
        return printable(words[0]) if words else ""

    def _ask_local(self, desk: _Desk, address: str) -> ProviderAnswer:
        version, number = number_of(address)
        codes, texts, origins, problem = [], [], [], ""
        for name in desk.settings.feeds:
            try:
                listing = self.feeds.listing(name, version, number)
            except WorldFault as fault:
                problem = fault.reason
                continue
            if listing is not None:
                codes.append(listing.code)
                origins.append(name)
                texts.append(listing.text.replace("$", address))
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
        )

    def _concluded(self, desk: _Desk, task: asyncio.Future[ProviderAnswer]) -> ProviderAnswer:
        """Who has not answered by now has no say."""
        if task.done() and not task.cancelled():
            return task.result()
        late = ProviderAnswer(
            provider=desk.name,
            kind=desk.kind,
            zone=desk.settings.zone,
            problem=f"no answer within {self.settings.deadline_s:g} s",
            elapsed_s=self.settings.deadline_s,
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


def _refusal(judged: Judged) -> str:
    if not judged.refused:
        return ""
    return (
        f"it answers {judged.refused}: it does not want questions from us (a public resolver, too many questions, "
        "no contract)"
    )


async def _at_once(answer: ProviderAnswer) -> ProviderAnswer:
    return answer
