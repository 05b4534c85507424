"""A client that says what a test wants and reads the replies; a house with the door it talks to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
from typing import Any

from tests.intake.house import House, open_house, settings_with

from gatepost.adapters.tls import ServerTls

PLAIN = base64.b64encode(b"\0ann\0secret")
WRONG = base64.b64encode(b"\0ann\0wrong")
MAIL = b"MAIL FROM:<ann@client.example>\r\nRCPT TO:<bob@ours.example>\r\n"


def trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Client:
    """A client that reads whole replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, house: House, **how: Any) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", house.port, **how))

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await asyncio.wait_for(self.reader.readline(), 10)).decode()
            lines.append(line)
            if line[3:4] != "-":
                return "".join(lines)

    async def ask(self, line: bytes) -> str:
        self.writer.write(line + b"\r\n")
        return await self.reply()

    async def start_tls(self) -> None:
        assert (await self.ask(b"STARTTLS")).startswith("220")
        await self.writer.start_tls(trusting(), server_hostname="mx.ours.example")

    async def is_closed(self) -> bool:
        return await asyncio.wait_for(self.reader.read(), 10) == b""

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self.writer.wait_closed()


def in_house(scenario: Any, settings: dict[str, Any], tls: ServerTls | None = None, **tables: Any) -> None:
    async def run() -> None:
        async with open_house(settings_with(settings, **tables), tls=tls) as house:
            await scenario(house)

    asyncio.run(run())


async def encrypted(house: House) -> Client:
    client = await Client.to(house)
    await client.reply()
    await client.ask(b"EHLO client.example")
    await client.start_tls()
    assert "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" in await client.ask(b"EHLO client.example")
    return client
