"""What all hearings of one receive connector share: who is asked whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gatepost.facts.gathering import Gathering
from gatepost.model.verdict import Stage
from gatepost.policy.behind_relays import BehindRelays, skipped_among
from gatepost.policy.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class Docket:
    """What one receive connector's hearings share.

    panels: by Audience, then by stage. allowed: the same for clients on the allow list; empty: as others.
    allowed_are_exempt: these are spared all filters, and the score.
    """

    panels: tuple[Mapping[Stage, Panel], ...]
    allowed: tuple[Mapping[Stage, Panel], ...] = ()
    allowed_are_exempt: bool = False
    behind: BehindRelays | None = None
    """Where there are internal relays: who is asked about what they bring."""
    skipped: tuple[tuple[tuple[str, str], ...], ...] = field(init=False)
    """By Audience: agents that are asked at no stage, and why; written into every dossier."""
    skipped_of_allowed: tuple[tuple[tuple[str, str], ...], ...] = field(init=False)
    kept: dict[type[Any], Gathering] = field(default_factory=dict, compare=False)
    """Of every fact that a hearing found out: how. One for all, since all find it out in the same way."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "skipped", tuple(map(skipped_among, self.panels)))
        object.__setattr__(self, "skipped_of_allowed", tuple(map(skipped_among, self.allowed)))
