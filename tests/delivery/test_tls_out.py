"""TLS towards next hops: when it is used, when its failure is forgiven, and when the mail waits instead."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import Any

import pytest
import trustme
from tests.delivery.fakes import mail_to, parcel_of, to_port, yard
from tests.delivery.scripted import scripted

from gatepost.delivery.authentication import Credentials
from gatepost.delivery.courier import NoHost
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.lab.sink import Behaviour, Sink

SHORT: dict[str, Any] = {"command-timeout": "1s", "data-timeout": "1s", "connect-timeout": "1s"}
OPEN_TLS = "> 220 x\n<\n> 250-x\n> 250 STARTTLS\n<\n> 220 go\n"
OPEN = "> 220 x\n<\n> 250-x\n> 250 STARTTLS\n"
TAKES = "<\n> 250 ok\n<\n> 250 ok\n<\n> 354 go\n<.\n> 250 2.0.0 taken\n"


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(made)
    return made


async def deliver(settings: Any, **more: Any) -> Attempt:
    made = yard(settings, monotonic=time.monotonic, **more)
    mail = mail_to("b@b.example")
    done, line = await made.attempts.make(parcel_of(mail), made.router.by_key("out:smart"), None)
    if line is not None:
        line.connection.close()
    return done


@pytest.mark.parametrize("tls", ["opportunistic", "required"])
def test_tls_is_used_where_it_is_offered(tls: str) -> None:
    async def run() -> tuple[Attempt, Sink]:
        sink = Sink(Behaviour(tls=context()))
        await sink.start()
        done = await deliver(to_port(sink.port, tls=tls))
        await sink.stop()
        return done, sink

    done, sink = asyncio.run(run())
    assert done.outcomes[0].fate is Fate.DELIVERED
    assert done.tls.startswith("TLSv1.")
    assert sink.mails[0].tls


@pytest.mark.threat("D22")
@pytest.mark.parametrize("tls", ["required", "verified"])
def test_a_next_hop_without_tls_waits_when_tls_is_demanded(tls: str) -> None:
    async def run() -> int:
        sink = Sink()
        await sink.start()
        with pytest.raises(NoHost, match="STARTTLS"):
            await deliver(to_port(sink.port, tls=tls))
        await sink.stop()
        return len(sink.mails)

    assert asyncio.run(run()) == 0


@pytest.mark.threat("D22")
def test_a_certificate_nobody_vouches_for_does_when_any_will_and_not_when_verified() -> None:
    async def run() -> int:
        sink = Sink(Behaviour(tls=context()))
        await sink.start()
        with pytest.raises(NoHost, match="TLS"):
            await deliver(to_port(sink.port, tls="verified"))
        await sink.stop()
        return len(sink.mails)

    assert asyncio.run(run()) == 0


@pytest.mark.threat("D23")
def test_a_failed_handshake_is_followed_by_a_fresh_connection_in_the_clear() -> None:
    async def run() -> tuple[Attempt, int, list[bytes]]:
        async with scripted(OPEN_TLS + "<?\nraw this is no handshake\n~\n", OPEN + TAKES) as server:
            done = await deliver(to_port(server.port, tls="opportunistic", **SHORT))
            return done, server.connections, server.heard

    done, connections, heard = asyncio.run(run())
    assert done.outcomes[0].fate is Fate.DELIVERED
    assert done.tls == ""
    assert connections == 2
    # The broken conversation ended with STARTTLS
    assert [line[:8] for line in heard[:3]] == [b"EHLO gat", b"STARTTLS", b"EHLO gat"]


@pytest.mark.threat("D23")
@pytest.mark.parametrize("tls", ["required", "verified"])
def test_a_failed_handshake_is_not_forgiven_when_tls_is_demanded(tls: str) -> None:
    async def run() -> int:
        async with scripted(OPEN_TLS + "<?\nraw this is no handshake\n~\n") as server:
            with pytest.raises(NoHost):
                await deliver(to_port(server.port, tls=tls, **SHORT))
            return server.connections

    assert asyncio.run(run()) == 1


@pytest.mark.threat("D04")
@pytest.mark.parametrize("extra", ["250-x\\r\\n250 AUTH PLAIN\\r\\n", "250 ok\\r\\n"])
def test_replies_injected_before_the_handshake_are_never_read_as_the_peers(extra: str) -> None:
    injected = "> 220 x\n<\n> 250-x\n> 250 STARTTLS\n<\nraw 220 go\\r\\n" + extra + "\n~\n"

    async def run() -> tuple[int, list[bytes]]:
        async with scripted(injected) as server:
            credentials = {"out": Credentials(user="ann", password="secret")}
            with pytest.raises(NoHost):
                await deliver(to_port(server.port, tls="required", **SHORT), credentials=credentials)
            return server.connections, server.heard

    connections, heard = asyncio.run(run())
    assert connections == 1
    assert heard[-1] == b"STARTTLS\r\n"


def test_a_refused_starttls_is_no_reason_to_wait_when_opportunistic() -> None:
    async def run() -> Attempt:
        async with scripted(OPEN + "<\n> 454 not now\n" + TAKES) as server:
            return await deliver(to_port(server.port, tls="opportunistic"))

    assert asyncio.run(run()).outcomes[0].fate is Fate.DELIVERED


@pytest.mark.threat("D23")
@pytest.mark.parametrize(
    ("refusal", "fate", "reply"),
    [
        (
            "530 5.7.0 Must issue a STARTTLS command first",
            Fate.DEFERRED,
            "450 4.7.5 TLS with 127.0.0.1 failed",
        ),
        ("550 5.7.10 TLS is required here", Fate.DEFERRED, "450 4.7.5 TLS with 127.0.0.1 failed"),
        ("550 5.7.1 You are blocked", Fate.FAILED, "550 5.7.1 You are blocked"),
    ],
)
def test_a_host_that_wants_tls_bounces_nothing_because_a_handshake_failed(
    refusal: str, fate: Fate, reply: str
) -> None:
    """We went on in the clear because TLS broke: what the host says of that is no word about the mail."""

    async def run() -> Attempt:
        async with scripted(OPEN_TLS, f"{OPEN}<\n> {refusal}\n<\n") as server:
            return await deliver(to_port(server.port, tls="opportunistic", **SHORT))

    (outcome,) = asyncio.run(run()).outcomes
    assert outcome.fate is fate
    assert outcome.reply.startswith(reply)
    assert refusal in outcome.reply


def test_without_a_failure_of_tls_the_same_refusal_counts() -> None:
    async def run() -> Attempt:
        async with scripted(
            "> 220 x\n<\n> 250 x\n<\n> 530 5.7.0 Must issue a STARTTLS command first\n<\n"
        ) as server:
            return await deliver(to_port(server.port, tls="opportunistic", **SHORT))

    assert asyncio.run(run()).outcomes[0].fate is Fate.FAILED
