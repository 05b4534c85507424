"""Settings of the scan workers: processes in which third parties' agents look at mail."""

from __future__ import annotations

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
