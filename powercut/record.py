"""The recorded run: mail of all sizes goes in and out of a real gateway below the recorder, workers die in it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crash.client import Swarm
from crash.gateway import NAME, Gateway
from crash.ledger import Copy
from crash.message import Mailer
from crash.sink import Sink

from gatepost.lab.dns_server import LabDns
from powercut.ledger import pack_delivery, pack_sendings
from powercut.library import Page, environment
from powercut.tracing import Op, append

WORKERS: Final = 2
_CALM_S: Final = 1.0
"""Some mail is still there at the stop: that is part of what is recorded."""
_REFUSES: Final = 0.15
"""How often the next hop puts a message off, so that there is always a queue."""
_LOOK_S: Final = 0.02
_LARGE: Final = 0.12
_QUEUE: Final = """\
reserve = "1MiB"
disk-low = "2MiB"
resume-margin = "0B"
allow-volatile = true
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a recorded run is asked to do. deaths: how many workers die in it."""

    seed: int
    mails: int
    directory: Path
    library: Path
    arguments: tuple[str, ...] = ("-m", "gatepost")
    clients: int = 12
    deaths: int = 1

    @property
    def log(self) -> Path:
        """Where the trace is."""
        return self.directory / "trace"

    @property
    def state(self) -> Path:
        """The directory that was watched."""
        return self.directory / "state"


async def record(plan: Recording) -> None:
    """Leaves the trace in `plan.log`. Raises TimeoutError when the gateway does not come up."""
    plan.state.mkdir(mode=0o700, parents=True)
    plan.log.touch()
    page = Page(plan.directory / "page")
    name = f"p{plan.seed}"
    names = LabDns("")

    def kept(copies: Sequence[Copy], mail_id: str) -> None:
        append(plan.log, Op.DELIVERED, pack_delivery(copies, mail_id))

    sink = Sink(name, random.Random(f"{plan.seed}:sink"), kept=kept)
    sink.moods.refuse_message = _REFUSES
    await sink.start()
    await names.start()
    gateway = Gateway(
        plan.directory,
        sink.port,
        names.port,
        plan.arguments,
        workers_wanted=WORKERS,
        queue=_QUEUE,
        environment=environment(plan.library, plan.state, page, plan.log),
    )
    gateway.prepare()
    swarm = Swarm(
        port=lambda: gateway.port,
        name=NAME,
        mailer=Mailer(name, random.Random(f"{plan.seed}:mail"), large=_LARGE),
        chance=random.Random(f"{plan.seed}:clients"),
        pause_s=0.01,
    )
    keeper = asyncio.create_task(gateway.keep_running())
    try:
        await gateway.ready()
        await _load(plan, swarm, page)
        sink.moods.calm()
        await asyncio.sleep(_CALM_S)
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
        await asyncio.to_thread(gateway.stop)
    finally:
        keeper.cancel()
        gateway.kill()
        await sink.stop()
        await names.stop()
        page.close()
    append(plan.log, Op.LEDGER, pack_sendings(swarm.sendings))


async def _load(plan: Recording, swarm: Swarm, page: Page) -> None:
    """Mail until there is enough of it, with a death each time another part of it has been sent."""
    chance = random.Random(f"{plan.seed}:deaths")
    clients = asyncio.create_task(swarm.run(plan.clients))
    dies_at = [plan.mails * (n + 1) // (plan.deaths + 1) for n in range(plan.deaths)]
    while len(swarm.sendings) < plan.mails:
        if dies_at and len(swarm.sendings) >= dies_at[0]:
            dies_at.pop(0)
            page.die_in(chance.randint(1, 60))
        await asyncio.sleep(_LOOK_S)
    swarm.stopping = True
    await clients
