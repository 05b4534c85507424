"""The resolver: asks the configured name servers, remembers answers, never guesses (ports.resolver)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Final, cast

from gatepost.adapters.counters import Sample
from gatepost.adapters.dns_cache import AnswerCache, Key
from gatepost.adapters.dns_health import Silence, in_order
from gatepost.adapters.dns_question import NoAnswer, Outcome, Question
from gatepost.adapters.dns_statistics import Statistics, server_samples
from gatepost.adapters.dns_udp import NameServer, ServerAddress
from gatepost.adapters.dns_wire import ALIASES_LIMIT, Answer, Kind, Status, askable
from gatepost.config.dns_settings import Dns
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.log import Log
from gatepost.ports.resolver import ASKING_FOR, LookedUp, Mx, RecordType

QUESTIONS_LIMIT: Final = 10_000
"""Questions on their way at once; more are answered "unknown" without asking (M14)."""
NETWORK_QUESTIONS_LIMIT: Final = 1000
"""Of them for mail of one network: name servers that never answer are as many as their owner likes (decision 0399)."""
NAMES_LIMIT: Final = 10
REFRESHES_LIMIT: Final = 100
"""Answers asked for again at once, before their time is over."""
FAILURE_TTL_S: Final = 1.0
"""RFC 9520 §3.2: that nobody knew is remembered for a second."""
FAILURES_LIMIT: Final = 1000
SERVERS_LIMIT: Final = 8
_SOON_S: Final = 0.01
RESOLV_CONF: Final = Path("/etc/resolv.conf")
_UNKNOWN: Final = Reply(451, "4.4.3", "A name could not be looked up, try again later")
_BAD_ADDRESS: Final = Reply(501, "5.5.4", "That is not an IP address")


class DnsResolver:
    """A stub resolver with a cache, for one event loop.

    settings: servers (empty: those of /etc/resolv.conf), the patience with one question, the
    size of the cache. Search domains are not read, so a name is only ever asked as it is (M15).
    log: where it is told that all servers are silent.
    """

    def __init__(self, settings: Dns, log: Log | None = None) -> None:
        addresses = [server_address(text) for text in settings.servers] or system_servers()
        self.servers = tuple(
            NameServer(address, trust_ad=_is_believed(address, settings.trust_ad))
            for address in addresses[:SERVERS_LIMIT]
        )
        self._timeout_s = settings.timeout_s
        self._order = settings.order
        self._silence = Silence(settings.timeout_s, log)
        self._probe_key: Key = (settings.test_name or Dns().test_name, Kind.SOA)
        self._closed = False
        self._cache = AnswerCache(
            settings.cache_entries,
            lowest_ttl_s=settings.lowest_ttl_s,
            highest_ttl_s=settings.highest_ttl_s,
            refresh_from=settings.refresh_from,
            refresh=self._refresh,
        )
        self._refreshing: set[Key] = set()
        self._statistics = Statistics(settings.watched_zones)
        self._failures: dict[Key, tuple[float, str]] = {}
        self._questions: dict[Key, Question] = {}
        self._waiting_for: dict[str, int] = {}
        """Questions on their way, by the network of the client whose mail they are about."""
        self.asked = 0
        """Questions sent to a server since the start."""
        self._cache_hits = 0

    async def addresses(self, name: str, *, timeout_s: float) -> tuple[str, ...]:
        """A and AAAA. When only one of the two is unknown, what the other brought is the answer."""
        four, six = self._known((name, Kind.A)), self._known((name, Kind.AAAA))
        if four is None or six is None:
            return await self._both(name, timeout_s)
        return cast("tuple[str, ...]", four.records + six.records)

    async def mail_exchangers(self, name: str, *, timeout_s: float) -> tuple[Mx, ...]:
        """MX, lowest preference first; the order among equals is the server's."""
        answer = self._known((name, Kind.MX)) or await self._lookup(name, Kind.MX, timeout_s)
        records = cast("tuple[Mx, ...]", answer.records)
        return tuple(sorted(records, key=_preference)) if len(records) > 1 else records

    async def names(self, address: str, *, timeout_s: float) -> tuple[str, ...]:
        """PTR. What does not belong in a host name is written \\DDD: such a name cannot be asked again."""
        name = reverse_name(address)
        answer = self._known((name, Kind.PTR)) or await self._lookup(name, Kind.PTR, timeout_s)
        return cast("tuple[str, ...]", answer.records[:NAMES_LIMIT])

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:
        """TXT. More than 16 KiB in one answer is no answer: WorldFault (M05)."""
        answer = self._known((name, Kind.TXT)) or await self._lookup(name, Kind.TXT, timeout_s)
        return cast("tuple[bytes, ...]", answer.records)

    async def exists(self, name: str, *, timeout_s: float) -> bool:
        """Asks for A; any answer but NXDOMAIN shows that the name is there. An alias to nowhere is not."""
        answer = self._known((name, Kind.A)) or await self._lookup(name, Kind.A, timeout_s)
        return answer.status is not Status.NXDOMAIN

    async def look_up(self, name: str, kind: RecordType, *, timeout_s: float) -> LookedUp:
        """Any type this resolver can read, from the cache or from a server (ports.resolver.Lookup)."""
        answer = self._known((name, kind)) or await self._lookup(name, kind, timeout_s)
        return LookedUp(
            records=answer.records,
            exists=answer.status is not Status.NXDOMAIN,
            is_secure=answer.is_secure,
            ttl_s=answer.ttl_s,
        )

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()
        self._failures.clear()

    def close(self) -> None:
        """Close every socket. Whoever waits hears WorldFault."""
        self._closed = True
        for question in list(self._questions.values()):
            question.cancel()
        for server in self.servers:
            server.close()

    def watch(self, zones: Iterable[str]) -> None:
        """Count the questions about these zones by themselves; at most ZONES_LIMIT in all."""
        self._statistics.watch(zones)

    def samples(self) -> Iterator[Sample]:
        """For the metrics."""
        yield from self._statistics.samples()
        yield from server_samples(self.servers)
        yield "dns_cache_hits", (), self._cache_hits
        yield "dns_cached_answers", (), len(self._cache)
        yield "dns_waiting_questions", (), len(self._questions)
        yield "dns_silent", (), int(self._silence.is_there)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Addresses of the servers."""
        return tuple(server.address.host for server in self.servers)

    @property
    def trusts_any(self) -> bool:
        """Whether the AD bit of one of the servers counts."""
        return any(server.trust_ad for server in self.servers)

    @property
    def waiting(self) -> int:
        """Questions on their way."""
        return len(self._questions)

    @property
    def cached(self) -> int:
        """Answers kept."""
        return len(self._cache)

    def _known(self, key: Key) -> Answer | None:
        """A whole answer from the cache: one that needs no further question."""
        answer = self._cache.get(key, asyncio.get_running_loop().time())
        if answer is None or answer.alias:
            return None
        self._cache_hits += 1
        return answer

    async def _both(self, name: str, timeout_s: float) -> tuple[str, ...]:
        """Both questions are on their way before the first answer is waited for."""
        bare, until = askable(name), asyncio.get_running_loop().time() + timeout_s
        begun = [((bare, kind), self._begin((bare, kind))) for kind in (Kind.A, Kind.AAAA)]
        found: list[str] = []
        faults: list[WorldFault] = []
        for key, outcome in begun:
            try:
                answer = await self._whole(key, outcome, until)
                found += cast("tuple[str, ...]", answer.records)
            except WorldFault as fault:
                faults.append(fault)
        if faults and not found:
            raise faults[0]
        return tuple(found)

    async def _lookup(self, name: str, kind: Kind, timeout_s: float) -> Answer:
        key = (askable(name), kind)
        return await self._whole(key, self._begin(key), asyncio.get_running_loop().time() + timeout_s)

    async def _whole(self, key: Key, outcome: Outcome | asyncio.Future[Outcome], until: float) -> Answer:
        """Wait, and follow aliases that a server left to us, at most eight links in all (M04)."""
        answer = await self._waited(key, outcome, until)
        if not answer.alias:
            return answer
        links, secure, ttl_s = answer.links, answer.is_secure, answer.ttl_s
        while answer.alias:
            if links > ALIASES_LIMIT:
                raise _unknown(key, "too many aliases")
            further = (_askable_alias(answer.alias, key), key[1])
            answer = await self._waited(further, self._begin(further), until)
            links += answer.links or 1
            secure, ttl_s = secure and answer.is_secure, min(ttl_s, answer.ttl_s)
        return replace(answer, links=links, is_secure=secure, ttl_s=ttl_s)

    async def _waited(self, key: Key, outcome: Outcome | asyncio.Future[Outcome], until: float) -> Answer:
        if isinstance(outcome, asyncio.Future):
            outcome = await self._wait(outcome, until - asyncio.get_running_loop().time())
        if isinstance(outcome, NoAnswer):
            raise _unknown(key, outcome.reason)
        return outcome

    def _begin(self, key: Key) -> Outcome | asyncio.Future[Outcome]:
        """What is known, or a place among those who wait for the same question."""
        now = asyncio.get_running_loop().time()
        answer = self._cache.get(key, now)
        if answer is not None:
            return answer
        failure = self._failures.get(key)
        if failure is not None and failure[0] > now:
            return NoAnswer(failure[1])
        question = self._questions.get(key)
        if question is None:
            if len(self._questions) >= QUESTIONS_LIMIT:
                return NoAnswer("too many questions are waiting")
            if self._silence.is_there:
                self._probe(now)
                return NoAnswer("no server answers; they are asked again every second")
            budget = ASKING_FOR.get()
            if budget is not None:
                if budget.left <= 0:
                    return NoAnswer("the mail has used up its questions (dns.questions-per-mail)")
                if self._waiting_for.get(budget.network, 0) >= NETWORK_QUESTIONS_LIMIT:
                    return NoAnswer("too many questions for mail of the client's network are waiting")
                budget.left -= 1
            question = self._send(key, budget.network if budget is not None else "")
        waiter = asyncio.get_running_loop().create_future()
        question.waiters.append(waiter)
        return waiter

    def _refresh(self, key: Key) -> None:
        """An answer much in use is about to end: ask again, and let it be used meanwhile."""
        if key not in self._questions and len(self._refreshing) < REFRESHES_LIMIT:
            self._refreshing.add(key)
            self._send(key)

    def _probe(self, now: float) -> None:
        """Ask what every server can answer, where nobody has answered for a while."""
        if self._silence.wants_probe(now) and self._probe_key not in self._questions:
            self._send(self._probe_key)

    def _send(self, key: Key, network: str = "") -> Question:
        servers = in_order(self.servers, asyncio.get_running_loop().time(), self._order)
        question = Question(key, servers, self._timeout_s, self._concluded)
        self._questions[key] = question
        if network:
            question.network = network
            self._waiting_for[network] = self._waiting_for.get(network, 0) + 1
        self.asked += 1
        question.begin()
        return question

    async def _wait(self, waiter: asyncio.Future[Outcome], timeout_s: float) -> Outcome:
        if timeout_s > self._timeout_s - _SOON_S:  # the question itself ends as early
            return await waiter
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(timeout_s, 0), _expire, waiter)
        try:
            return await waiter
        finally:
            timer.cancel()

    def _concluded(self, question: Question, outcome: Outcome) -> None:
        now = asyncio.get_running_loop().time()
        del self._questions[question.key]
        if question.network:
            self._waiting_for[question.network] -= 1
            if not self._waiting_for[question.network]:
                del self._waiting_for[question.network]
        if question.heard:
            self._silence.heard(now)
        elif not self._closed:
            self._silence.not_heard(question.begun_at, now, is_probe=question.key == self._probe_key)
            self._probe(now)
        self._refreshing.discard(question.key)
        answer = outcome if isinstance(outcome, Answer) else None
        self._statistics.count(question.key[0], answer, now - question.begun_at)
        if isinstance(outcome, Answer):
            self._cache.put(question.key, outcome, now)
            self._failures.pop(question.key, None)
            return
        if len(self._failures) >= FAILURES_LIMIT:
            self._failures.clear()
        self._failures[question.key] = (now + FAILURE_TTL_S, outcome.reason)


def _is_believed(server: ServerAddress, trust_ad: str) -> bool:
    if trust_ad == "loopback":
        return ip_address(server.host.partition("%")[0]).is_loopback
    return trust_ad == "yes"


def server_address(text: str) -> ServerAddress:
    """ "192.0.2.1", "192.0.2.1:5353", "2001:db8::1" or "[2001:db8::1]:5353". Raises ValueError."""
    host, port = text, "53"
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = (rest.removeprefix(":") or "53") if bracket else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not the address of a name server")
    ip_address(host.partition("%")[0])
    return ServerAddress(host, int(port))


def system_servers(path: Path = RESOLV_CONF) -> list[ServerAddress]:
    """The nameserver lines of resolv.conf; the machine itself when there are none."""
    try:
        text = path.read_text("ascii", "replace")
    except OSError:
        text = ""
    found = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            found.append(ServerAddress(words[1]))
    return found or [ServerAddress("127.0.0.1")]


def reverse_name(address: str) -> str:
    """ "192.0.2.1" -> "1.2.0.192.in-addr.arpa". Raises PeerFault for what is no address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError as error:
        raise PeerFault(_BAD_ADDRESS, "not an IP address", address=address[:100]) from error
    if not isinstance(parsed, IPv4Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return parsed.reverse_pointer


def _askable_alias(alias: str, key: Key) -> str:
    try:
        return askable(alias)
    except PeerFault as fault:
        raise _unknown(key, "an alias leads to a name that cannot be asked") from fault


def _unknown(key: Key, why: str) -> WorldFault:
    name, kind = key
    return WorldFault(f"{kind.name} of {name} is unknown: {why}", _UNKNOWN, name=name, type=kind.name)


def _expire(waiter: asyncio.Future[Outcome]) -> None:
    if not waiter.done():
        waiter.set_result(NoAnswer("no answer in time"))


def _preference(record: Mx) -> int:
    return record.preference
