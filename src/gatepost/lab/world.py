"""The small internet of the lab: name server, mailbox server, internet server, and the gateway between."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from gatepost.lab.configuration import ZONE, Ports, configuration, recipients
from gatepost.lab.dns_server import LabDns
from gatepost.lab.gateway import GatewayProcess
from gatepost.lab.ports import free_port
from gatepost.lab.senders import RawClient
from gatepost.lab.sink import Behaviour, Sink

PATIENCE_S: Final = 20.0
_LOOK_S: Final = 0.1
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

    async def ask(self, *words: str) -> Any:
        """What `gatepost WORDS --json` says; None when it fails or finds nothing."""
        done = await asyncio.to_thread(self.gateway.cli, *words, "--json")
        if done.returncode or not done.stdout.strip():
            return None
        return json.loads(done.stdout)

    async def records(self, mail_id: str, *events: str) -> dict[str, dict[str, Any]]:
        """The tracking records of a mail by event, as soon as all of these are there; what there is after a while."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            found = {record["event"]: record for record in await self.ask("track", "--id", mail_id) or []}
            if found.keys() >= set(events) or asyncio.get_running_loop().time() > until:
                return found
            await asyncio.sleep(_LOOK_S)

    async def objection(self, sender: str) -> str:
        """What the agent log has about a refused mail of this sender: "agent: reason"; "" when nothing comes."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while asyncio.get_running_loop().time() < until:
            entries = await self.ask("agent-log", "--sender", sender)
            if entries:
                return f"{entries[0]['Agent']}: {entries[0]['Reason']}"
            await asyncio.sleep(_LOOK_S)
        return ""

    def _write(self, file: Path) -> None:
        file.write_text(configuration(self.directory, self.ports), "utf-8")
        (self.directory / "recipients.txt").write_text(recipients(), "utf-8")
