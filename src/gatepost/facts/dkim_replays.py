"""Fact: how many recipients the same signature has reached lately (threats J20)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

from gatepost.facts.dkim import DkimResults
from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.verdict import Stage

SPACE: Final = "dkim-replays"
DAY_S: Final = 86400.0
HALF_LIFE_S: Final = DAY_S * math.log(2)
"""A count stays at what comes in a day."""
KEPT_S: Final = 5 * DAY_S


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureUse:
    """One good signature. key: its domain, its selector and how it begins. recipients: before this mail, faded."""

    key: str
    recipients: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimReplays:
    """Of each good signature of a mail."""

    name: ClassVar[str] = "dkim-replays"
    uses: tuple[SignatureUse, ...] = ()


def gatherer(sources: Sources) -> Gathering:
    """Only asked for where agents.dkim.replay-recipients is set."""

    def find(mail: MailView, known: Known) -> DkimReplays:
        results = known.get(DkimResults)
        uses = []
        for one in results.signatures if results is not None else ():
            if one.result == "pass":
                key = f"{one.domain} {one.selector} {one.signature_start}"
                counts = sources.shared.counts(SPACE, key, fading=HALF_LIFE_S, now=mail.now)
                uses.append(SignatureUse(key=key, recipients=counts[0] if counts else 0.0))
        return DkimReplays(uses=tuple(uses))

    return Gathering(
        fact=DkimReplays,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_DATA,
        find_from=find,
        stands_on=(DkimResults,),
    )
