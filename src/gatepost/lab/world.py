"""The small internet of the lab: name server, mailbox server, internet server, and the gateway between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from gatepost.lab.configuration import ZONE, Ports, configuration, recipients
from gatepost.lab.dns_server import LabDns
from gatepost.lab.gateway import GatewayProcess
from gatepost.lab.ports import free_port
from gatepost.lab.senders import RawClient
from gatepost.lab.sink import Behaviour, Sink
from gatepost.lab.witness import Witness

UNKNOWN_ABROAD: Final = "nobody@elsewhere.example"


class LabWorld:
    """Everything of one lab. directory: where configuration, state and log are written; it must exist."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.dns = LabDns(ZONE)
        self.mailboxes = Sink(Behaviour(hostname="mailboxes.ours.example"))
        self.internet = Sink(
            Behaviour(
                hostname="mx.elsewhere.example",
                recipients={UNKNOWN_ABROAD: "550 5.1.1 No such person here"},
            )
        )
        self.ports = Ports(smtp=0, metrics=0, dns=0, mailboxes=0, internet=0)
        self.gateway = GatewayProcess(directory / "gatepost.toml", directory / "gatepost.log", greeters=())
        self._witness: Witness | None = None

    async def start(self) -> None:
        """Bring everything up. Raises GatewayFailed, OSError."""
        await self.dns.start()
        await self.mailboxes.start()
        await self.internet.start()
        self.ports = Ports(
            smtp=free_port(),
            metrics=free_port(),
            dns=self.dns.port,
            mailboxes=self.mailboxes.port,
            internet=self.internet.port,
        )
        file = self.directory / "gatepost.toml"
        await asyncio.to_thread(self._write, file)
        self.gateway = GatewayProcess(
            file, self.directory / "gatepost.log", greeters=(("127.0.0.1", self.ports.smtp),)
        )
        self._witness = Witness(self.gateway)
        await asyncio.to_thread(self.gateway.start)

    async def stop(self) -> int:
        """Bring everything down; the gateway's exit status. Raises GatewayFailed."""
        try:
            return await asyncio.to_thread(self.gateway.stop)
        finally:
            await self.mailboxes.stop()
            await self.internet.stop()
            await self.dns.stop()

    async def client(self, *, source: str = "127.0.0.1") -> RawClient:
        """A client that has said EHLO."""
        client = await RawClient.connect("127.0.0.1", self.ports.smtp, source=source)
        await client.hello()
        return client

    @property
    def witness(self) -> Witness:
        """What the gateway says of itself. Once started."""
        if self._witness is None:
            raise RuntimeError("the lab has not been started")
        return self._witness

    def _write(self, file: Path) -> None:
        file.write_text(configuration(self.directory, self.ports), "utf-8")
        (self.directory / "recipients.txt").write_text(recipients(), "utf-8")
