"""What the scheduler needs of the world."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.ports.in_flight import InFlight
from gatepost.ports.log import Counters, Log
from gatepost.ports.neighbours import Neighbours
from gatepost.ports.store import Store
from gatepost.ports.world import Randomness
from gatepost.queue.schedule import QueueClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The ports of the scheduler."""

    store: Store
    in_flight: InFlight
    clock: QueueClock
    randomness: Randomness
    counters: Counters
    log: Log
    neighbours: Neighbours | None = None
