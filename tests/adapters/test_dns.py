"""The resolver keeps its promises against a name server that lies, stammers, or is not there."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from gatepost.adapters.dns import DnsResolver, reverse_name, server_address, system_servers
from gatepost.adapters.dns_udp import QUESTIONS_PER_SOCKET, SOCKETS_LIMIT, ServerAddress
from gatepost.config.dns_settings import Dns
from gatepost.lab.dns_server import (
    Exchange,
    Fault,
    LabDns,
    Twist,
    drop,
    honest,
    refuse,
    servfail,
    truncate,
    truncated,
)
from gatepost.lab.ports import free_port
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.resolver import Mx

ZONE = """
ours.example MX 20 second.ours.example.
ours.example MX 10 mail.ours.example.
mail.ours.example A 192.0.2.1
mail.ours.example AAAA 2001:db8::1
alias.example CNAME mail.ours.example.
nowhere.example CNAME gone.example.
loop.example CNAME loop2.example.
loop2.example CNAME loop.example.
null.example MX 0 .
text.example TXT "v=spf1 " "-all"
1.2.0.192.in-addr.arpa PTR mail.ours.example.
"""
ZONE += "".join(f"c{n}.chain.example CNAME c{n + 1}.chain.example.\n" for n in range(20))
ZONE += "c20.chain.example A 192.0.2.20\n"
BIG = "".join(f"many.example A 127.0.{n >> 8}.{n & 255}\n" for n in range(1000))
BIG += "".join(f"9.2.0.192.in-addr.arpa PTR n{n}.example.\n" for n in range(1000))
ZONE += "".join(f'big.example TXT "{"x" * 250}"\n' for n in range(40))
BIG += "".join(f'huge.example TXT "{n:03}{"x" * 250}"\n' for n in range(240))


@asynccontextmanager
async def names(
    *, faults: dict[str, Fault] | None = None, timeout: str = "1s", cache: int = 1000, zone: str = ZONE
) -> AsyncIterator[tuple[DnsResolver, LabDns]]:
    server = LabDns(zone, faults)
    await server.start()
    resolver = resolver_of(server.port, timeout=timeout, cache=cache)
    try:
        yield resolver, server
    finally:
        resolver.close()
        await server.stop()


def resolver_of(*ports: int, timeout: str = "1s", cache: int = 1000) -> DnsResolver:
    servers = tuple(f"127.0.0.1:{port}" for port in ports)
    return DnsResolver(Dns.model_validate({"servers": servers, "timeout": timeout, "cache-entries": cache}))


Ask = Callable[[DnsResolver], Coroutine[Any, Any, object]]


@dataclass(frozen=True)
class Case:
    name: str
    ask: Ask
    then: object


CASES = [
    Case(
        "both families, IPv4 first",
        lambda r: r.addresses("mail.ours.example", timeout_s=1),
        ("192.0.2.1", "2001:db8::1"),
    ),
    Case(
        "case and final dot do not matter",
        lambda r: r.addresses("Mail.OURS.example.", timeout_s=1),
        ("192.0.2.1", "2001:db8::1"),
    ),
    Case(
        "an alias is followed",
        lambda r: r.addresses("alias.example", timeout_s=1),
        ("192.0.2.1", "2001:db8::1"),
    ),
    Case("no address", lambda r: r.addresses("text.example", timeout_s=1), ()),
    Case("no name", lambda r: r.addresses("gone.example", timeout_s=1), ()),
    Case(
        "MX by preference",
        lambda r: r.mail_exchangers("ours.example", timeout_s=1),
        (Mx(10, "mail.ours.example"), Mx(20, "second.ours.example")),
    ),
    Case("null MX", lambda r: r.mail_exchangers("null.example", timeout_s=1), (Mx(0, ""),)),
    Case("text is joined", lambda r: r.texts("text.example", timeout_s=1), (b"v=spf1 -all",)),
    Case("reverse", lambda r: r.names("192.0.2.1", timeout_s=1), ("mail.ours.example",)),
    Case("a name that is there exists", lambda r: r.exists("mail.ours.example", timeout_s=1), then=True),
    Case("a name without address exists", lambda r: r.exists("text.example", timeout_s=1), then=True),
    Case("an empty name between exists", lambda r: r.exists("chain.example", timeout_s=1), then=True),
    Case("a name that is not there does not", lambda r: r.exists("gone.example", timeout_s=1), then=False),
    Case("an alias to nowhere does not", lambda r: r.exists("nowhere.example", timeout_s=1), then=False),
    Case("10 KiB of text, by TCP", lambda r: r.texts("big.example", timeout_s=1), (b"x" * 250,)),
]


@pytest.mark.threat("M03")
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_answers(case: Case, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scene() -> tuple[object, object]:
        async with names() as (resolver, _):
            return await case.ask(resolver), await case.ask(resolver)

    with asyncio.Runner(loop_factory=loop) as runner:
        first, again = runner.run(scene())
    # Then the answer is right, and the cache says the same
    assert first == case.then
    assert again == case.then


def garbled(exchange: Exchange) -> Sequence[bytes]:
    """Other ids, other questions, broken records, then the truth."""
    truth = exchange.answer
    wrong_id = bytes([truth[0] ^ 1]) + truth[1:]
    wrong_question = truth[:12] + b"\x05other" + truth[13:]
    cut = truth[: len(exchange.question) + 14]
    return (b"", b"x", wrong_id, wrong_question, cut, exchange.query, bytes(1200), truth)


def lower_case(exchange: Exchange) -> Sequence[bytes]:
    """A server that loses the case of the question; by TCP it keeps it."""
    if exchange.by_tcp:
        return (exchange.answer,)
    question = exchange.question
    return (exchange.answer.replace(question, question[:-4].lower() + question[-4:]),)


def no_edns(exchange: Exchange) -> Sequence[bytes]:
    """A server of old times: FORMERR to EDNS."""
    return (exchange.with_rcode(1) if exchange.query[11] else exchange.answer,)


def only_ipv4(exchange: Exchange) -> Sequence[bytes]:
    """SERVFAIL for AAAA, as some load balancers do."""
    return servfail(exchange) if exchange.question[-4:-2] == b"\x00\x1c" else (exchange.answer,)


ODD: dict[str, tuple[Twist, float]] = {
    "garbage before the answer": (garbled, 0),
    "the case of the question is lost": (lower_case, 0),
    "truncated, then by TCP": (truncate, 0),
    "FORMERR to EDNS": (no_edns, 0),
    "SERVFAIL for the other family": (only_ipv4, 0),
    "late, after our second try": (honest, 0.45),
}


@pytest.mark.threat("M06", "M13")
@pytest.mark.parametrize("case", ODD)
def test_an_odd_server_still_answers(case: str) -> None:
    twist, delay_s = ODD[case]

    async def scene() -> tuple[str, ...]:
        async with names(faults={"": Fault(twist, delay_s)}) as (resolver, _):
            return await resolver.addresses("mail.ours.example", timeout_s=1)

    assert asyncio.run(scene())[0] == "192.0.2.1"


def hostile(exchange: Exchange) -> Sequence[bytes]:
    """Everything but the answer."""
    return garbled(exchange)[:-1]


def tcp_refused(exchange: Exchange) -> Sequence[bytes]:
    """TC by UDP; by TCP the connection ends without an answer."""
    return () if exchange.by_tcp else (truncated(exchange),)


DEAF: dict[str, tuple[Twist, float]] = {
    "silence": (drop, 0),
    "SERVFAIL": (servfail, 0),
    "REFUSED": (refuse, 0),
    "NOTIMP": (lambda exchange: (exchange.with_rcode(4),), 0),
    "FORMERR": (lambda exchange: (exchange.with_rcode(1),), 0),
    "garbage only": (hostile, 0),
    "truncated, and TCP refused": (tcp_refused, 0),
    "truncated by TCP, too": (lambda exchange: (truncated(exchange),), 0),
    "too late": (honest, 5),
}
QUESTIONS: dict[str, Ask] = {
    "addresses": lambda r: r.addresses("mail.ours.example", timeout_s=2),
    "mail exchangers": lambda r: r.mail_exchangers("ours.example", timeout_s=2),
    "texts": lambda r: r.texts("text.example", timeout_s=2),
    "names": lambda r: r.names("192.0.2.1", timeout_s=2),
    "exists": lambda r: r.exists("gone.example", timeout_s=2),
}


@pytest.mark.threat("M01", "M02", "M05", "M06", "P08")
@pytest.mark.parametrize("case", DEAF)
def test_no_answer_is_unknown_and_not_none(case: str) -> None:
    twist, delay_s = DEAF[case]

    async def scene() -> float:
        began = time.monotonic()
        async with names(faults={"": Fault(twist, delay_s)}, timeout="300ms") as (resolver, _):
            results = await asyncio.gather(
                *[ask(resolver) for ask in QUESTIONS.values()], return_exceptions=True
            )
            assert resolver.cached == 0
            assert resolver.waiting == 0
        assert [type(result) for result in results] == [WorldFault] * len(QUESTIONS)
        assert {str(r.reply) for r in results if isinstance(r, WorldFault)} == {
            "451 4.4.3 A name could not be looked up, try again later"
        }
        return time.monotonic() - began

    assert asyncio.run(scene()) < 10


@pytest.mark.threat("M01")
def test_a_dead_server_is_known_at_once() -> None:
    async def scene() -> float:
        resolver = resolver_of(free_port(), timeout="60s")
        began = time.monotonic()
        with pytest.raises(WorldFault, match="nobody listens"):
            await resolver.exists("ours.example", timeout_s=60)
        resolver.close()
        return time.monotonic() - began

    assert asyncio.run(scene()) < 30


@pytest.mark.threat("M01")
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_server_that_was_gone_is_heard_when_it_is_back(loop: Any) -> None:
    """libuv stops to watch a socket that had an error: each socket would be deaf from then on."""

    async def scene() -> None:
        server = LabDns(ZONE)
        await server.start()
        port, resolver = server.port, resolver_of(server.port, timeout="5s")
        await server.stop()
        await asyncio.sleep(0.01)  # its socket is closed in the next turn of the loop
        for number in range(2 * SOCKETS_LIMIT):
            with pytest.raises(WorldFault, match="nobody listens"):
                await resolver.exists(f"gone{number}.example", timeout_s=5)
        await server.start(port=port)
        for number in range(6 * SOCKETS_LIMIT):
            assert not await resolver.exists(f"back{number}.example", timeout_s=5)
        assert len(server.asked) == 6 * SOCKETS_LIMIT, "some had to be asked again"
        resolver.close()
        await server.stop()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(scene())


@pytest.mark.threat("M01")
@pytest.mark.parametrize("twist", [drop, servfail, refuse, hostile], ids=lambda t: t.__name__)
def test_the_next_server_is_asked_when_one_fails(twist: Twist) -> None:
    async def scene() -> tuple[int, int]:
        bad, good = LabDns("", {"": Fault(twist)}), LabDns(ZONE)
        await bad.start()
        await good.start()
        resolver = resolver_of(free_port(), bad.port, good.port, timeout="600ms")
        for name in ("mail.ours.example", "ours.example", "text.example"):
            assert await resolver.exists(name, timeout_s=1)
        resolver.close()
        await bad.stop()
        await good.stop()
        return len(bad.asked), len(good.asked)

    asked_bad, asked_good = asyncio.run(scene())
    assert asked_good == 3
    assert asked_bad >= 1
    if twist in (drop, hostile):
        assert asked_bad == 1, "a silent server is asked last for a while"


@pytest.mark.threat("M04")
@pytest.mark.parametrize("name", ["loop.example", "c0.chain.example"])
def test_aliases_have_an_end(name: str) -> None:
    async def scene() -> None:
        async with names(timeout="300ms") as (resolver, _):
            with pytest.raises(WorldFault):
                await resolver.addresses(name, timeout_s=1)

    asyncio.run(scene())


def one_link_at_a_time(exchange: Exchange) -> Sequence[bytes]:
    """An authoritative server that leaves aliases to the asker: the first record only, and no SOA."""
    name_end = exchange.answer.index(b"\x00", 12) + 5
    at = name_end + 10
    size = int.from_bytes(exchange.answer[at : at + 2], "big")
    head = exchange.answer[:6] + b"\x00\x01\x00\x00\x00\x00"
    return (head + exchange.answer[12 : at + 2 + size],)


@pytest.mark.threat("M04")
def test_aliases_that_the_server_leaves_to_us() -> None:
    async def scene() -> tuple[object, int]:
        async with names(faults={"chain.example": Fault(one_link_at_a_time)}) as (resolver, server):
            # Eight links are followed, a ninth is not
            answer = await resolver.texts("c12.chain.example", timeout_s=1)
            with pytest.raises(WorldFault, match="too many aliases"):
                await resolver.texts("c11.chain.example", timeout_s=1)
            return answer, len(server.asked)

    answer, _ = asyncio.run(scene())
    assert answer == ()


@pytest.mark.threat("M05")
def test_64_kib_of_text_are_refused() -> None:
    async def scene() -> None:
        async with names(zone=BIG) as (resolver, server):
            with pytest.raises(WorldFault, match="16 KiB"):
                await resolver.texts("huge.example", timeout_s=1)
            assert ("tcp" in {how for _, _, how in server.asked}) is True

    asyncio.run(scene())


@pytest.mark.threat("M07", "M08")
def test_a_thousand_records_are_read_and_ten_names_given() -> None:
    async def scene() -> tuple[int, tuple[str, ...]]:
        async with names(zone=BIG) as (resolver, _):
            many = await resolver.addresses("many.example", timeout_s=1)
            return len(many), await resolver.names("192.0.2.9", timeout_s=1)

    many, reverse = asyncio.run(scene())
    assert many == 1000
    assert len(reverse) == 10


@pytest.mark.threat("M12")
@pytest.mark.parametrize("name", ["", ".", "a b", "a\x00b.example", "x" * 300, "bücher.example", "a..b"])
def test_bad_names_are_never_asked(name: str) -> None:
    async def scene() -> int:
        async with names() as (resolver, server):
            for ask in (resolver.addresses, resolver.mail_exchangers, resolver.texts, resolver.exists):
                with pytest.raises(PeerFault):
                    await ask(name, timeout_s=1)
            with pytest.raises(PeerFault):
                await resolver.names(name, timeout_s=1)
            return len(server.asked)

    assert asyncio.run(scene()) == 0


@pytest.mark.threat("M13")
def test_ids_ports_and_letters_are_chance() -> None:
    seen: list[tuple[bytes, bytes]] = []

    def look(exchange: Exchange) -> Sequence[bytes]:
        seen.append((exchange.query[:2], exchange.question))
        return (exchange.answer,)

    async def scene() -> int:
        async with names(faults={"": Fault(look)}, cache=0) as (resolver, _):
            for _ in range(64):
                await resolver.exists("mail.ours.example", timeout_s=1)
            ports = [port for server in resolver.servers for port in server._ports]
            return len(ports)

    assert asyncio.run(scene()) == SOCKETS_LIMIT
    assert len({query_id for query_id, _ in seen}) > 60
    assert len({question for _, question in seen}) > 60


@pytest.mark.threat("M13")
def test_a_source_port_is_given_up_after_a_while() -> None:
    async def scene() -> tuple[set[int], set[int]]:
        async with names(cache=0) as (resolver, _):
            server = resolver.servers[0]
            await resolver.exists("mail.ours.example", timeout_s=1)
            before = {port._socket.getsockname()[1] for port in server._ports}
            for port in server._ports:
                port.asked = QUESTIONS_PER_SOCKET
            for _ in range(40):
                await resolver.exists("mail.ours.example", timeout_s=1)
            after = {port._socket.getsockname()[1] for port in server._ports}
            assert not server._retired, "an idle socket is closed at once"
            return before, after

    before, after = asyncio.run(scene())
    assert not before & after


@pytest.mark.threat("M13")
def test_an_answer_from_another_address_is_not_heard() -> None:
    async def scene() -> None:
        async with names(faults={"": Fault(drop)}, timeout="400ms") as (resolver, _):
            asking = asyncio.ensure_future(resolver.exists("gone.example", timeout_s=1))
            await asyncio.sleep(0.05)
            # When a stranger sends a perfect answer to every port of ours
            port = next(port for port in resolver.servers[0]._ports if port._waiting)
            (query_id, question) = next(iter(port._waiting.items()))
            answer = query_id.to_bytes(2, "big") + b"\x81\x83\x00\x01" + bytes(6) + question._asked  # type: ignore[attr-defined]  # the question itself
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(answer, port._socket.getsockname())
            # Then nobody believes it
            with pytest.raises(WorldFault):
                await asking

    asyncio.run(scene())


@pytest.mark.threat("M15")
def test_search_domains_are_not_read(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "search corp.example\ndomain corp.example\nnameserver 192.0.2.53\nnameserver 2001:db8::53\nnonsense\n"
    )
    assert system_servers(file) == [ServerAddress("192.0.2.53"), ServerAddress("2001:db8::53")]
    assert system_servers(tmp_path / "none") == [ServerAddress("127.0.0.1")]

    async def scene() -> list[str]:
        async with names() as (resolver, server):
            assert not await resolver.exists("mail", timeout_s=1)
            return [name.lower() for name, _, _ in server.asked]

    assert asyncio.run(scene()) == ["mail"]


@pytest.mark.parametrize(
    ("text", "then"),
    [
        ("127.0.0.1", ServerAddress("127.0.0.1", 53)),
        ("127.0.0.1:5353", ServerAddress("127.0.0.1", 5353)),
        ("2001:db8::1", ServerAddress("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ServerAddress("2001:db8::1", 5353)),
        ("[2001:db8::1]", ServerAddress("2001:db8::1", 53)),
    ],
)
def test_addresses_of_servers(text: str, then: ServerAddress) -> None:
    assert server_address(text) == then
    assert server_address(str(then)) == then


@pytest.mark.parametrize("text", ["", "ns.example", "127.0.0.1:0", "127.0.0.1:x", "127.0.0.1:65536", "[::1"])
def test_what_is_no_address_of_a_server(text: str) -> None:
    with pytest.raises(ValueError):
        server_address(text)


def test_reverse_names() -> None:
    assert reverse_name("192.0.2.1") == "1.2.0.192.in-addr.arpa"
    assert reverse_name("::ffff:192.0.2.1") == "1.2.0.192.in-addr.arpa"
    assert reverse_name("2001:db8::1").endswith(".8.b.d.0.1.0.0.2.ip6.arpa")


def test_closing_tells_everybody_who_waits() -> None:
    async def scene() -> None:
        async with names(faults={"": Fault(drop)}, timeout="5s") as (resolver, _):
            asking = asyncio.ensure_future(resolver.exists("gone.example", timeout_s=5))
            await asyncio.sleep(0.02)
            resolver.close()
            with pytest.raises(WorldFault, match="closed"):
                await asking

    asyncio.run(scene())
