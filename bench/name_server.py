"""A name server for the servers under test, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading

from gatepost.lab.dns_server import LabDns


class NameServer:
    """The lab's name server in a thread of its own. zone: what it knows; nobody has a name otherwise."""

    def __init__(self, zone: str = "") -> None:
        self._server = LabDns(zone)

    def start(self) -> int:
        """Its port."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._server.start(), self._loop).result(10)
        return self._server.port

    def stop(self) -> None:
        """Frees the port."""
        asyncio.run_coroutine_threadsafe(self._server.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
