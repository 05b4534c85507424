"""Who sends in a domain's name, whether it authenticates, and what p=reject would refuse: out of kept reports. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

from gatepost.model.kept_report import FailureRow, SourceRow

NAMED_LIMIT: Final = 10
"""Sources that the last line names."""
NETWORK_BITS: Final = {4: 24, 6: 48}
_PASSED_ON: Final = frozenset(("forwarded", "mailing_list", "trusted_forwarder"))


@dataclass(slots=True, kw_only=True)
class SourceSum:
    """One address. dkim, spf: mails with an aligned pass of it. refused: what p=reject would refuse.

    done: what receivers did with how many.  signers: domains that signed, the most mails first.
    """

    ip: str
    name: str = ""
    mails: int = 0
    dkim: int = 0
    spf: int = 0
    refused: int = 0
    is_passed_on: bool = False
    """Receivers say of some of what failed that a forwarder or a list brought it."""
    done: Counter[str] = field(default_factory=Counter)
    signers: Counter[str] = field(default_factory=Counter)

    @property
    def network(self) -> str:
        """The network it is in, as strangers' addresses are usually counted; "" for what is no address."""
        try:
            version = ip_network(self.ip).version
            return str(ip_network(f"{self.ip}/{NETWORK_BITS[version]}", strict=False))
        except ValueError:
            return ""

    @property
    def judgement(self) -> str:
        """In words, for whoever thinks of p=reject."""
        if not self.refused:
            return "authenticates"
        if self.refused < self.mails:
            return "in part: yours and not always signed, or forwarded"
        if self.is_passed_on:
            return "never: forwarded, receivers say"
        return "never: unknown to you, or forged"


def sources_of(rows: Iterable[SourceRow], names: Mapping[str, str]) -> list[SourceSum]:
    """One for each address, that of the most mails first."""
    sums: dict[str, SourceSum] = {}
    for row in rows:
        one = sums.setdefault(row.ip, SourceSum(ip=row.ip, name=names.get(row.ip, "")))
        one.mails += row.mails
        one.dkim += row.mails * row.dkim
        one.spf += row.mails * row.spf
        if not (row.dkim or row.spf):
            one.refused += row.mails
            one.is_passed_on |= not _PASSED_ON.isdisjoint(row.why.split())
        one.done[row.done or "none"] += row.mails
        if row.signers:
            one.signers[row.signers] += row.mails
    return sorted(sums.values(), key=lambda one: (-one.mails, one.ip))


def under_reject(sources: Sequence[SourceSum]) -> str:
    """The last line: what would be refused, and where it comes from."""
    mails, refused = sum(one.mails for one in sources), sum(one.refused for one in sources)
    if not refused:
        return f"With p=reject nothing of these {mails} mails would be refused."
    failing = sorted((one for one in sources if one.refused), key=lambda one: -one.refused)
    named = ", ".join(f"{called(one)} {one.refused}" for one in failing[:NAMED_LIMIT])
    rest = failing[NAMED_LIMIT:]
    more = f", {len(rest)} more sources {sum(one.refused for one in rest)}" if rest else ""
    share = 100 * refused / mails
    return f"With p=reject {refused} of {mails} mails ({share:.3g} %) would be refused: {named}{more}."


def called(one: SourceSum) -> str:
    """Address and name, as a sentence has them."""
    address = one.ip or "(others)"
    return f"{address} ({one.name})" if one.name else address


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureSum:
    """Sessions of one organization that failed alike at one of our hosts."""

    what: str
    host: str
    organization: str
    reason: str
    sessions: int


def failures_of(rows: Iterable[tuple[str, FailureRow]]) -> list[FailureSum]:
    """The sending servers' own addresses together, most sessions first."""
    sums: Counter[tuple[str, str, str, str]] = Counter()
    for organization, row in rows:
        sums[row.what, row.host, organization, row.reason] += row.sessions
    return [
        FailureSum(what=what, host=host, organization=organization, reason=reason, sessions=sessions)
        for (what, host, organization, reason), sessions in sums.most_common()
    ]
