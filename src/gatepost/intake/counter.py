"""The counter a conversation is held at: what it needs of the house besides its door."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field

from gatepost.config.guard_settings import Harvest
from gatepost.intake.guard import Guard
from gatepost.intake.limit_hit import LimitLog
from gatepost.intake.log_in import LogInDesk
from gatepost.intake.pressure import Pressure
from gatepost.intake.taking_in import TakingIn
from gatepost.ports.log import Counters, Log
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.world import Clock
from gatepost.records.wire_log import Sink


@dataclass(frozen=True, slots=True)
class Counter:
    """What a conversation needs of the house besides its door: made once, shared by all sessions."""

    taking_in: TakingIn
    log_in: LogInDesk
    clock: Clock
    counters: Counters
    log: Log
    pressure: Pressure = field(default_factory=lambda: Pressure({}))
    protocol_log: Sink | None = None
    """Where connectors with protocol-log write what is said."""
    guarding: InitVar[Guard | None] = None
    """None: clients are not counted over sessions."""
    guard: Guard = field(init=False)
    limit_log: LimitLog = field(init=False)

    def __post_init__(self, guarding: Guard | None) -> None:
        object.__setattr__(self, "guard", guarding or self._counts_nobody())
        object.__setattr__(self, "limit_log", LimitLog(self.counters, self.log))

    def _counts_nobody(self) -> Guard:
        return Guard(
            MemoryShared(),
            None,
            harvest=Harvest.model_validate({"enabled": False}),
            clock=self.clock,
            counters=self.counters,
            log=self.log,
        )
