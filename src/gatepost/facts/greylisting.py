"""Fact: whether this attempt at a recipient came before, by what all workers remember."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from gatepost.config.guard_settings import Greylisting
from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.address import Address
from gatepost.model.greylist import ATTEMPTS_SPACE, NETWORKS_SPACE, Attempt, attempt_key
from gatepost.model.known import MailView, Scope
from gatepost.model.origin import origin_of
from gatepost.model.verdict import Stage

AGENT: Final = "greylisting"


@dataclass(frozen=True, slots=True, kw_only=True)
class GreylistState:
    """What is remembered of an attempt like this one. Times are seconds since the epoch; 0: never."""

    name: ClassVar[str] = "greylisting"

    recipient: Address
    key: str
    """What has to come again."""
    network: str
    first_at: float = 0.0
    passed_at: float = 0.0
    """When it last passed."""
    passes: int = 0
    network_passes: int = 0
    """Different attempts of its network that came again."""


def gatherer(sources: Sources) -> Gathering:
    """Known at RCPT, without waiting."""
    table = sources.tables.get(AGENT)
    kind = (table if isinstance(table, Greylisting) else Greylisting()).key

    def find(mail: MailView) -> GreylistState:
        assert mail.recipient is not None, "a recipient is what it is about"
        network, recipient = origin_of(mail.session.origin_ip).network, mail.recipient.address
        key = attempt_key(kind, network, mail.sender, recipient)
        attempt = Attempt.decode(sources.shared.get(ATTEMPTS_SPACE, key))
        around = Attempt.decode(sources.shared.get(NETWORKS_SPACE, network))
        return GreylistState(
            recipient=recipient,
            key=key,
            network=network,
            first_at=attempt.first_at,
            passed_at=attempt.passed_at,
            passes=attempt.passes,
            network_passes=around.passes,
        )

    return Gathering(fact=GreylistState, scope=Scope.RECIPIENT, earliest=Stage.RCPT, find=find)
