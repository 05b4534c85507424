"""What is remembered of each domain's MTA-STS policy, in memory and as the octets that outlive a restart."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from gatepost.standards.mta_sts import MX_LIMIT, StsMode, StsPolicy, pattern_problem

FILE_LIMIT_BYTES: Final = 64 << 20
"""A larger file is not read back: it is none of ours."""
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StsEntry:
    """One domain. policy: None when it has none. Times in seconds since the epoch.

    looked_at: when the DNS was asked last.  again_at: when it should be asked again.
    expires_at: until when the policy counts, whatever the DNS says meanwhile.
    problem: why a policy that should be there could not be had, "" when none should.
    """

    policy: StsPolicy | None = None
    policy_id: str = ""
    fetched_at: float = 0.0
    expires_at: float = 0.0
    looked_at: float = 0.0
    again_at: float = 0.0
    problem: str = ""

    def in_force(self, now: float) -> StsPolicy | None:
        """The policy that counts now; one of mode none asks for nothing."""
        if self.policy is None or self.expires_at <= now or self.policy.mode is StsMode.NONE:
            return None
        return self.policy


class _Stored(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A policy in the file."""

    domain: str
    policy_id: str
    mode: str
    max_age_s: int
    mx: list[str]
    fetched_at: float
    expires_at: float


class _File(msgspec.Struct):
    version: int
    policies: list[_Stored]


class StsEntries:
    """The most recently used domains, at most `limit`; those without a policy go first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._with: OrderedDict[str, StsEntry] = OrderedDict()
        self._without: OrderedDict[str, StsEntry] = OrderedDict()
        self.has_news = False
        """Something that is worth a file has changed since `stored`."""

    def __len__(self) -> int:
        return len(self._with) + len(self._without)

    def get(self, domain: str) -> StsEntry | None:
        """What is known, if anything."""
        return self._with.get(domain) or self._without.get(domain)

    def put(self, domain: str, entry: StsEntry) -> None:
        """Remember, and forget the oldest when there are too many."""
        before = self._with.pop(domain, None)
        self._without.pop(domain, None)
        if entry.policy is not None:
            self._with[domain] = entry
        else:
            self._without[domain] = entry
        old = (before.policy, before.expires_at) if before is not None else (None, 0.0)
        self.has_news = self.has_news or old != (entry.policy, entry.expires_at)
        if len(self) > self._limit:
            (self._without or self._with).popitem(last=False)

    def policies(self) -> Iterator[tuple[str, StsEntry]]:
        """Domains that have one."""
        return iter(tuple(self._with.items()))

    def stored(self, now: float) -> bytes:
        """The policies that still count, for the file."""
        self.has_news = False
        rows = [
            _Stored(
                domain,
                entry.policy_id,
                entry.policy.mode.value,
                entry.policy.max_age_s,
                list(entry.policy.mx),
                entry.fetched_at,
                entry.expires_at,
            )
            for domain, entry in self._with.items()
            if entry.policy is not None and entry.expires_at > now
        ]
        return msgspec.json.encode(_File(_VERSION, rows))

    def restore(self, data: bytes, now: float) -> None:
        """Take what a file holds; each domain's DNS is asked again at its next mail. Raises ValueError."""
        if len(data) > FILE_LIMIT_BYTES:
            raise ValueError("it is too large")
        try:
            file = msgspec.json.decode(data, type=_File)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from error
        if file.version != _VERSION:
            raise ValueError(f"it is of version {file.version}, not {_VERSION}")
        news = self.has_news
        for domain, entry in _entries(file.policies[-self._limit :]):
            # What another process has learned later than this file counts more.
            held = self.get(domain)
            if entry.expires_at > now and (held is None or held.fetched_at < entry.fetched_at):
                self.put(domain, entry)
        self.has_news = news


def _entries(rows: Iterable[_Stored]) -> Iterator[tuple[str, StsEntry]]:
    for row in rows:
        if len(row.mx) > MX_LIMIT or any(pattern_problem(pattern) for pattern in row.mx):
            raise ValueError(f"the policy of {row.domain[:80]} cannot be used")
        policy = StsPolicy(mode=StsMode(row.mode), max_age_s=row.max_age_s, mx=tuple(row.mx))
        yield (
            row.domain,
            StsEntry(
                policy=policy,
                policy_id=row.policy_id,
                fetched_at=row.fetched_at,
                expires_at=row.expires_at,
            ),
        )
