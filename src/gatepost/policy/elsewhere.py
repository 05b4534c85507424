"""An agent of a third party as the worker sees it: its opinion comes from a scan worker (threats P02, P03, T04)."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pickle import PicklingError
from typing import Final

from gatepost.model.content import SpooledBody
from gatepost.model.fault import WorldFault
from gatepost.model.known import Known, MailView, Unknown
from gatepost.model.reply import OUR_FAULT
from gatepost.model.verdict import Action, Stage, Verdict
from gatepost.policy.alarm import Alarm
from gatepost.policy.scan_question import Bug, Question, decode_answer, encode_question
from gatepost.policy.standin import Standin
from gatepost.ports.scanning import ScanDied, Scanner
from gatepost.ports.shared import SharedState

SPACE: Final = "scan-deaths"
"""In the shared state: how often one mail killed a scan worker."""
REMEMBERED_S: Final = 86400.0
_CONTENT_STAGES: Final = (Stage.END_OF_HEADERS, Stage.END_OF_DATA)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanPool:
    """Where opinions are asked for. deaths: by one mail, after which it is not looked at any more."""

    scanner: Scanner
    shared: SharedState
    alarm: Alarm
    deaths: int


@dataclass(frozen=True, slots=True)
class Elsewhere(Standin):
    """Everything the inner agent says of itself, and its opinion from another process."""

    pool: ScanPool

    def examine(self, _mail: MailView, _known: Known, /) -> Verdict:
        """Never called: whoever asks waits for `opinion`. Raises TypeError."""
        raise TypeError(f"{self.name} is asked in a scan worker")

    async def opinion(self, mail: MailView, known: Known) -> Verdict | Unknown:
        """What it says of the mail; Unknown when no scan worker could be asked.

        A mail that kills the scan worker is put off (451), and after so many deaths quarantined unread.
        """
        if (unasked := self.unasked()) is not None:
            return unasked
        mark = _mark_of(self.name, mail)
        if mark and (deaths := self._deaths(mark, mail.now)) >= self.pool.deaths:
            return self._held(deaths)
        kinds = (*self.needs[mail.stage], *self.wants.get(mail.stage, ()))
        question = Question.of(self.name, kinds, mail, known)
        try:
            octets = await self.pool.scanner.ask(encode_question(question))
            answer = decode_answer(octets, question, {finding.name: finding for finding in self.findings})
        except ScanDied as fault:
            return self._died(mark, mail, fault)
        except WorldFault as fault:
            return Unknown(self._unknown, fault.reason)
        except (ValueError, TypeError, AttributeError, PicklingError) as error:
            self.pool.alarm.bug_in_agent(self.name, mail.stage.value, error)
            self.fuses.fault(self.plug_in, type(error).__name__, mark=mark)
            return Verdict.defer(self.name, OUR_FAULT, f"it was not understood ({type(error).__name__})")
        if isinstance(answer, Bug):
            self.pool.alarm.bug_elsewhere(self.name, mail.stage.value, answer.error, answer.trace)
            self.fuses.fault(self.plug_in, answer.error, mark=mark)
            return Verdict.defer(self.name, OUR_FAULT, f"the agent has a bug ({answer.error})")
        return answer

    @property
    def _unknown(self) -> str:
        return f"opinion of {self.name}"

    def _died(self, mark: str, mail: MailView, fault: ScanDied) -> Verdict | Unknown:
        self.fuses.fault(self.plug_in, fault.reason, mark=mark)
        if not mark:
            self.pool.alarm.scan_died(self.name, mail.stage.value, mail.session.session_id, 1)
            return Unknown(self._unknown, fault.reason)
        self.pool.shared.add(
            SPACE,
            mark,
            (1.0,),
            fading=math.inf,
            now=mail.now,
            expires_at=mail.now + REMEMBERED_S,
        )
        deaths = self._deaths(mark, mail.now)
        self.pool.alarm.scan_died(self.name, mail.stage.value, mail.session.session_id, deaths)
        if deaths >= self.pool.deaths:
            return self._held(deaths)
        return Verdict.defer(self.name, OUR_FAULT, f"{fault.reason} ({deaths} of {self.pool.deaths})")

    def _deaths(self, mark: str, now: float) -> int:
        counts = self.pool.shared.counts(SPACE, mark, fading=math.inf, now=now)
        return round(counts[0]) if counts else 0

    def _held(self, deaths: int) -> Verdict:
        return Verdict(
            agent=self.name,
            action=Action.QUARANTINE,
            reason=f"the mail killed the scan worker {deaths} times: it is held unread",
            unless="the agent could look at it within its limits",
        )


def _mark_of(agent: str, mail: MailView) -> str:
    """By what a mail is known that is sent again: what was received; "" where nothing was yet."""
    if mail.stage not in _CONTENT_STAGES:
        return ""
    digest = hashlib.sha256(mail.content.head if mail.content is not None else mail.head)
    if mail.content is not None:
        body = mail.content.body
        digest.update(b"%d %d" % (body.crc32, body.size_bytes) if isinstance(body, SpooledBody) else body)
    return f"{agent} {digest.hexdigest()}"
