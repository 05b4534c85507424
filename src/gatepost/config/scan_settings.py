"""Settings for third parties' agents: the processes they look at mail in, and when faulty ones are switched off."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Size, Table, setting, size


class ScanWorkers(Table):
    """[scan-workers]: processes without network, keys or a disk to write to; a mail that kills one harms no other."""

    processes: int = setting(
        "How many there are when there are agents of your own; 0: those run inside the workers, without protection",
        default=2,
        low=0,
        high=64,
    )
    time_s: Duration = setting(
        "Wall time of one opinion; a scan worker that needs more is killed", default=60.0, low=1, high=600
    )
    cpu_time_s: Duration = setting("The same in time of a processor", default=20.0, low=1, high=600)
    memory_bytes: Size = setting(
        "Memory of a scan worker beyond what it begins with", default=size(512, "MiB"), low=1 << 24
    )
    deaths: int = setting(
        "Deaths of scan workers by one mail after which it is no more looked at, and goes into quarantine",
        default=3,
        low=1,
        high=100,
    )


Meanwhile = Literal["as-unknown", "defer"]


class Faults(Table):
    """[policy.faults]: an agent or fact of your own that fails again and again is switched off, in every worker."""

    limit: int = setting(
        "Faults in the window after which it is switched off; a worker's death counts as half of them; 0: never",
        default=10,
        low=0,
        high=10_000,
    )
    window_s: Duration = setting(
        "How long faults count, from the first of them", default=600.0, low=1, high=86400
    )
    cool_down_s: Duration = setting(
        "After which it is asked again by itself; 0s: by a reload, a restart or `gatepost plug-ins resume` only",
        default=0.0,
        low=0,
        high=604800,
    )
    blocking_s: Duration = setting(
        "How long it may hold up the event loop of a worker; more is a fault, although it is waited for",
        default=5.0,
        low=0.01,
        high=600,
    )
    meanwhile: Meanwhile = setting(
        "What an agent that is switched off stands for: as-unknown, its when_unknown; or defer, mail is put off (4xx)",
        default="as-unknown",
    )
    meanwhile_of: dict[str, Meanwhile] = setting("The same for single agents, by name", default={})
