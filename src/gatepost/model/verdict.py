"""What an agent thinks of a mail, as data: verdict, findings, edits, effects; and what is made of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, IntEnum

import msgspec

from gatepost.model.address import Address
from gatepost.model.fading import Fading
from gatepost.model.reply import Reply


class Stage(Enum):
    """The moments at which agents are asked, in the order of a session (Exchange's events)."""

    __hash__ = object.__hash__  # members are singletons; Enum's own hash takes ten times as long

    CONNECT = "connect"
    HELO = "helo"
    STARTTLS = "starttls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    END_OF_HEADERS = "end-of-headers"
    END_OF_DATA = "end-of-data"
    REJECT = "reject"
    RSET = "rset"
    DISCONNECT = "disconnect"


class Action(IntEnum):
    """What an agent asks for. When agents differ, the highest wins.

    Telling the sender beats dropping in silence, so DISCARD is not the last word.
    """

    PASS = 0
    TAG = 1
    QUARANTINE = 2
    DISCARD = 3
    DEFER = 4
    REJECT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something an agent can notice: a constant of the agent, listed in the manual."""

    name: str
    """kebab-case, unique among all agents."""
    means: str
    """One sentence for the administrator."""
    points: float
    """Spam points it is worth, unless the settings say otherwise; below 0 is good."""


@dataclass(frozen=True, slots=True)
class AddHeader:
    """Edit: put a field on top of the header section. `name` and `value` are ours, not the peer's."""

    name: str
    value: str

    def __post_init__(self) -> None:
        text = self.name + self.value
        if "\r" in text or "\n" in text or "\0" in text:
            raise ValueError("a header edit is one line")


@dataclass(frozen=True, slots=True)
class RemoveHeader:
    """Edit: remove every field of this name (any case)."""

    name: str


Edit = AddHeader | RemoveHeader


@dataclass(frozen=True, slots=True)
class DelayReply:
    """Effect: wait before the answer goes out (tarpit). Seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class HangUp:
    """Effect: close the connection after the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockClient:
    """Effect: put the client on the block list for a time, and begin its reputation anew."""

    network: str
    """An address, or a network in CIDR."""
    for_s: float
    author: str
    """The part of the gateway that wants it."""
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remember:
    """Effect: keep a value that all workers see; done when no other agent refuses the command."""

    agent: str
    space: str
    key: str
    value: bytes
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Effect: count for all workers; done when no other agent refuses the command."""

    agent: str
    space: str
    key: str
    amounts: tuple[float, ...]
    expires_at: float
    fading: Fading = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReached:
    """Effect: tell in log and metrics that a limit of the administrator was reached.

    is_rate: of [rate-limits]; else one of a receive connector's limits, for which the mail is refused.
    """

    limit: str
    key: str = ""
    value: int
    actual: int | str
    action: str = "refuse"
    is_rate: bool = True


@dataclass(frozen=True, slots=True)
class SkipFilters:
    """Effect: the filters that agents.ip-lists.allow-skips names are not asked any more.

    In this session; of mail that a relay of ours brings: about this mail.
    """


Effect = DelayReply | HangUp | BlockClient | Remember | Tally | LimitReached | SkipFilters


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One agent's opinion of one mail at one stage.

    Raises ValueError unless a reply goes with DEFER and REJECT, and only with them.
    """

    agent: str
    action: Action = Action.PASS
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    """For the administrator: why, in a few words. Required for every action but PASS."""
    reply: Reply | None = None
    because: tuple[object, ...] = ()
    """The facts it stands on; every one is recorded and shown to whoever asks why."""
    recipients: tuple[Address, ...] | None = None
    """Whom it is about; None means every recipient of the mail (or the one of the RCPT stage)."""
    edits: tuple[Edit, ...] = ()
    effects: tuple[Effect, ...] = ()
    unless: str = ""
    """What would have had to be different for a better opinion; for `explain`. "" when nothing can be said."""
    is_silent: bool = field(init=False, repr=False, compare=False)
    """A PASS that says nothing and changes nothing."""

    def __post_init__(self) -> None:
        says = self.action or self.findings or self.reason or self.edits or self.effects
        object.__setattr__(self, "is_silent", not says)
        needs_reply = self.action in (Action.DEFER, Action.REJECT)
        if needs_reply != (self.reply is not None):
            raise ValueError(f"{self.agent}: a reply goes with DEFER and REJECT only")
        if self.reply is not None and self.reply.is_positive:
            raise ValueError(f"{self.agent}: a refusal has a 4xx or 5xx reply")
        if self.reply is not None and self.reply.is_temporary != (self.action is Action.DEFER):
            raise ValueError(f"{self.agent}: DEFER has a 4xx reply, REJECT a 5xx")
        if self.action is not Action.PASS and not self.reason:
            raise ValueError(f"{self.agent}: an opinion has a reason")

    @classmethod
    def reject(
        cls,
        agent: str,
        reply: Reply,
        reason: str,
        *,
        because: tuple[object, ...] = (),
        effects: tuple[Effect, ...] = (),
        recipients: tuple[Address, ...] | None = None,
        unless: str = "",
    ) -> Verdict:
        """Refuse for good, with a 5xx reply."""
        return cls(
            agent=agent,
            action=Action.REJECT,
            reply=reply,
            reason=reason,
            because=because,
            effects=effects,
            recipients=recipients,
            unless=unless,
        )

    @classmethod
    def defer(
        cls,
        agent: str,
        reply: Reply,
        reason: str,
        *,
        because: tuple[object, ...] = (),
        effects: tuple[Effect, ...] = (),
        recipients: tuple[Address, ...] | None = None,
        unless: str = "",
    ) -> Verdict:
        """Refuse for now, with a 4xx reply."""
        return cls(
            agent=agent,
            action=Action.DEFER,
            reply=reply,
            reason=reason,
            because=because,
            effects=effects,
            recipients=recipients,
            unless=unless,
        )


class Disposition(msgspec.Struct, frozen=True, kw_only=True):
    """What is to happen, after every opinion was heard: for one recipient, or for one command."""

    action: Action = Action.PASS
    scl: int = 0
    """Spam confidence level 0-9; -1 exempt (Exchange's scale)."""
    decided_by: str = ""
    """The agent whose opinion won, "score" when the scale did; "" when nobody objected."""
    reason: str = ""
    reply: Reply | None = None
    edits: tuple[Edit, ...] = ()
    effects: tuple[Effect, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    """Every opinion that was more than a silent PASS."""


PASSED = Disposition()
