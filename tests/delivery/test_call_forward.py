"""A next hop that is asked for recipients and answers oddly, late or not at all: then nobody knows."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Self

import pytest
from tests.adapters.test_recipient_file import Gauges, HeardLog

from gatepost.adapters.dialer import LoopDialer
from gatepost.adapters.tls import client_pump
from gatepost.adapters.world import SystemRandomness
from gatepost.config.directory_settings import Directory
from gatepost.config.schema import frozen
from gatepost.delivery.call_forward import CallForward, Surroundings
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault

ANN = Address("ann", "ours.example")
GREETING = b"220 hop.example ESMTP\r\n"


class Hop:
    """Answers by the first word of each command; b"" hangs up. Recipients: ann exists, nobody else."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = {"greeting": GREETING, "ehlo": b"250 hop.example\r\n", **answers}
        self.connections = 0
        self.questions: list[str] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        try:
            with contextlib.suppress(ConnectionError):
                await self._talk(reader, writer)
        finally:
            self._talks.discard(talk)
            writer.transport.abort() if talk.cancelling() else writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(self.answers["greeting"])
        while line := await reader.readline():
            word = line[:4].decode().lower().strip()
            if word == "rcpt":
                self.questions.append(line.decode().strip())
            known = b"250 ok\r\n" if b"<ann@" in line or word != "rcpt" else b"550 5.1.1 unknown\r\n"
            answer = self.answers.get(word, known)
            if not answer or word == "quit":
                break
            writer.write(answer)


def caller(
    hop: Hop, log: HeardLog, *, now: Any = lambda: 0.0, timeout: str = "60s", **wishes: Any
) -> CallForward:
    settings = {
        "type": "smtp",
        "timeout": timeout,
        "call-forward": {"host": f"[127.0.0.1]:{hop.port}", **wishes},
    }
    around = Surroundings(
        dialer=LoopDialer(client_pump),
        resolver=None,  # type: ignore[arg-type]  # nobody is named by a name here
        randomness=SystemRandomness(),
        monotonic=now,
        hostname="mx.ours.example",
        log=log,
        counters=Gauges(),
    )
    return CallForward("hop", Directory.model_validate(frozen(settings)), around)


ODD: list[tuple[str, dict[str, bytes]]] = [
    ("says nothing", {"greeting": b""}),
    ("does not want us", {"greeting": b"554 no\r\n"}),
    ("speaks another protocol", {"greeting": b"SSH-2.0-x\r\n"}),
    ("sends a line without end", {"greeting": b"220 " + b"x" * 100_000}),
    ("sends a reply without end", {"greeting": b"220-x\r\n" * 1000}),
    ("refuses the bounce", {"mail": b"550 5.7.1 no bounces\r\n"}),
    ("answers before it is asked", {"mail": b"250 ok\r\n250 ok\r\n250 ok\r\n"}),
    ("answers with codes nobody knows", {"rcpt": b"999 what\r\n"}),
    ("mixes codes in one reply", {"rcpt": b"250-ok\r\n550 no\r\n"}),
    ("wants to be asked later", {"rcpt": b"450 4.2.0 greylisted\r\n"}),
    ("says it is closing", {"rcpt": b"421 4.3.2 closing\r\n"}),
    ("hangs up", {"rcpt": b""}),
    ("asks for data", {"rcpt": b"354 go on\r\n"}),
]


@pytest.mark.threat("N01", "N03", "N04", "F29", "F31")
@pytest.mark.parametrize(("name", "answers"), ODD, ids=[row[0] for row in ODD])
def test_an_odd_next_hop_says_nothing_of_recipients(name: str, answers: dict[str, bytes]) -> None:
    async def converse() -> None:
        async with Hop(**answers) as hop:
            asked = caller(hop, HeardLog(), timeout="300ms")
            with pytest.raises(WorldFault):
                await asked.ask(ANN)
            asked.close()
            await asyncio.sleep(0)

    asyncio.run(converse())


@pytest.mark.threat("F30")
def test_answers_are_remembered_and_questions_have_a_limit() -> None:
    async def converse() -> None:
        now = 0.0
        limits: dict[str, Any] = {
            "negative-ttl": "100s",
            "positive-ttl": "1000s",
            "questions-per-minute": 4,
        }
        async with Hop() as hop:
            asked = caller(
                hop,
                HeardLog(),
                now=lambda: now,
                **limits,
            )
            # Ten ask at once for the same, and one question is put; the one before it asks for nobody
            found = await asyncio.gather(*(asked.ask(ANN) for _ in range(10)))
            assert all(one.listed for one in found)
            assert len(hop.questions) == 2
            assert not (await asked.ask(Address("carl", "ours.example"))).listed
            assert not (await asked.ask(Address("CARL", "ours.example"))).listed
            assert (len(hop.questions), hop.connections) == (3, 1)
            assert not (await asked.ask(Address("dora", "ours.example"))).listed
            with pytest.raises(WorldFault, match="questions-per-minute"):
                await asked.ask(Address("eve", "ours.example"))
            assert (await asked.ask(ANN)).listed
            now = 101.0
            assert not (await asked.ask(Address("carl", "ours.example"))).listed
            assert len(hop.questions) == 5
            asked.close()
            await asyncio.sleep(0.01)

    asyncio.run(converse())


def test_who_goes_away_does_not_take_the_answer_along() -> None:
    async def converse() -> None:
        async with Hop() as hop:
            asked = caller(hop, HeardLog())
            first = asyncio.get_running_loop().create_task(asked.ask(ANN))
            await asyncio.sleep(0)
            second = asyncio.get_running_loop().create_task(asked.ask(ANN))
            await asyncio.sleep(0)
            first.cancel()
            assert (await second).listed
            asked.close()
            await asyncio.sleep(0.01)

    asyncio.run(converse())
