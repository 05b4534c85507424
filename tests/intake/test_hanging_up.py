"""Who hangs up on whom: after the reply to a client an agent wants gone, and inside of content."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.intake.clients import MAIL, Client, in_house
from tests.intake.house import House, open_house
from tests.intake.jump import JumpLoop, in_house_that_jumps
from tests.intake.test_limits import told

from gatepost.adapters.tls import ServerTls, self_signed
from gatepost.agents.sender_filter import SenderFilter
from gatepost.config.schema import frozen

LISTED: dict[str, Any] = {"blocked-senders": ["eve@bad.example"], "hang-up": True}


def test_after_the_refusal_of_an_address_in_from_the_connection_is_closed() -> None:
    async def scene() -> None:
        table = SenderFilter.settings_type.model_validate(frozen(LISTED))
        async with open_house(agents={"sender-filter": table}) as house:
            client = await Client.to(house)
            await client.reply()
            await client.ask(b"EHLO peer.example")
            await client.ask(b"MAIL FROM:<x@there.example>")
            await client.ask(b"RCPT TO:<bob@ours.example>")
            await client.ask(b"DATA")
            assert (await client.ask(b"From: eve@bad.example\r\n\r\nx\r\n.")).startswith("554 5.1.0")
            assert await client.ask(b"NOOP") == ""
            await client.close()

    asyncio.run(scene())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ServerTls:
    place = tmp_path_factory.mktemp("tls")
    return ServerTls(str(self_signed(place, "mx.ours.example", now=1_800_000_000.0)))


MUCH = (b"z" * 76 + b"\r\n") * 50_000
"""More than sockets hold: a client is still sending it when it is refused."""
CUT = [
    ("a bare LF in DATA", b"DATA\r\n", b"Subject: x\r\n\r\na\nb\r\n" + MUCH, "521 5.5.2"),
    ("DATA of more than twice the limit", b"DATA\r\n", b"Subject: x\r\n\r\n" + MUCH, "552 5.3.4"),
    ("BDAT of more than twice the limit", b"", b"BDAT 3900000 LAST\r\n" + MUCH[:3_900_000], "552 5.3.4"),
]


@pytest.mark.threat("A14")
@pytest.mark.parametrize("under_tls", [False, True], ids=["in the clear", "under TLS"])
@pytest.mark.parametrize(("begin", "content", "reply"), [c[1:] for c in CUT], ids=[c[0] for c in CUT])
def test_who_is_still_sending_reads_why_it_was_refused(
    begin: bytes, content: bytes, reply: str, under_tls: bool, tls: ServerTls
) -> None:
    async def scenario(house: House) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        if under_tls:
            await client.start_tls()
            await client.ask(b"EHLO client.example")
        client.writer.write(MAIL + begin)
        for _ in range(3 if begin else 2):
            await client.reply()
        client.writer.write(content)
        await client.writer.drain()
        assert (await client.reply()).startswith(reply)
        assert await client.is_closed()
        await client.close()
        assert house.accepted == []
        assert [fields for name, fields in house.lines.written if name == "tls-failed"] == []

    in_house(scenario, {"tls": "optional", "limits": {"message-size": "64KiB"}}, tls)


@pytest.mark.parametrize("stopped", [False, True], ids=["when its time is over", "when we stop"])
def test_who_goes_on_after_it_was_refused_is_cut_off(stopped: bool) -> None:
    async def scenario(house: House, loop: JumpLoop) -> None:
        client = await Client.to(house)
        await client.reply()
        await client.ask(b"EHLO client.example")
        client.writer.write(MAIL + b"DATA\r\n")
        for _ in range(3):
            await client.reply()
        assert (await client.ask(b"a\nb")).startswith("521")
        assert await client.is_closed()
        assert house.listener.session_count == 1
        if stopped:
            for connection in list(house.listener._sessions):
                connection.stop()
        else:
            client.writer.write(b"more\r\n.\r\nNOOP\r\n")
            await loop.jump(6)
        async with asyncio.timeout(10):
            while house.listener.session_count:
                await asyncio.sleep(0)
        assert told(house, "session-closed") == []
        await client.close()

    in_house_that_jumps(scenario, {})
