"""A token issuer on loopback: a real HTTPS server with a certificate of its own authority."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs

import trustme


class IssuerServer:
    """Knows tokens by heart: `tokens` says what it tells of each. Change `answer` to have it say anything else."""

    def __init__(self, directory: Path, *names: str) -> None:
        """The authority's certificate is written to `ca_file` in the directory. names: further ones of the server."""
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.ca_file = directory / "authority.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "issuer.example", *names).configure_cert(self._context)
        self.tokens: dict[str, dict[str, object]] = {}
        self.keys = b""
        """What it publishes as its keys."""
        self.answer: Callable[[str, bytes], bytes | None] = self._answer
        """(head, body) -> everything it says; None: nothing, until the client goes away."""
        self.asked: list[tuple[str, bytes]] = []
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)

    async def stop(self) -> None:
        """Hear nobody any more; may be called again."""
        assert self._server is not None, "not started"
        self._server.close()
        for task in self._talks:
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    @property
    def port(self) -> int:
        assert self._server is not None, "not started"
        return int(self._server.sockets[0].getsockname()[1])

    def url(self, path: str = "/introspect") -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "served by nobody"
        self._talks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._talk(reader, writer)
        finally:
            self._talks.discard(task)
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(line[15:]) for line in head.split("\r\n") if line.startswith("Content-Length:")), 0
        )
        body = await reader.readexactly(length)
        self.asked.append((head, body))
        said = self.answer(head, body)
        if said is not None:
            writer.write(said)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        else:
            await reader.read()

    def _answer(self, head: str, body: bytes) -> bytes:
        if head.startswith("GET "):
            return answer(self.keys)
        if f"Authorization: Basic {base64.b64encode(b'gatepost:s%C3%BCss').decode()}\r\n" not in head:
            return answer(b"{}", "401 Unauthorized")
        token = parse_qs(body.decode())["token"][0]
        return answer(json.dumps(self.tokens.get(token, {"active": False})).encode())


def answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *fields]
    return "".join(f"{line}\r\n" for line in head).encode() + b"\r\n" + body
