"""The policy of one configuration, compiled for each receive connector; makes a hearing for each session."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.policy.alarm import Alarm
from gatepost.policy.docket import Docket
from gatepost.policy.folding import Scale
from gatepost.policy.gathering import QUESTIONS_PER_MAIL
from gatepost.policy.hearing import Hearing


class PolicyRunner:
    """Everything a worker needs to have mails judged, until the next reload.

    dockets: by the connector's name.
    """

    def __init__(
        self,
        dockets: Mapping[str, Docket],
        *,
        accepted: AcceptedDomains,
        scale: Scale,
        deadline_s: float,
        revision: str,
        alarm: Alarm,
        questions_per_mail: int = QUESTIONS_PER_MAIL,
    ) -> None:
        self._dockets = dict(dockets)
        self._accepted = accepted
        self._scale = scale
        self._deadline_s = deadline_s
        self._revision = revision
        self._alarm = alarm
        self._questions_per_mail = questions_per_mail

    def hearing(self, connector: str) -> Hearing:
        """For one new session. Raises KeyError for a connector this configuration does not have."""
        docket = self._dockets[connector]
        return Hearing(
            docket,
            accepted=self._accepted,
            scale=self._scale,
            deadline_s=self._deadline_s,
            revision=self._revision,
            alarm=self._alarm,
            questions_per_mail=self._questions_per_mail,
        )
