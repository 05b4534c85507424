"""Which MTA-STS policy a domain has now (RFC 8461 §3.3, §5): asked for when it is new, again before it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.log import Counters, Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.world import Clock
from gatepost.routing.sts_entries import StsEntries, StsEntry
from gatepost.standards.mta_sts import StsPolicy, parse_policy, policy_id, record_name

LOOK_AGAIN_S: Final = 300.0
"""How long a domain's record is not asked for again; also the wait after a policy that could not be fetched."""
LET_STAND_S: Final = 86400.0
"""An older "it has none" is no answer: the mail waits for the DNS."""
REFRESH_S: Final = 86400.0
"""A policy is fetched again at this age, or half of its own, so that it never ends unseen (RFC 8461 §10.2)."""
SHORTEST_AGE_S: Final = 300.0
"""A policy counts at least this long, so that max_age 0 does not mean a fetch for each connection."""
FETCHES_LIMIT: Final = 50
"""Policies that are looked for at once; a mail beyond them goes by what is remembered."""
REFRESHES_LIMIT: Final = 20
"""Policies that one `refresh` begins to look for."""

Fetch = Callable[[str], Awaitable[bytes]]
"""The octets of a domain's policy file. Raises WorldFault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StsOutside:
    """The ports."""

    resolver: Resolver
    fetch: Fetch
    clock: Clock
    log: Log
    counters: Counters


class StsPolicies:
    """One worker's. longest_age_s: no policy is believed longer. timeout_s: of a question to the DNS."""

    def __init__(
        self, outside: StsOutside, entries: StsEntries, *, longest_age_s: float, timeout_s: float
    ) -> None:
        self._resolver = outside.resolver
        self._fetch = outside.fetch
        self._clock = outside.clock
        self._log = outside.log
        self._counters = outside.counters
        self.entries = entries
        self._longest_age_s = longest_age_s
        self._timeout_s = timeout_s
        self._looking: dict[str, asyncio.Task[StsEntry]] = {}

    def known(self, domain: str) -> StsEntry | None:
        """What counts without waiting; None when the DNS has to be asked first.

        Begins to look again in the background when it is time: an older policy counts meanwhile.
        """
        entry = self.entries.get(domain)
        if entry is None:
            return None
        now = self._clock.now()
        if now < entry.again_at:
            return entry
        if entry.in_force(now) is None and now - entry.looked_at > LET_STAND_S:
            return None
        self._look(domain)
        return entry

    def expect(self, domain: str) -> None:
        """Somebody will ask `of` in a moment: begin to look where that has to be waited for."""
        if self.known(domain) is None:
            self._look(domain)

    async def of(self, domain: str) -> StsEntry:
        """As `known`, and waits where it has to. Never raises: no policy that can be had is none."""
        entry = self.known(domain)
        if entry is not None:
            return entry
        task = self._look(domain)
        if task is None:
            return self.entries.get(domain) or StsEntry(problem="too many policies are being looked for")
        return await asyncio.shield(task)

    def refresh(self) -> None:
        """Look again for policies that have grown old, a few at a time."""
        now = self._clock.now()
        begun = 0
        for domain, entry in self.entries.policies():
            if entry.expires_at <= now:
                self.entries.put(domain, StsEntry(looked_at=entry.looked_at))
            elif _is_old(entry, now) and now >= entry.again_at:
                if begun >= REFRESHES_LIMIT:
                    return
                begun += self._look(domain) is not None

    @property
    def looking(self) -> tuple[asyncio.Task[StsEntry], ...]:
        """Look-ups that are under way."""
        return tuple(self._looking.values())

    def close(self) -> None:
        """Break off what is under way."""
        for task in self._looking.values():
            task.cancel()

    # -- within -----------------------------------------------------------------------------------

    def _look(self, domain: str) -> asyncio.Task[StsEntry] | None:
        """The one task that looks for this domain's policy; None when too many do."""
        task = self._looking.get(domain)
        if task is None and len(self._looking) < FETCHES_LIMIT:
            task = asyncio.get_running_loop().create_task(self._looked(domain))
            self._looking[domain] = task
            task.add_done_callback(lambda _: self._looking.pop(domain, None))
        return task

    async def _looked(self, domain: str) -> StsEntry:
        before = self.entries.get(domain) or StsEntry()
        try:
            entry = await self._found(domain, before)
        except (WorldFault, PeerFault, ValueError) as fault:
            entry = self._failed(domain, before, getattr(fault, "reason", "") or str(fault))
        self.entries.put(domain, entry)
        return entry

    async def _found(self, domain: str, before: StsEntry) -> StsEntry:
        texts = await self._resolver.texts(record_name(domain), timeout_s=self._timeout_s)
        now = self._clock.now()
        seen = replace(before, looked_at=now, again_at=now + LOOK_AGAIN_S, problem="")
        wanted = policy_id(texts)
        if wanted is None:
            # RFC 8461 §5.1: a policy that was cached counts until it ends, whatever the DNS has lost.
            return seen if before.expires_at > now else StsEntry(looked_at=now, again_at=now + LOOK_AGAIN_S)
        if wanted == before.policy_id and before.expires_at > now and not _is_old(before, now):
            return seen
        policy = parse_policy(await self._fetch(domain))
        now = self._clock.now()
        self._counters.add("mta_sts_fetches", 1, result="good")
        if policy != before.policy:
            self._log.write(
                "info", "mta-sts-policy", domain=domain, mode=policy.mode.value, mx=list(policy.mx)
            )
        age_s = min(max(policy.max_age_s, SHORTEST_AGE_S), self._longest_age_s)
        return replace(seen, policy=policy, policy_id=wanted, fetched_at=now, expires_at=now + age_s)

    def _failed(self, domain: str, before: StsEntry, why: str) -> StsEntry:
        now = self._clock.now()
        kept: StsPolicy | None = before.in_force(now)
        self._counters.add("mta_sts_fetches", 1, result="failed")
        self._log.write("warning", "mta-sts-failed", domain=domain, why=why, kept=kept is not None)
        return replace(before, looked_at=now, again_at=now + LOOK_AGAIN_S, problem=why)


def _is_old(entry: StsEntry, now: float) -> bool:
    """To be fetched again though its id may be the same."""
    if entry.policy is None:
        return False
    return now >= entry.fetched_at + min(REFRESH_S, max(entry.policy.max_age_s / 2, SHORTEST_AGE_S))
