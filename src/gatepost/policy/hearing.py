"""One SMTP session's opinions: asks the agents of each stage and folds what they say (I4, I9)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.envelope import Recipient
from gatepost.model.known import MailView, Unknown
from gatepost.model.reply import OUR_FAULT
from gatepost.model.session import Session
from gatepost.model.verdict import PASSED, Action, Disposition, SkipFilters, Stage, Verdict
from gatepost.policy.agent import without
from gatepost.policy.alarm import Alarm
from gatepost.policy.behind_relays import BehindRelays
from gatepost.policy.docket import Docket
from gatepost.policy.dossier import DossierWriter
from gatepost.policy.folding import EXEMPT_SCL, Decision, Scale, decide, stamped
from gatepost.policy.gathering import QUESTIONS_PER_MAIL, Knowledge, Pending
from gatepost.policy.panel import Audience, Panel

LOG_LIMIT: Final = 4096  # opinions kept for the agent log of one transaction
REFUSED_LIMIT: Final = 100  # refused recipients of a transaction whose facts and verdicts are kept
# Reading a member off its enum class is slow on Python 3.11, and these are read for every command.
_MAIL: Final = Stage.MAIL
_RCPT: Final = Stage.RCPT
_END_OF_HEADERS: Final = Stage.END_OF_HEADERS
_DISCONNECT: Final = Stage.DISCONNECT
_BYPASSING: Final = Audience.BYPASSING
_INTERNAL: Final = Audience.INTERNAL
_EXTERNAL: Final = Audience.EXTERNAL
_DEFER: Final = Action.DEFER
CONNECTION_STAGES: Final = (Stage.CONNECT, Stage.HELO, Stage.STARTTLS, Stage.AUTH)
_BEFORE_RCPT: Final = (*CONNECTION_STAGES, Stage.MAIL)
_BEHIND_RCPT: Final = (Stage.DATA, Stage.END_OF_HEADERS, Stage.END_OF_DATA)
_NO_SCORE: Final = Scale()
_SKIP: Final = SkipFilters()
NOTHING: Final[Mapping[str, Verdict]] = {}
_EXEMPT: Final = Disposition(scl=EXEMPT_SCL)

Verdicts = tuple[Verdict, ...]
Logged = tuple[Stage, Recipient | None, Disposition]


class Hearing:
    """Made by PolicyRunner.hearing() for each session; asked by the conversation, one command at a time."""

    __slots__ = (
        "_accepted",
        "_alarm",
        "_asked",
        "_audience",
        "_behind",
        "_docket",
        "_is_allowed",
        "_is_internal",
        "_knowledge",
        "_log",
        "_own_domains",
        "_panels",
        "_panels_now",
        "_panels_of",
        "_refused",
        "_revision",
        "_said",
        "_said_of",
        "_scale",
        "_session",
        "_skipped_of",
        "fact",
    )

    def __init__(
        self,
        docket: Docket,
        *,
        accepted: AcceptedDomains,
        scale: Scale,
        deadline_s: float,
        revision: str,
        alarm: Alarm,
        questions_per_mail: int = QUESTIONS_PER_MAIL,
    ) -> None:
        self._docket = docket
        self._behind = docket.behind
        self._panels_of: Sequence[Mapping[Stage, Panel]] = docket.panels
        self._skipped_of = docket.skipped
        self._is_allowed = False
        self._own_domains = accepted
        self._is_internal = False
        """The client's: whose mail it is, its senders decide."""
        self._audience = Audience.EXTERNAL
        self._panels_now: Mapping[Stage, Panel] = docket.panels[Audience.EXTERNAL]
        self._session: Session | None = None
        self._scale = scale
        self._revision = revision
        self._alarm = alarm
        self._knowledge = Knowledge(
            alarm, docket.kept, deadline_s=deadline_s, questions_per_mail=questions_per_mail
        )
        self.fact = self._knowledge.fact
        """A fact about the connection or the mail, if it is known by now: itself, Unknown, or None."""
        self._asked: dict[Stage, Panel] = {}
        self._said: dict[Stage, Verdicts] = {}
        self._said_of: dict[Address, Verdicts] = {}
        # Dictionaries, whose keys have an order: empty, they take a tenth of a set and a deque.
        self._accepted: dict[Address, None] = {}
        self._refused: dict[Address, None] = {}
        self._log: list[Logged] = []

    def ask(self, view: MailView) -> Disposition | Coroutine[Any, Any, Disposition]:
        """The opinions of view.stage's agents, folded for this command.

        The disposition itself when every fact is known or found without waiting; else a
        coroutine. At DISCONNECT whatever is still being found out is stopped.
        """
        pending = self._find_out(view)
        panel = self._panels_now[view.stage]
        if pending or panel.elsewhere:
            return self._answer_later(panel, view, pending)
        return self._answer(panel, view)

    def has_nobody_to_ask(self, stage: Stage, session: Session) -> bool:
        """No agent speaks at this stage and nothing is found out early: `ask` would pass in silence."""
        panels = self._panels_now if session is self._session else self._panels_for(session)
        return panels[stage].is_empty and not self._is_internal

    def decide(self, view: MailView) -> tuple[Decision, ...] | Coroutine[Any, Any, tuple[Decision, ...]]:
        """At the end of the data: asks END_OF_HEADERS, then END_OF_DATA; one decision for each recipient.

        Raises ValueError without an envelope.
        """
        if view.envelope is None:
            raise ValueError("a mail has an envelope")
        views = (_at_end_of_headers(view), view)
        for number, stage_view in enumerate(views):
            pending = self._find_out(stage_view)
            if pending or self._panels_now[stage_view.stage].elsewhere:
                return self._decide_later(views[number:], pending)
            self._hear(self._panels_now[stage_view.stage], stage_view)
            if stage_view is not view and self._said and self._refuses_all(stage_view.stage):
                break
        return self._decisions(view)

    async def _decide_later(
        self, views: tuple[MailView, ...], pending: Sequence[Pending]
    ) -> tuple[Decision, ...]:
        for view in views:
            pending = pending or self._find_out(view)
            if pending:
                await self._knowledge.wait(pending)
            pending = ()
            panel = self._panels_now[view.stage]
            self._hear(panel, view, await self._ask_elsewhere(panel, view))
            if self._refuses_all(view.stage):
                break
        return self._decisions(views[-1])

    def _find_out(self, view: MailView) -> Sequence[Pending]:
        """Begin what later stages need, gather what this one needs; returns what has to be waited for."""
        if view.session is self._session and not self._is_internal:
            panel = self._panels_now[view.stage]
        else:
            panel = self._panel_for(view)
        if panel.early:
            self._knowledge.gather(panel.early, view)
        return self._knowledge.gather(panel.gatherings, view) if panel.gatherings else ()

    def forget_mail(self) -> None:
        """RSET, EHLO, and after the answer to the end of data: nothing of the transaction stays (I4)."""
        self._knowledge.forget_mail()
        in_mail = _MAIL in self._asked
        for stages in (self._said, self._asked):
            for stage in [stage for stage in stages if stage not in CONNECTION_STAGES]:
                del stages[stage]
        self._said_of.clear()
        self._accepted.clear()
        self._refused.clear()
        if self._is_allowed and self._behind is not None:
            self._forget_allowed_origin(self._behind)
        # What was said of the connection is not in the log yet when no mail has begun.
        self._log = [] if in_mail else [entry for entry in self._log if entry[0] in CONNECTION_STAGES]

    def forget_connection(self) -> None:
        """After STARTTLS and AUTH: what was said in the clear, or of somebody else, counts no more."""
        self.forget_mail()
        self._knowledge.forget_identity()
        for stage in (Stage.HELO, Stage.STARTTLS, Stage.AUTH):
            self._said.pop(stage, None)
            self._asked.pop(stage, None)

    def forget_client(self) -> None:
        """After XCLIENT: the client is another one, and nothing was found out or said about it."""
        self.forget_mail()
        self._knowledge.forget_client()
        self._is_allowed, self._session = False, None
        self._panels_of, self._skipped_of = self._docket.panels, self._docket.skipped
        self._said.clear()
        self._asked.clear()
        self._log = []

    def close(self) -> None:
        """The session is over."""
        self._knowledge.close()

    @property
    def facts(self) -> Iterable[Any]:
        """What is known of connection and mail, unknown facts included."""
        return self._knowledge.facts

    @property
    def verdict_log(self) -> tuple[Logged, ...]:
        """Every disposition since the last forget_mail that was more than silence, for the agent log."""
        return tuple(self._log)

    def dossier(
        self, view: MailView, decisions: tuple[Decision, ...] = (), *, besides: Iterable[Any] = ()
    ) -> bytes:
        """Facts, verdicts and dispositions as bytes: what explain and replay read.

        besides: facts that no agent asked for.
        """
        writer = DossierWriter()
        writer.add_facts((*self._knowledge.facts, *besides))
        for address, facts in self._knowledge.of_recipients.items():
            writer.add_facts_of(str(address), facts.values())
        for stage in self._said:
            writer.add_verdicts(stage, self._said[stage], self._scale)
        for address, verdicts in self._said_of.items():
            writer.add_verdicts(_RCPT, verdicts, self._scale, str(address))
        exempt = self._is_exempt()
        return writer.encoded(
            view,
            decisions,
            revision=self._revision,
            scale=replace(self._scale, exempt=True) if exempt else self._scale,
            asked=tuple(
                [(stage._value_, panel.names) for stage, panel in self._asked.items() if panel.names]
            ),
            skipped=self._skipped_of[self._audience],
        )

    def _panel_for(self, view: MailView) -> Panel:
        panels = self._panels_for(view.session)
        if self._is_internal:
            panels = self._panels_for_sender(view)
        return panels[view.stage]

    def _panels_for_sender(self, view: MailView) -> Mapping[Stage, Panel]:
        """Of an internal client: what it passes on for others is external mail (Exchange's definition)."""
        is_ours = view.envelope is None or self._own_domains.holds_own(view.envelope.sender.domain)
        self._audience = _INTERNAL if is_ours else _EXTERNAL
        self._panels_now = self._panels_of[self._audience]
        return self._panels_now

    def _panels_for(self, session: Session) -> Mapping[Stage, Panel]:
        if session is not self._session:  # rights change with EHLO, STARTTLS and AUTH only
            self._session = session
            if self._behind is not None:
                self._choose_panels(self._behind, session)
            self._audience = Audience.of(session.rights)
            self._is_internal = self._audience is _INTERNAL
            self._panels_now = self._panels_of[self._audience]
        return self._panels_now

    def _choose_panels(self, behind: BehindRelays, session: Session) -> None:
        """Of a relay of ours: what was found out about the origin was about another mail's, or about the relay."""
        if self._is_allowed:
            return
        if session.client_ip not in behind.relays:
            self._panels_of, self._skipped_of = self._docket.panels, self._docket.skipped
            return
        self._knowledge.forget_origin()
        if session.origin_ip == session.client_ip:
            self._panels_of, self._skipped_of = behind.unknown, behind.unknown_skipped
        else:
            self._panels_of, self._skipped_of = behind.known, behind.known_skipped

    def _forget_allowed_origin(self, behind: BehindRelays) -> None:
        """The next mail of a relay of ours has another origin."""
        if self._panels_of is behind.allowed:
            self._is_allowed, self._session = False, None
            self._panels_of, self._skipped_of = behind.unknown, behind.unknown_skipped

    def _is_exempt(self) -> bool:
        if self._is_allowed and self._docket.allowed_are_exempt:
            return True
        return self._panels_of[_BYPASSING] is self._panels_now

    def _spare(self, view: MailView) -> frozenset[str]:
        """Who is judged is on an allow list: from now on, ask only whom it is not spared; their names at this stage."""
        if self._docket.allowed:
            self._is_allowed = True
            self._panels_of, self._skipped_of = self._docket.allowed, self._docket.skipped_of_allowed
            if self._behind is not None and view.session.client_ip in self._behind.relays:
                self._panels_of, self._skipped_of = self._behind.allowed, self._behind.allowed_skipped
            self._session = None  # the next view chooses its panels anew
        return frozenset(self._panel_for(view).names)

    async def _answer_later(self, panel: Panel, view: MailView, pending: Sequence[Pending]) -> Disposition:
        if pending:
            await self._knowledge.wait(pending)
        return self._answer(panel, view, await self._ask_elsewhere(panel, view))

    async def _ask_elsewhere(self, panel: Panel, view: MailView) -> Mapping[str, Verdict]:
        """The opinions of those who are asked in scan workers, all at once; without those that lack a fact."""
        about = view.recipient.address if view.recipient is not None else None
        asked = [
            agent
            for agent in panel.elsewhere
            if not self._knowledge.unknown_among(agent.needs[view.stage], about)
        ]
        said = await asyncio.gather(*(agent.opinion(view, self._knowledge.known) for agent in asked))
        return {
            agent.name: without(agent, (opinion,)) if isinstance(opinion, Unknown) else opinion
            for agent, opinion in zip(asked, said, strict=True)
        }

    def _answer(
        self, panel: Panel, view: MailView, elsewhere: Mapping[str, Verdict] = NOTHING
    ) -> Disposition:
        verdicts = self._hear(panel, view, elsewhere)
        disposition = decide(verdicts, _NO_SCORE) if verdicts else PASSED
        if view.recipient is not None and view.stage is _RCPT:
            self._remember(view.recipient.address, verdicts, refused=disposition.reply is not None)
        if disposition is not PASSED and len(self._log) < LOG_LIMIT:
            self._log.append((view.stage, view.recipient, disposition))
        if view.stage is _DISCONNECT:
            self.close()
        return disposition

    def _hear(self, panel: Panel, view: MailView, elsewhere: Mapping[str, Verdict] = NOTHING) -> Verdicts:
        """Every opinion that is more than a silent PASS, kept for the end of the data.

        elsewhere: what was said in scan workers, by agent.
        """
        stage, knowledge = view.stage, self._knowledge
        known = knowledge.known
        self._asked[stage] = panel
        heard: list[Verdict] | None = None
        left: frozenset[str] | None = None
        for agent, name, needs in panel.asked:
            if left is not None and name not in left:
                continue
            try:
                if elsewhere and name in elsewhere:
                    verdict = elsewhere[name]
                elif knowledge.has_unknowns and (unknown := self._unknown_of(needs, view)):
                    verdict = without(agent, unknown)
                else:
                    verdict = agent.examine(view, known)
                    if type(verdict) is not Verdict or verdict.agent != name:
                        raise TypeError(
                            f"examine() must give a Verdict in the agent's own name, not {verdict!r:.100}"
                        )
            # An edge: a bug in an agent must never let mail through, nor bounce it.
            except (Exception, SystemExit) as error:  # noqa: BLE001  # a documented edge
                verdict = self._bug(name, stage, error)
            if verdict.is_silent:
                continue
            heard = [*(heard or ()), verdict]
            if _SKIP in verdict.effects:
                left = self._spare(view)
        verdicts = tuple(heard) if heard is not None else ()
        if stage is not _RCPT:
            if verdicts:
                self._said[stage] = verdicts
            elif self._said:
                self._said.pop(stage, None)
        return verdicts

    def _unknown_of(self, needs: tuple[type[Any], ...], view: MailView) -> tuple[Unknown, ...]:
        recipient = view.recipient.address if view.recipient is not None else None
        return self._knowledge.unknown_among(needs, recipient)

    def _bug(self, name: str, stage: Stage, error: BaseException) -> Verdict:
        self._alarm.bug_in_agent(name, stage.value, error)
        return Verdict.defer(name, OUR_FAULT, f"the agent has a bug ({type(error).__name__})")

    def _remember(self, address: Address, verdicts: Verdicts, *, refused: bool) -> None:
        """What was said of a recipient. A refusal of one that is accepted already changes nothing."""
        if refused:
            if address not in self._accepted:
                self._said_of[address] = verdicts
                self._keep_few_refused(address)
            return
        self._accepted[address] = None
        if verdicts:
            self._said_of[address] = verdicts
        else:
            self._said_of.pop(address, None)

    def _keep_few_refused(self, address: Address) -> None:
        self._refused.setdefault(address)
        if len(self._refused) > REFUSED_LIMIT:
            oldest = next(iter(self._refused))
            del self._refused[oldest]
            if oldest not in self._accepted:
                self._said_of.pop(oldest, None)
                self._knowledge.forget_recipient(oldest)

    def _refuses_all(self, stage: Stage) -> bool:
        """Somebody refuses or defers the mail for every recipient: nobody else needs to look."""
        if stage not in self._said:
            return False
        return any(v.action >= _DEFER and v.recipients is None for v in self._said[stage])

    def _decisions(self, view: MailView) -> tuple[Decision, ...]:
        recipients = view.envelope.recipients if view.envelope is not None else ()
        if not self._said and not self._said_of and not self._scale.speaks_of_nothing:
            silent = _EXEMPT if self._is_exempt() else PASSED
            return tuple([Decision(recipient=recipient, disposition=silent) for recipient in recipients])
        scale = replace(self._scale, exempt=True) if self._is_exempt() else self._scale
        before, behind = self._all_said()
        about = {id(v): frozenset(v.recipients) for v in (*before, *behind) if v.recipients is not None}
        if not about and not self._said_of:  # nearly every mail: all recipients come to the same
            same = self._fold((*before, *behind), scale, answered=len(before))
            decisions = [Decision(recipient=recipient, disposition=same) for recipient in recipients]
            self._log_end(view, decisions)
            return tuple(decisions)
        folded: dict[tuple[int, ...], Disposition] = {}
        decisions = []
        for recipient in recipients:
            own = self._said_of.get(recipient.address, ()) if self._said_of else ()
            earlier, later = (*before, *own), behind
            if about:
                everybody = frozenset({recipient.address})
                earlier, later = (
                    tuple(v for v in said if recipient.address in about.get(id(v), everybody))
                    for said in (earlier, later)
                )
            key = tuple(map(id, (*earlier, *later)))
            disposition = folded.get(key)
            if disposition is None:
                disposition = folded[key] = self._fold((*earlier, *later), scale, answered=len(earlier))
            decisions.append(Decision(recipient=recipient, disposition=disposition))
        self._log_end(view, decisions)
        return tuple(decisions)

    def _all_said(self) -> tuple[Verdicts, Verdicts]:
        """Before RCPT and behind it, in the order of the stages."""
        before: Verdicts = ()
        behind: Verdicts = ()
        said = self._said
        if said:
            for stage in _BEFORE_RCPT:
                if stage in said:
                    before += said[stage]
            for stage in _BEHIND_RCPT:
                if stage in said:
                    behind += said[stage]
        return before, behind

    def _fold(self, verdicts: Verdicts, scale: Scale, *, answered: int) -> Disposition:
        if not verdicts and scale.exempt:
            return _EXEMPT
        return stamped(decide(verdicts, scale, answered=answered), scale)

    def _log_end(self, view: MailView, decisions: Sequence[Decision]) -> None:
        """One entry for all recipients that came to the same."""
        log = self._log
        several = len(decisions) > 1
        for decision in {id(d.disposition): d for d in decisions}.values() if several else decisions:
            said = decision.disposition
            if said is not PASSED and said is not _EXEMPT and len(log) < LOG_LIMIT:
                log.append((view.stage, None if several else decision.recipient, said))


def _at_end_of_headers(view: MailView) -> MailView:
    """The same mail a moment earlier. (dataclasses.replace takes twice as long.)"""
    return MailView(
        stage=_END_OF_HEADERS,
        session=view.session,
        now=view.now,
        envelope=view.envelope,
        head=view.head,
        form=view.form,
        size_bytes=view.size_bytes,
        content=view.content,
    )
