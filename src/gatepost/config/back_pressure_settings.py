"""The settings of back pressure: which resources are watched, and from where on less mail is taken.

Each resource has three marks. Beyond `medium` the level is medium until `normal` is reached again;
beyond `high` it is high until `medium` is.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from gatepost.config.schema import Duration, Size, Table, setting, size

ResourceName = Literal["disk", "inodes", "memory", "system-memory", "queue", "loop-lag"]

NORMAL_FREE: Final = "Free from here on: normal again"
MEDIUM_FREE: Final = "Less than this free: medium"
HIGH_FREE: Final = "Less than this free: high"
NORMAL_USED: Final = "Up to here: normal again"
MEDIUM_USED: Final = "More than this: medium"
HIGH_USED: Final = "More than this: high"


def readings_in_a_row(default: int) -> Any:
    """The setting that every resource has against single odd readings."""
    return setting("Readings in a row that raise the level", default=default, low=1, high=10000)


def delay_for(default_s: float) -> Any:
    """The setting that every resource has for strangers at medium."""
    return setting(
        "How long medium only delays MAIL of strangers, before it is refused", default=default_s, low=0
    )


class DiskMarks(Table):
    """[back-pressure.disk]: free octets on the file system of the state directory."""

    normal_bytes: Size = setting(NORMAL_FREE, default=size(1280, "MiB"))
    medium_bytes: Size = setting(MEDIUM_FREE, default=size(1, "GiB"))
    high_bytes: Size = setting(HIGH_FREE, default=size(512, "MiB"))
    readings: int = readings_in_a_row(1)
    delay_for_s: Duration = delay_for(0.0)


class InodeMarks(Table):
    """[back-pressure.inodes]: free inodes there; file systems without a number of inodes have enough."""

    normal: int = setting(NORMAL_FREE, default=30000, low=0)
    medium: int = setting(MEDIUM_FREE, default=20000, low=0)
    high: int = setting(HIGH_FREE, default=5000, low=0)
    readings: int = readings_in_a_row(1)
    delay_for_s: Duration = delay_for(0.0)


class MemoryMarks(Table):
    """[back-pressure.memory]: percent of its share of the machine's memory that the worker uses.

    The share is the memory of the machine, or of its control group, divided by the number of workers.
    """

    normal: int = setting(NORMAL_USED, default=71, low=1, high=100)
    medium: int = setting(MEDIUM_USED, default=72, low=1, high=100)
    high: int = setting(HIGH_USED, default=75, low=1, high=100)
    readings: int = readings_in_a_row(5)
    delay_for_s: Duration = delay_for(0.0)


class SystemMemoryMarks(Table):
    """[back-pressure.system-memory]: percent in use of the memory of the machine, or of its control group."""

    normal: int = setting(NORMAL_USED, default=84, low=1, high=100)
    medium: int = setting(MEDIUM_USED, default=88, low=1, high=100)
    high: int = setting(HIGH_USED, default=94, low=1, high=100)
    readings: int = readings_in_a_row(5)
    delay_for_s: Duration = delay_for(0.0)


class QueueMarks(Table):
    """[back-pressure.queue]: recipients of one worker that are due and not delivered; those that wait do not count."""

    normal: int = setting(NORMAL_USED, default=2000, low=0)
    medium: int = setting(MEDIUM_USED, default=9999, low=0)
    high: int = setting(HIGH_USED, default=15000, low=0)
    readings: int = readings_in_a_row(15)
    delay_for_s: Duration = delay_for(600.0)


class LagMarks(Table):
    """[back-pressure.loop-lag]: how late the worker's event loop came to a timer, the worst since the last reading."""

    normal_s: Duration = setting(NORMAL_USED, default=0.5, low=0)
    medium_s: Duration = setting(MEDIUM_USED, default=1.0, low=0.01)
    high_s: Duration = setting(HIGH_USED, default=3.0, low=0.01)
    readings: int = readings_in_a_row(5)
    delay_for_s: Duration = delay_for(60.0)


class BackPressure(Table):
    """[back-pressure]: how a worker that runs out of something takes less mail, and delivers on."""

    interval_s: Duration = setting("How often resources are looked at", default=2.0, low=0.1, high=60)
    watch: tuple[ResourceName, ...] = setting(
        "Resources that are looked at; the store's own limit queue.disk-low holds in any case",
        default=("disk", "inodes", "memory", "system-memory", "queue", "loop-lag"),
    )
    disk: DiskMarks = setting("Free octets", default=DiskMarks())
    inodes: InodeMarks = setting("Free inodes", default=InodeMarks())
    memory: MemoryMarks = setting("The worker's memory", default=MemoryMarks())
    system_memory: SystemMemoryMarks = setting("The machine's memory", default=SystemMemoryMarks())
    queue: QueueMarks = setting("Mail that is due", default=QueueMarks())
    loop_lag: LagMarks = setting("A worker that has too much to do", default=LagMarks())
