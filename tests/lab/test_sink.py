"""The lab's mailbox server and its raw client: they keep, and show, exactly what was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from gatepost.lab.senders import RawClient, dotted, message
from gatepost.lab.sink import Behaviour, Sink


@asynccontextmanager
async def sink_and_client(behaviour: Behaviour | None = None) -> AsyncIterator[tuple[Sink, RawClient]]:
    sink = Sink(behaviour)
    await sink.start()
    client = await RawClient.connect("127.0.0.1", sink.port)
    try:
        yield sink, client
    finally:
        client.close()
        await sink.stop()


CONTENTS = {
    "a usual mail": message("x", sender="a@b.example", recipient="c@d.example"),
    "nothing": b"",
    "lines of dots": b".\r\n..\r\n.\r\n",
    "a dot behind the header": b"S: x\r\n\r\n.\r\n",
    "ends in a dot": b"S: x\r\n\r\nthe end.\r\n",
    "a large one": b"S: x\r\n\r\n" + b"0123456789abcdef" * 64 * 4096 + b"\r\n",
    "8 bit": "S: x\r\n\r\nGrüße\r\n".encode(),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_content_is_kept_octet_for_octet(case: str) -> None:
    async def scene() -> bytes:
        async with sink_and_client() as (sink, client):
            await client.hello()
            replies = await client.mail("a@b.example", ["c@d.example"], CONTENTS[case])
            assert [reply.code for reply in replies] == [250, 250, 250]
            return (await sink.wait_for(1))[0].content

    kept = asyncio.run(scene())
    assert kept == (CONTENTS[case] or b"\r\n")


def test_envelope_and_parameters_are_kept() -> None:
    async def scene() -> None:
        async with sink_and_client() as (sink, client):
            await client.hello("me.example")
            await client.mail("", ["jürgen@d.example"], b"S: x\r\n", parameters="SMTPUTF8 SIZE=10")
            (mail,) = sink.mails
            assert (mail.sender, mail.recipients) == ("", ("jürgen@d.example",))
            assert (mail.mail_parameters, mail.helo, mail.tls) == ("SMTPUTF8 SIZE=10", "me.example", False)

    asyncio.run(scene())


def test_scripted_answers() -> None:
    async def scene() -> list[int]:
        behaviour = Behaviour(
            recipients={"bob@d.example": "550 5.1.1 Nobody"}, replies={".": "451 4.3.0 Later"}
        )
        async with sink_and_client(behaviour) as (sink, client):
            await client.hello()
            replies = await client.mail("a@b.example", ["ann@d.example", "bob@d.example"], b"S: x\r\n")
            assert sink.mails == []
            nested = [
                await client.say("MAIL FROM:<a@b.example>"),
                await client.say("MAIL FROM:<a@b.example>"),
            ]
            return [reply.code for reply in [*replies, *nested]]

    assert asyncio.run(scene()) == [250, 250, 550, 451, 250, 503]


def test_lmtp_answers_for_each_recipient() -> None:
    async def scene() -> list[int]:
        behaviour = Behaviour(lmtp=True, after_data={"bob@d.example": "552 5.2.2 Full"})
        async with sink_and_client(behaviour) as (sink, client):
            await client.say("LHLO x")
            replies = await client.mail("a@b.example", ["ann@d.example", "bob@d.example"], b"S: x\r\n")
            replies.append(await client.read())
            assert len(sink.mails) == 1
            return [reply.code for reply in replies]

    assert asyncio.run(scene()) == [250, 250, 250, 250, 552]


@pytest.mark.parametrize(
    "behaviour", [Behaviour(cut_after_bytes=60), Behaviour(replies={"DATA": "421 4.3.2 Bye"})]
)
def test_cutting_off(behaviour: Behaviour) -> None:
    async def scene() -> int:
        async with sink_and_client(behaviour) as (_, client):
            await client.hello()
            replies = await client.mail("a@b.example", ["ann@d.example"], b"S: x\r\n")
            return (await client.read()).code if replies[-1].code else 0

    assert asyncio.run(scene()) == 0


def test_hanging() -> None:
    async def scene() -> None:
        async with sink_and_client(Behaviour(hangs_at="MAIL")) as (_, client):
            await client.hello()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.say("MAIL FROM:<a@b.example>")

    asyncio.run(scene())


def test_bdat_and_tls() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def scene() -> None:
        async with sink_and_client(Behaviour(tls=context)) as (sink, client):
            await client.hello()
            assert (await client.start_tls()).code == 250
            await client.envelope("a@b.example", ["c@d.example"])
            client.push(b"BDAT 4\r\n.\r\n.")
            assert (await client.read()).code == 250
            client.push(b"BDAT 2 LAST\r\n\r\n")
            assert (await client.read()).code == 250
            (mail,) = sink.mails
            assert (mail.content, mail.by_bdat, mail.tls) == (b".\r\n.\r\n", True, True)

    asyncio.run(scene())


def test_headers_are_unfolded() -> None:
    async def scene() -> str:
        async with sink_and_client() as (sink, client):
            await client.hello()
            await client.mail(
                "a@b.example", ["c@d.example"], b"X: y\r\nReceived: from a\r\n\tby b\r\n\r\nReceived: no\r\n"
            )
            return sink.mails[0].header("received")

    assert asyncio.run(scene()) == "from a\tby b"


def test_dots() -> None:
    assert dotted(b".a\r\n..\r\nb") == b"..a\r\n...\r\nb\r\n.\r\n"
