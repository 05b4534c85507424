"""What a worker may run out of, and who looks how much of it there is."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol


class Resource(Enum):
    """The word is the table of the setting, [back-pressure.WORD]."""

    DISK = "disk"
    """Free octets on the file system of the store."""
    INODES = "inodes"
    """Free inodes there."""
    MEMORY = "memory"
    """Percent of the worker's share of memory that it uses."""
    SYSTEM_MEMORY = "system-memory"
    """Percent of the machine's memory, or of its control group's, in use."""
    QUEUE = "queue"
    """Recipients that are due and not delivered."""
    LOOP_LAG = "loop-lag"
    """Seconds the event loop was late, at the worst."""


class Resources(Protocol):
    """A look at the world."""

    def read(self) -> Mapping[Resource, float]:
        """What can be found out; a resource that cannot is not in it. Never raises, never waits."""
