"""Agent: the first attempt of a stranger is put off; a mail server comes again, a spammer's program seldom does."""

from __future__ import annotations

from typing import ClassVar, Final

from pydantic import field_validator

from gatepost.config import guard_settings
from gatepost.config.agent_table import AgentTable
from gatepost.facts.greylisting import GreylistState
from gatepost.facts.ip_lists import IpListing
from gatepost.facts.sender_reputation import Reputation
from gatepost.facts.spf import SpfResult, is_open
from gatepost.model.greylist import (
    ATTEMPTS_SPACE,
    NETWORKS_SPACE,
    STATISTICS_KEY,
    STATISTICS_SPACE,
    Attempt,
    Came,
)
from gatepost.model.ip_ranges import IpRanges
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Effect, Finding, Remember, Stage, Tally, Verdict
from gatepost.protocol.recipient_entry import RecipientEntries

COME_AGAIN: Final = Reply(451, "4.7.1", "Greylisted, please try again in a few minutes")
GOOD_LEVEL: Final = 3
"""Below it a client's reputation is good, or its network's for an address that nobody knows."""
STATISTICS_AGE_S: Final = 400 * 86400.0
_REFRESHES: Final = 8
"""What passes is remembered anew after so large a part of its time: not for each mail."""


class Settings(guard_settings.Greylisting):
    """[agents.greylisting]"""

    @field_validator("exempt_recipients")
    @classmethod
    def _are_addresses(cls, entries: tuple[str, ...]) -> tuple[str, ...]:
        RecipientEntries(entries)
        return entries


class Greylisting:
    """Put off what comes for the first time."""

    name: ClassVar[str] = "greylisting"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.RCPT: (GreylistState,)}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    silent_behind_relays: ClassVar[str] = "a relay of ours comes again, whoever wrote the mail"
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._settings = settings
        self._exempt = IpRanges(settings.exempt_networks)
        self._recipients = RecipientEntries(settings.exempt_recipients)
        wanted: tuple[tuple[type, bool], ...] = (
            (IpListing, True),
            (Reputation, settings.good_reputation_exempts),
            (SpfResult, settings.spf_pass_exempts),
        )
        self.wants: dict[Stage, tuple[type, ...]] = {
            Stage.RCPT: tuple(kind for kind, is_wanted in wanted if is_wanted)
        }
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """451 4.7.1 until the attempt comes again, not too early and not too late."""
        assert mail.recipient is not None, "a recipient is what it is about"
        address = mail.recipient.address
        state = known.of(address, GreylistState)
        if address in self._recipients:
            return self._silent
        settings, now = self._settings, mail.now
        if mail.session.origin_ip in self._exempt or self._is_known(known):
            return self._passed("a client that is spared", Came.SPARED, state, now)
        if settings.network_passes and state.network_passes >= settings.network_passes:
            return self._passed(
                f"{state.network} passed {state.network_passes} times", Came.NETWORK, state, now
            )
        if state.passed_at and now < state.passed_at + settings.remembered_for_s:
            is_old = now > state.passed_at + settings.remembered_for_s / _REFRESHES
            return self._passed("it came again before", Came.KNOWN, state, now, keep=is_old)
        age_s = now - state.first_at
        if not state.first_at or state.passed_at or age_s > settings.latest_s:
            return self._put_off(state, now, "it comes for the first time", is_new=True)
        if age_s < settings.earliest_s:
            return self._put_off(state, now, f"it came again after {age_s:.0f} s", is_new=False)
        return self._passed(f"it came again after {age_s:.0f} s", Came.AGAIN, state, now, keep=True)

    def _is_known(self, known: Known) -> bool:
        """On the allow list, let in by the sender's domain, or of good reputation."""
        if not known.unknown_among((IpListing,)) and known[IpListing].allowed_by:
            return True
        spf = known.get(SpfResult) if self._settings.spf_pass_exempts else None
        if spf is not None and spf.result == "pass" and not is_open(spf.term):
            return True
        if not self._settings.good_reputation_exempts or known.unknown_among((Reputation,)):
            return False
        # What is taken off for an unknown address spares it a block; it does not make its neighbours' name good.
        return 0 <= known[Reputation].earned < GOOD_LEVEL

    def _put_off(self, state: GreylistState, now: float, reason: str, *, is_new: bool) -> Verdict:
        settings = self._settings
        effects: tuple[Effect, ...] = (self._tally(Came.NEW if is_new else Came.EARLY, now),)
        if is_new:
            effects = (
                *effects,
                self._remember(ATTEMPTS_SPACE, state.key, Attempt(now), now + settings.latest_s),
            )
        return Verdict.defer(
            self.name,
            COME_AGAIN,
            reason,
            because=(state,),
            effects=effects,
            unless=f"it came again after {settings.earliest_s:g} s and before {settings.latest_s:g} s",
        )

    def _passed(
        self, reason: str, came: Came, state: GreylistState, now: float, *, keep: bool = False
    ) -> Verdict:
        effects: tuple[Effect, ...] = (self._tally(came, now),)
        until = now + self._settings.remembered_for_s
        if keep:
            attempt = Attempt(state.first_at, now, state.passes + 1)
            effects = (*effects, self._remember(ATTEMPTS_SPACE, state.key, attempt, until))
        if came is Came.NETWORK or (came is Came.AGAIN and self._settings.network_passes):
            passes = state.network_passes + (came is Came.AGAIN)
            attempt = Attempt(passed_at=now, passes=passes)
            effects = (*effects, self._remember(NETWORKS_SPACE, state.network, attempt, until))
        return Verdict(agent=self.name, reason=reason, because=(state,), effects=effects)

    def _remember(self, space: str, key: str, attempt: Attempt, until: float) -> Remember:
        return Remember(agent=self.name, space=space, key=key, value=attempt.encode(), expires_at=until)

    def _tally(self, came: Came, now: float) -> Tally:
        return Tally(
            agent=self.name,
            space=STATISTICS_SPACE,
            key=STATISTICS_KEY,
            amounts=came.amounts,
            expires_at=now + STATISTICS_AGE_S,
        )
