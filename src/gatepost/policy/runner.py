"""The policy of one configuration, compiled for each receive connector; makes a hearing for each session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gatepost.model.verdict import Stage
from gatepost.policy.alarm import Alarm
from gatepost.policy.folding import Scale
from gatepost.policy.hearing import Hearing
from gatepost.policy.panel import Panel


@dataclass(frozen=True, slots=True, kw_only=True)
class Docket:
    """What one receive connector's hearings share.

    panels: by Audience, then by stage.
    """

    panels: tuple[Mapping[Stage, Panel], ...]


class PolicyRunner:
    """Everything a worker needs to have mails judged, until the next reload.

    dockets: by the connector's name.
    """

    def __init__(
        self,
        dockets: Mapping[str, Docket],
        *,
        scale: Scale,
        deadline_s: float,
        revision: str,
        alarm: Alarm,
    ) -> None:
        self._dockets = dict(dockets)
        self._scale = scale
        self._deadline_s = deadline_s
        self._revision = revision
        self._alarm = alarm

    def hearing(self, connector: str) -> Hearing:
        """For one new session. Raises KeyError for a connector this configuration does not have."""
        return Hearing(
            self._dockets[connector].panels,
            scale=self._scale,
            deadline_s=self._deadline_s,
            revision=self._revision,
            alarm=self._alarm,
        )
