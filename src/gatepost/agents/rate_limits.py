"""Agent: how much of one kind may come in a time: the limits of [rate-limits.NAME]."""

from __future__ import annotations

from typing import ClassVar, Final

from gatepost.config.agent_table import AgentTable
from gatepost.facts.rate_limits import ContentRates, MailRates, RecipientRates, Used
from gatepost.model.known import Known, MailView
from gatepost.model.rate_limit import SPACE, RateRule
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Effect, Finding, LimitReached, Stage, Tally, Verdict

TOO_MUCH_NOW: Final = Reply(451, "4.7.1", "Rate limit exceeded, try again later")
TOO_MUCH: Final = Reply(550, "5.7.1", "Rate limit exceeded")
OVER_RATE_LIMIT: Final = Finding(
    name="over-rate-limit",
    means="More came in than a limit of [rate-limits] with action tag allows.",
    points=2.0,
)
_STRENGTH: Final = {"tag": 0, "defer": 1, "reject": 2}
_SECONDS_MORE: Final = 2.0
"""A bucket is kept until it is empty; other workers may have added what this one has not heard of."""


class RateLimits:
    """Put off, refuse or mark what comes too often."""

    name: ClassVar[str] = "rate-limits"
    settings_type: ClassVar[type[AgentTable]] = AgentTable
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {
        Stage.MAIL: (MailRates,),
        Stage.RCPT: (RecipientRates,),
        Stage.END_OF_DATA: (ContentRates,),
    }
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = (OVER_RATE_LIMIT,)

    def __init__(self, _settings: AgentTable, site: Site) -> None:
        self._rules = {rule.name: rule for rule in site.rate_limits}
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """451 4.7.1, 550 5.7.1 or a finding; what is within every limit is counted, what is refused is not."""
        fact: MailRates | RecipientRates | ContentRates
        amount = 1
        if mail.stage is Stage.MAIL:
            fact = known[MailRates]
        elif mail.stage is Stage.RCPT:
            assert mail.recipient is not None, "a recipient is what it is about"
            fact = known.of(mail.recipient.address, RecipientRates)
        else:
            fact, amount = known[ContentRates], mail.size_bytes
        if not fact.used:
            return self._silent
        over = [u for u in fact.used if self._rules[u.limit].is_beyond(u.count, amount)]
        over.sort(key=lambda used: -_STRENGTH[self._rules[used.limit].action])
        refuses = bool(over) and self._rules[over[0].limit].action != "tag"
        counted = () if refuses else tuple(self._tally(used, amount, mail.now) for used in fact.used)
        if not over:
            return Verdict(agent=self.name, effects=counted)
        effects: tuple[Effect, ...] = (*(self._reached(used, amount) for used in over), *counted)
        return self._objection(over[0], amount, effects, fact)

    def _objection(self, worst: Used, amount: int, effects: tuple[Effect, ...], fact: object) -> Verdict:
        rule = self._rules[worst.limit]
        reason = (
            f"{worst.count + amount:.0f} {rule.counted.value} where {rule.capacity} may come at once and "
            f"{rule.amount} in {rule.per_s:g} s, with {worst.key}"
        )[:400]
        room_s = (worst.count + amount - rule.capacity) / rule.drains.per_s
        unless = f"rate-limits.{rule.name} allowed more"
        if amount <= rule.capacity:
            unless += f", or it came {room_s:.0f} s later"
        if rule.action == "tag":
            return Verdict(
                agent=self.name,
                action=Action.TAG,
                findings=(OVER_RATE_LIMIT,),
                reason=reason,
                because=(fact,),
                effects=effects,
                unless=unless,
            )
        refuse = Verdict.defer if rule.action == "defer" else Verdict.reject
        reply = TOO_MUCH_NOW if rule.action == "defer" else TOO_MUCH
        return refuse(self.name, reply, reason, because=(fact,), effects=effects, unless=unless)

    def _reached(self, used: Used, amount: int) -> LimitReached:
        rule: RateRule = self._rules[used.limit]
        return LimitReached(
            limit=rule.name,
            key=used.key,
            value=rule.capacity,
            actual=round(used.count + amount),
            action=rule.action,
        )

    def _tally(self, used: Used, amount: int, now: float) -> Tally:
        rule = self._rules[used.limit]
        return Tally(
            agent=self.name,
            space=SPACE,
            key=used.key,
            amounts=(float(amount),),
            fading=rule.drains,
            expires_at=now + (used.count + amount) / rule.drains.per_s + _SECONDS_MORE,
        )
