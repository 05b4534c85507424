"""What the gateway itself says became of mail: its tracking, its agent log, its queue, its log file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from gatepost.lab.gateway import GatewayProcess

PATIENCE_S: Final = 30.0
LOOK_S: Final = 0.02
_LOOK_S: Final = 0.2
_RECORDS: Final = "1000"

Record = dict[str, Any]
T = TypeVar("T")


class Objection(NamedTuple):
    """Why a mail was refused, and the id by which it is explained; both empty when the agent log has nothing."""

    why: str = ""
    mail_id: str = ""


class Witness:
    """Asks the command line, once for everybody who waits: a start of Python costs more than an answer."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._asking = asyncio.Lock()
        self._asked = 0
        self._records: list[Record] = []
        self._objections: list[Record] = []

    async def records(self, mail_id: str, *events: str) -> dict[str, Record]:
        """The tracking records of a mail by event, as soon as all of these are there; what there is after a while."""

        def look() -> dict[str, Record]:
            return {record["event"]: record for record in self._records if record["id"] == mail_id}

        return await self._until(look, lambda found: found.keys() >= set(events))

    async def objection(self, sender: str) -> Objection:
        """What the agent log has about a refused mail of this sender. why: "agent: reason"."""

        def look() -> Objection:
            for entry in self._objections:
                refused = entry["Action"] != "AcceptMessage"
                if refused and entry["P1FromAddress"].strip("<>") == sender:
                    return Objection(f"{entry['Agent']}: {entry['Reason']}", entry["id"])
            return Objection()

        return await self._until(look, lambda found: bool(found.why))

    async def violation(self, reply: str) -> str:
        """What the log says about the protocol violation that was answered so: its line may come after the answer."""
        until = asyncio.get_running_loop().time() + PATIENCE_S
        while not (found := await asyncio.to_thread(self._violation, reply)):
            if asyncio.get_running_loop().time() >= until:
                return ""
            await asyncio.sleep(LOOK_S)
        return found

    def _violation(self, reply: str) -> str:
        whole, _, _ = self._gateway.log.read_text("utf-8").rpartition("\n")
        events = [json.loads(line) for line in whole.splitlines() if '"protocol-violation"' in line]
        return next((f"protocol: {event['what']}" for event in events if event["reply"] == reply), "")

    async def queued(self) -> list[Record]:
        """What waits to be delivered."""
        return await self._ask("queue", "list")

    async def explain(self, mail_id: str) -> str:
        """What `gatepost explain` prints about a mail; "" when it fails."""
        done = await asyncio.to_thread(self._gateway.cli, "explain", mail_id)
        return done.stdout.rstrip() if done.returncode == 0 else ""

    async def _until(self, look: Callable[[], T], enough: Callable[[T], bool]) -> T:
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        seen = 0
        while not enough(found := look()) and loop.time() < until:
            async with self._asking:
                if self._asked <= seen:
                    await self._read()
                seen = self._asked
            await asyncio.sleep(0)
        return found

    async def _read(self) -> None:
        await asyncio.sleep(_LOOK_S)
        self._records, self._objections = await asyncio.gather(
            self._ask("track", "--limit", _RECORDS), self._ask("agent-log", "--limit", _RECORDS)
        )
        self._asked += 1

    async def _ask(self, *words: str) -> list[Record]:
        done = await asyncio.to_thread(self._gateway.cli, *words, "--json")
        if done.returncode or not done.stdout.strip():
            return []
        found: list[Record] = json.loads(done.stdout)
        return found
