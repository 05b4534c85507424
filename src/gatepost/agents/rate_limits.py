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
_TIMES_KEPT: Final = 5
"""So many `per` after the last count, less than a hundredth of it is left."""


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
        over = [u for u in fact.used if u.count + amount > self._rules[u.limit].amount]
        over.sort(key=lambda used: -_STRENGTH[self._rules[used.limit].action])
        refuses = bool(over) and self._rules[over[0].limit].action != "tag"
        counted = () if refuses else tuple(self._tally(used, amount, mail.now) for used in fact.used)
        if not over:
            return Verdict(agent=self.name, effects=counted)
        effects: tuple[Effect, ...] = (*(self._reached(used, amount) for used in over), *counted)
        return self._objection(over[0], amount, effects, fact)

    def _objection(self, worst: Used, amount: int, effects: tuple[Effect, ...], fact: object) -> Verdict:
        rule = self._rules[worst.limit]
        reason = f"{worst.count + amount:.0f} {rule.counted.value} in {rule.per_s:g} s with {worst.key}"[:400]
        unless = f"rate-limits.{rule.name}.amount ({rule.amount}) were higher, or it came later"
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
            value=rule.amount,
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
            half_life_s=rule.half_life_s,
            expires_at=now + _TIMES_KEPT * rule.per_s,
        )
