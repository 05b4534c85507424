"""A next hop on loopback that plays a script, line by line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ScriptedServer:
    """A next hop that plays one script a connection, the last one again and again.

    A line of a script: "> text" sends a line; "<" reads a line; "<?" reads whatever comes; "<." reads up to the end of
    data; "~" falls silent; "|" waits for `go`; "+" counts in `drops`, and lets the other side read; "raw ..." sends
    text with escapes as it is. The end closes.
    """

    def __init__(self, *scripts: str) -> None:
        self.scripts = [[line.strip() for line in script.strip().splitlines()] for script in scripts]
        self.connections = 0
        self.drops = 0
        self.heard: list[bytes] = []
        self.port = 0
        self.go = asyncio.Event()
        self.talks: set[asyncio.Task[None]] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self.talks.add(talk)
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        try:
            for line in script:
                await self._play(line, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _play(self, line: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if line.startswith(">"):
            writer.write(line[2:].encode("latin-1") + b"\r\n")
        elif line.startswith("raw "):
            writer.write(line[4:].encode("latin-1").decode("unicode_escape").encode("latin-1"))
        elif line == "<.":
            self.heard.append(await reader.readuntil(b"\r\n.\r\n"))
        elif line == "<":
            self.heard.append(await reader.readuntil(b"\r\n"))
        elif line == "<?":
            await reader.read(4096)
        elif line == "|":
            await self.go.wait()
        elif line == "+":
            self.drops += 1
            await asyncio.sleep(0.002)
        elif line == "~":
            await reader.read()
        await writer.drain()


@asynccontextmanager
async def scripted(*scripts: str) -> AsyncIterator[ScriptedServer]:
    """A ScriptedServer that listens."""
    server = ScriptedServer(*scripts)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0, limit=1 << 24)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for talk in server.talks:
            talk.cancel()
        await asyncio.gather(*server.talks, return_exceptions=True)
