"""SPF (RFC 7208): may this address send mail for this domain, and which term of which record says so.

The record selection of Sender ID (RFC 4406) is a parameter; everything else of the two is the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, cast

from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.resolver import LookedUp, Lookup, Mx, RecordType
from gatepost.standards.spf_macros import (
    OF_LOCAL_PART,
    MacroString,
    RecordError,
    expand,
    parse_macro_string,
    target_name,
)
from gatepost.standards.spf_record import (
    Directive,
    Identity,
    Kind,
    Record,
    Result,
    parse_record,
    select_record,
)

NAMES_LIMIT: Final = 10  # of one mx or ptr, RFC 7208 §4.6.4
EXPLANATION_LIMIT_CHARS: Final = 4096
_LABEL: Final = r"[!-\-/-~]{1,63}"
_ASKABLE: Final = re.compile(r"(?=.{1,253}\Z)[ -\-/-~]{1,63}(?:\.[ -\-/-~]{1,63})*+")
"""With the blanks that macros can make (§7.2); a resolver that does not ask for such names finds none."""
_FULL_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z)(?!\[){_LABEL}(?:\.{_LABEL})++")


class NoRecord(Enum):
    """Why the result is none; Sender ID makes some of them a fail."""

    MALFORMED = "malformed"
    """What is checked is no domain name with two labels."""
    NO_DOMAIN = "no-domain"
    NOT_PUBLISHED = "not-published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """RFC 7208 §4.6.4: what one check may cost."""

    terms: int = 10
    void_terms: int = 2
    total_s: float = 20.0
    lookup_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is checked.

    ip:     of the client; an IPv4-mapped address counts as IPv4.
    domain: whose record is asked for. May be any text.
    local, sender_domain: the sender, for macros; no local part means postmaster.
    """

    ip: str
    domain: str
    local: str = ""
    sender_domain: str = ""
    helo: str = "unknown"
    receiver: str = "unknown"
    now: float = 0.0
    identity: Identity = Identity.SPF


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that was done, for whoever wants to see the whole way."""

    depth: int
    """0 in the record of the checked domain, one more for each include and redirect."""
    domain: str
    """Whose record."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The result, and what it stands on."""

    result: Result
    domain: str
    term: str = ""
    """The mechanism that matched; "": none did, or there was no way to tell."""
    record_domain: str = ""
    """In whose record it stands."""
    path: tuple[str, ...] = ()
    """From the checked domain through includes and redirects to that record."""
    explanation: str = ""
    """Of a fail, from the DNS: the stranger's text, at most 4096 characters."""
    problem: str = ""
    """What is wrong, for temperror and permerror."""
    no_record: NoRecord | None = None


class _Stop(Exception):  # it ends an evaluation; it is no error of ours
    """The end of the whole check."""

    def __init__(self, result: Result, problem: str) -> None:
        super().__init__(problem)
        self.result = result
        self.problem = problem


async def check_host(
    query: Query,
    lookup: Lookup,
    monotonic: Callable[[], float],
    limits: Limits = Limits(),
    steps: list[Step] | None = None,
) -> Answer:
    """Never raises a Fault: what the DNS does not say is TEMPERROR, what a record does wrong PERMERROR.

    steps: filled with everything that was done.
    """
    domain = query.domain.removesuffix(".")
    if not _FULL_NAME.fullmatch(domain):
        return Answer(result=Result.NONE, domain=domain[:255], no_record=NoRecord.MALFORMED)
    check = _Check(query, lookup, monotonic, limits, steps)
    try:
        found = await check.evaluate(domain, ())
        explanation = ""
        if found.result is Result.FAIL and found.explanation is not None:
            explanation = await check.explain(found.explanation, found.explained_by)
    except _Stop as stop:
        return Answer(
            result=stop.result,
            domain=domain,
            term=check.term,
            record_domain=check.path[-1],
            path=check.path,
            problem=stop.problem,
        )
    return Answer(
        result=found.result,
        domain=domain,
        term=found.term,
        record_domain=found.path[-1] if found.no_record is None else "",
        path=found.path if found.no_record is None else (),
        explanation=explanation,
        no_record=found.no_record,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one record came to."""

    result: Result
    path: tuple[str, ...]
    term: str = ""
    explanation: MacroString | None = None
    explained_by: str = ""
    no_record: NoRecord | None = None


@lru_cache(maxsize=1024)
def _numbered(text: str) -> tuple[IPv4Address | IPv6Address, int, bool]:
    """An address, its number, and whether it is IPv4. Each client is checked twice a mail. Raises ValueError."""
    ip = ip_address(text)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return ip, int(ip), ip.version == 4


@dataclass(slots=True)
class _Check:
    """One check on its way: what it has cost so far."""

    query: Query
    lookup: Lookup
    monotonic: Callable[[], float]
    limits: Limits
    steps: list[Step] | None
    term: str = ""
    path: tuple[str, ...] = ()
    _terms: int = 0
    _void_terms: int = 0
    _is_void: bool = False
    """The term being evaluated has been counted as void."""
    _until: float = field(init=False)
    _ip: IPv4Address | IPv6Address = field(init=False)
    _number: int = field(init=False)
    _is_4: bool = field(init=False)
    _pointers: tuple[str, ...] | None = None
    _leads_back: dict[str, bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._ip, self._number, self._is_4 = _numbered(self.query.ip)
        self._until = self.monotonic() + self.limits.total_s

    async def evaluate(self, domain: str, before: tuple[str, ...]) -> _Found:
        """The record of one domain, from its first term to the one that matches."""
        path = (*before, domain)
        self.path, self.term = path, ""
        record = await self._record(domain, path)
        if isinstance(record, NoRecord):
            return _Found(result=Result.NONE, path=path, no_record=record)
        for directive in record.directives:
            self.path, self.term = path, directive.text
            found = await _MATCHERS[directive.kind](self, directive, domain)
            if found is None:
                self._note(f"{directive.text}: no match")
                continue
            self.path = path
            self._note(f"{directive.text}: matches, {directive.result.value}")
            return _Found(
                result=directive.result,
                path=found.path,
                term=found.term,
                explanation=record.explanation,
                explained_by=domain,
            )
        self.term = ""
        if record.redirect is not None:
            return await self._redirected(record.redirect, domain)
        self._note("no term matches: neutral")
        return _Found(result=Result.NEUTRAL, path=path)

    async def explain(self, spec: MacroString, domain: str) -> str:
        """The text a domain gives for its fail; "" when there is none or it is no good (§6.2)."""
        try:
            name = await self._target(spec, domain)
            texts = await self._texts(name) if name else ()
            if len(texts) != 1:
                return ""
            text = texts[0].decode("ascii")
            macros = parse_macro_string(text, blanks=True, explanation=True)
            found = await self._expanded(macros, domain)
        except (_Stop, RecordError, UnicodeDecodeError):
            return ""
        self._note(f"the explanation is {name}'s")
        return found[:EXPLANATION_LIMIT_CHARS]

    async def _record(self, domain: str, path: tuple[str, ...]) -> Record | NoRecord:
        answer = await self._look_up(domain, RecordType.TXT)
        try:
            text = select_record(cast("Sequence[bytes]", answer.records), self.query.identity)
            if text is None:
                return NoRecord.NOT_PUBLISHED if answer.exists else NoRecord.NO_DOMAIN
            if self.steps is not None:
                self._note(f"record {text[:1000].decode('ascii', 'backslashreplace')}")
            return parse_record(text)
        except RecordError as error:
            raise _Stop(Result.PERMERROR, f"{path[-1]}: {error}") from error

    async def _redirected(self, spec: MacroString, domain: str) -> _Found:
        path = self.path
        self.term = f"redirect={spec.text}"
        self._count_term()
        name = await self._target(spec, domain)
        found = await self.evaluate(name, path) if name else None
        if found is None or found.no_record is not None:
            self.path, self.term = path, f"redirect={spec.text}"
            raise _Stop(Result.PERMERROR, f"redirect={spec.text[:255]} leads to no record")
        return found

    # The mechanisms: what matched, or None.

    async def match_all(self, directive: Directive, _domain: str) -> _Found:
        return self._match(directive)

    async def match_ip4(self, directive: Directive, _domain: str) -> _Found | None:
        matches = self._is_4 and self._number & directive.mask_4 == directive.network
        return self._match(directive) if matches else None

    async def match_ip6(self, directive: Directive, _domain: str) -> _Found | None:
        matches = not self._is_4 and self._number & directive.mask_6 == directive.network
        return self._match(directive) if matches else None

    async def match_include(self, directive: Directive, domain: str) -> _Found | None:
        path = self.path
        self._count_term()
        assert directive.spec is not None  # the parser refuses an include without
        name = await self._target(directive.spec, domain)
        if not name and directive.spec.letters & OF_LOCAL_PART and not self.query.local.isascii():
            return None  # RFC 8616 §4: such a term never matches
        found = await self.evaluate(name, path) if name else None
        if found is None or found.no_record is not None:
            self.path, self.term = path, directive.text
            raise _Stop(Result.PERMERROR, f"{directive.text[:255]} leads to no record")
        self.path, self.term = path, directive.text
        return found if found.result is Result.PASS else None

    async def match_a(self, directive: Directive, domain: str) -> _Found | None:
        self._count_term()
        name = await self._target(directive.spec, domain)
        return self._match(directive) if name and await self._has_address(name, directive) else None

    async def match_mx(self, directive: Directive, domain: str) -> _Found | None:
        self._count_term()
        name = await self._target(directive.spec, domain)
        if not name:
            return None
        hosts = cast("Sequence[Mx]", (await self._counted(name, RecordType.MX)).records)
        if len(hosts) > NAMES_LIMIT:
            raise _Stop(
                Result.PERMERROR, f"{name} has {len(hosts)} mail exchangers, the limit is {NAMES_LIMIT}"
            )
        for host in sorted(hosts, key=lambda mx: mx.preference):
            if _ASKABLE.fullmatch(host.host) and await self._has_address(host.host, directive):
                return self._match(directive)
        return None

    async def match_exists(self, directive: Directive, domain: str) -> _Found | None:
        self._count_term()
        name = await self._target(directive.spec, domain)
        found = bool(name) and bool((await self._counted(name, RecordType.A)).records)
        return self._match(directive) if found else None

    async def match_ptr(self, directive: Directive, domain: str) -> _Found | None:
        self._count_term()
        name = await self._target(directive.spec, domain)
        if not name:
            return None
        for pointer in await self._pointing():
            if _is_below(pointer, name.lower()) and await self._is_confirmed(pointer):
                return self._match(directive)
        return None

    def _match(self, directive: Directive) -> _Found:
        return _Found(result=directive.result, path=self.path, term=directive.text)

    async def _has_address(self, name: str, directive: Directive) -> bool:
        mask = directive.mask_4 if self._is_4 else directive.mask_6
        wanted = self._number & mask
        return any(int(ip_address(text)) & mask == wanted for text in await self._addresses(name))

    async def _addresses(self, name: str) -> Sequence[str]:
        kind = RecordType.A if self._is_4 else RecordType.AAAA
        return cast("Sequence[str]", (await self._counted(name, kind)).records)

    # Names of the client, for ptr and %{p} (§5.5): asked for once a check.

    async def _pointing(self) -> tuple[str, ...]:
        if self._pointers is None:
            self._pointers = ()
            try:
                answer = await self._counted(self._ip.reverse_pointer, RecordType.PTR)
            except _Stop as stop:
                if stop.result is Result.PERMERROR:
                    raise
                return ()
            names = cast("Sequence[str]", answer.records)[:NAMES_LIMIT]
            self._pointers = tuple(name.lower().removesuffix(".") for name in names)
        return self._pointers

    async def _is_confirmed(self, name: str) -> bool:
        """Whether the name's own addresses include the client's. What cannot be found out is skipped."""
        if name not in self._leads_back:
            try:
                found = await self._addresses(name) if _ASKABLE.fullmatch(name) else ()
            except _Stop as stop:
                if stop.result is Result.PERMERROR:
                    raise
                found = ()
            self._leads_back[name] = any(int(ip_address(text)) == self._number for text in found)
        return self._leads_back[name]

    async def _validated_name(self, domain: str) -> str:
        """%{p}: the domain itself, else a name below it, else any (§7.3)."""
        own = domain.lower()
        pointers = await self._pointing()
        for name in sorted(pointers, key=lambda one: (one != own, not _is_below(one, own))):
            if await self._is_confirmed(name):
                return name
        return "unknown"

    # Macros.

    async def _target(self, spec: MacroString | None, domain: str) -> str:
        """The name a term is about; "" when it is none that could be asked (§4.8)."""
        if spec is None:
            return domain
        if spec.letters & OF_LOCAL_PART and not self.query.local.isascii():
            return ""  # RFC 8616 §4
        name = target_name(await self._expanded(spec, domain))
        return name if _ASKABLE.fullmatch(name) else ""

    async def _expanded(self, string: MacroString, domain: str) -> str:
        if string.is_plain:
            return expand(string, str)
        validated = await self._validated_name(domain) if "p" in string.letters else ""
        return expand(string, lambda letter: validated if letter == "p" else self._value(letter, domain))

    def _value(self, letter: str, domain: str) -> str:
        query = self.query
        local, sender_domain = query.local or "postmaster", query.sender_domain or query.domain
        match letter:
            case "s":
                return f"{local}@{sender_domain}"
            case "l":
                return local
            case "o":
                return sender_domain
            case "d":
                return domain
            case "i":
                return str(self._ip) if self._is_4 else ".".join(f"{self._number:032X}")
            case "v":
                return "in-addr" if self._is_4 else "ip6"
            case "h":
                return query.helo
            case "c":
                return str(self._ip)
            case "r":
                return query.receiver
            case _:
                return str(int(query.now))

    # What it costs.

    def _count_term(self) -> None:
        self._terms += 1
        self._is_void = False
        if self._terms > self.limits.terms:
            raise _Stop(Result.PERMERROR, f"more than {self.limits.terms} terms ask the DNS")

    async def _counted(self, name: str, kind: RecordType) -> LookedUp:
        """As _look_up; a term whose questions find nothing is void."""
        answer = await self._look_up(name, kind)
        if not answer.records and not self._is_void:
            self._is_void = True
            self._void_terms += 1
            if self._void_terms > self.limits.void_terms:
                raise _Stop(Result.PERMERROR, f"more than {self.limits.void_terms} terms find nothing")
        return answer

    async def _texts(self, name: str) -> Sequence[bytes]:
        return cast("Sequence[bytes]", (await self._look_up(name, RecordType.TXT)).records)

    async def _look_up(self, name: str, kind: RecordType) -> LookedUp:
        left_s = self._until - self.monotonic()
        if left_s <= 0:
            raise _Stop(Result.TEMPERROR, f"the check took longer than {self.limits.total_s:g} s")
        try:
            answer = await self.lookup.look_up(name, kind, timeout_s=min(left_s, self.limits.lookup_s))
        except PeerFault:
            answer = LookedUp(records=(), exists=False)
        except WorldFault as fault:
            self._note(f"? {name} {kind.name}: {fault.reason}")
            raise _Stop(Result.TEMPERROR, f"{name} {kind.name}: {fault.reason}") from fault
        if self.steps is not None:
            self._note(f"? {name} {kind.name}: {_shown(answer)}")
        return answer

    def _note(self, text: str) -> None:
        if self.steps is not None:
            self.steps.append(Step(depth=len(self.path) - 1, domain=self.path[-1], text=text))


def _shown(answer: LookedUp) -> str:
    if not answer.records:
        return "nothing" if answer.exists else "no such name"
    return ", ".join(
        f"{one.preference} {one.host}"
        if isinstance(one, Mx)
        else one.decode("ascii", "backslashreplace")[:300]
        if isinstance(one, bytes)
        else str(one)
        for one in answer.records[:NAMES_LIMIT]
    )


def _is_below(name: str, domain: str) -> bool:
    return name == domain or name.endswith(f".{domain}")


_MATCHERS: Final = {
    Kind.ALL: _Check.match_all,
    Kind.IP4: _Check.match_ip4,
    Kind.IP6: _Check.match_ip6,
    Kind.INCLUDE: _Check.match_include,
    Kind.A: _Check.match_a,
    Kind.MX: _Check.match_mx,
    Kind.EXISTS: _Check.match_exists,
    Kind.PTR: _Check.match_ptr,
}
