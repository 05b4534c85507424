"""Agent: mail that goes round in circles (RFC 5321 §6.3, threats L01, L03)."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Final

from gatepost.config.agent_table import AgentTable
from gatepost.facts.received_trace import ReceivedTrace
from gatepost.model.address import Address
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, Finding, LimitReached, Stage, Verdict

LOOP: Final = Reply(554, "5.4.6", "Too many hops, this mail is in a routing loop")


class LoopDetection:
    """Refuse mail that passed too many hosts, or us too often."""

    name: ClassVar[str] = "loop-detection"
    settings_type: ClassVar[type[AgentTable]] = AgentTable
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_HEADERS: (ReceivedTrace,)}
    when_unknown: ClassVar[Action] = Action.DEFER
    is_filter: ClassVar[bool] = False
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, _settings: AgentTable, site: Site) -> None:
        self._hops = site.hop_count
        self._own_hops = site.local_hop_count
        self._silent = Verdict(agent=self.name)

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """The limits are the receive connector's: hop-count and local-hop-count."""
        trace = known[ReceivedTrace]
        if trace.received > self._hops:
            reached = _reached("hop-count", self._hops, trace.received)
            return self._loop(f"{trace.received} hops, the limit is {self._hops}", trace, reached)
        if self._own_hops and trace.own > self._own_hops:
            said = f"passed us {trace.own} times, the limit is {self._own_hops}"
            return self._loop(said, trace, _reached("local-hop-count", self._own_hops, trace.own))
        if self._own_hops and trace.delivered_to and (round_trippers := self._delivered_before(mail, trace)):
            said = f"was delivered to the same address more than {self._own_hops} times"
            reached = _reached("local-hop-count", self._own_hops, "more")
            return self._loop(said, trace, reached, round_trippers)
        return self._silent

    def _delivered_before(self, mail: MailView, trace: ReceivedTrace) -> tuple[Address, ...]:
        if mail.envelope is None:
            return ()
        often = {name for name, times in Counter(trace.delivered_to).items() if times > self._own_hops}
        return tuple(r.address for r in mail.envelope.recipients if str(r.address).lower() in often)

    def _loop(
        self,
        reason: str,
        trace: ReceivedTrace,
        reached: LimitReached,
        recipients: tuple[Address, ...] | None = None,
    ) -> Verdict:
        return Verdict.reject(
            self.name,
            LOOP,
            reason,
            because=(trace,),
            effects=(reached,),
            recipients=recipients,
            unless=f"the connector's limit {reached.limit} were higher",
        )


def _reached(limit: str, value: int, actual: int | str) -> LimitReached:
    return LimitReached(limit=limit, value=value, actual=actual, is_rate=False)
