"""Finds out the facts that agents need: each once, those that wait together, all under one deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CoroutineType
from typing import Any, Final

from gatepost.facts.first_step import Rest, begun
from gatepost.facts.gathering import Gathering
from gatepost.model.address import Address
from gatepost.model.fault import Fault
from gatepost.model.known import Known, MailView, Scope, Unknown
from gatepost.model.origin import origin_of
from gatepost.policy.alarm import Alarm
from gatepost.ports.resolver import ASKING_FOR, QuestionBudget

# Read for every fact of every command: see policy.hearing.
_OF_RECIPIENT: Final = Scope.RECIPIENT
_OF_CONNECTION: Final = Scope.CONNECTION
REASON_LIMIT_CHARS: Final = 200
QUESTIONS_PER_MAIL: Final = 200
"""Unless the settings say otherwise: what the facts about one mail may ask the DNS (threats M14)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A fact on its way."""

    gathering: Gathering
    recipient: Address | None
    task: asyncio.Task[Any]


Key = tuple[type[Any], Address | None]


class Knowledge:
    """What one SMTP session knows. A fact that cannot be found out is Unknown, whatever the cause (I9)."""

    __slots__ = (
        "_alarm",
        "_asks_for",
        "_budget",
        "_deadline_s",
        "_facts",
        "_kept",
        "_of_recipient",
        "_questions_per_mail",
        "_running",
        "fact",
        "has_unknowns",
        "known",
    )

    def __init__(
        self,
        alarm: Alarm,
        kept: dict[type[Any], Gathering] | None = None,
        *,
        deadline_s: float,
        questions_per_mail: int = QUESTIONS_PER_MAIL,
    ) -> None:
        """kept: how each fact is found out; filled as they are, shared by sessions. None: its own."""
        self._alarm = alarm
        self._deadline_s = deadline_s
        self._questions_per_mail = questions_per_mail
        self._budget = QuestionBudget(questions_per_mail)
        self._asks_for = ""
        """The address for whose mail facts are found out."""
        self._facts: dict[type[Any], Any] = {}
        self.fact: Callable[[type[Any]], Any] = self._facts.get
        """A fact about connection or mail: itself, Unknown, or None when nobody found it out."""
        self._of_recipient: dict[Address, dict[type[Any], Any]] = {}
        self._kept: dict[type[Any], Gathering] = {} if kept is None else kept
        self._running: dict[Key, Pending] = {}
        self.has_unknowns = False
        """Of nearly every session: then nobody needs to look for them."""
        self.known = Known(self._facts, self._of_recipient)

    def gather(self, gatherings: Iterable[Gathering], mail: MailView) -> Sequence[Pending]:
        """Find out what can be found out without waiting; returns what has to be waited for."""
        waiting: list[Pending] = []
        self._asks_for = mail.session.origin_ip
        facts, kept, known = self._facts, self._kept, self.known
        about = mail.recipient.address if mail.recipient is not None else None
        of_recipient = facts if about is None else self._place_of(about)
        for gathering in gatherings:
            kind, find = gathering.fact, gathering.find
            recipient, place = None, facts
            if gathering.scope is _OF_RECIPIENT:
                recipient, place = about, of_recipient
            if kind in place:
                continue
            if self._running:  # seldom: then it, or what it stands on, may be on its way
                waiting += self._gather_beside(gathering, mail, recipient, place)
                continue
            try:
                found = find(mail) if find is not None else gathering.begin(mail, known)
            # An edge: whatever a gatherer does, the fact is unknown and the mail goes on.
            except (Exception, SystemExit) as error:  # noqa: BLE001  # a documented edge
                found = self._unknown(gathering, error)
            if type(found) is not kind:
                found = self._settled(gathering, found)
                if isinstance(found, asyncio.Task):
                    waiting.append(self._pending(gathering, recipient, found))
                    continue
            place[kind] = found
            kept[kind] = gathering
        return waiting

    def _gather_beside(
        self, gathering: Gathering, mail: MailView, recipient: Address | None, place: dict[type[Any], Any]
    ) -> tuple[Pending, ...]:
        """Beside facts that are on their way: empty when it is known now; else what has to be waited for."""
        pending = self._running.get((gathering.fact, recipient))
        if pending is None:
            found = self._begin_behind(gathering, mail)
            if not isinstance(found, asyncio.Task):
                place[gathering.fact] = found
                self._kept[gathering.fact] = gathering
                return ()
            pending = self._pending(gathering, recipient, found)
        if not pending.task.done():
            return (pending,)
        self._take(pending)
        return ()

    def _pending(self, gathering: Gathering, recipient: Address | None, task: asyncio.Task[Any]) -> Pending:
        pending = self._running[gathering.fact, recipient] = Pending(gathering, recipient, task)
        return pending

    async def wait(self, pending: Sequence[Pending]) -> None:
        """Until all are known, at most the deadline; what is not known then is Unknown."""
        try:
            await asyncio.wait([one.task for one in pending], timeout=self._deadline_s)
        finally:
            for one in pending:
                if not one.task.done():
                    one.task.cancel()
                self._take(one)

    def unknown_among(self, kinds: Iterable[type[Any]], recipient: Address | None) -> tuple[Unknown, ...]:
        """The facts of these types that could not be found out, about the mail or the recipient."""
        if not self.has_unknowns:
            return ()
        of_recipient = self._of_recipient.get(recipient) if recipient is not None else None
        found = []
        for kind in kinds:
            fact = self._facts.get(kind)
            if fact is None and of_recipient is not None:
                fact = of_recipient.get(kind)
            if isinstance(fact, Unknown):
                found.append(fact)
        return tuple(found)

    def forget_mail(self) -> None:
        """Everything about the transaction and its recipients; what is on its way is stopped."""
        kept, facts = self._kept, self._facts
        if facts:
            for kind in [kind for kind in facts if kept[kind].scope is not _OF_CONNECTION]:
                del facts[kind]
        self._of_recipient.clear()
        if self._running:
            self._stop(lambda gathering: gathering.scope is not _OF_CONNECTION)
        if self._budget.left != self._questions_per_mail:
            self._budget = QuestionBudget(self._questions_per_mail)  # what is on its way keeps the old one

    def forget_identity(self) -> None:
        """What depends on who the peer says it is, too."""
        self._forget(lambda gathering: gathering.scope is not _OF_CONNECTION or gathering.of_identity)
        self._of_recipient.clear()

    def forget_origin(self) -> None:
        """What is about session.origin_ip: it is another one."""
        self._forget(lambda gathering: gathering.of_origin)

    def forget_client(self) -> None:
        """All of it."""
        self._forget(lambda _: True)
        self._of_recipient.clear()

    def forget_recipient(self, recipient: Address) -> None:
        """Everything about one recipient."""
        self._of_recipient.pop(recipient, None)

    def close(self) -> None:
        """Stop what is on its way."""
        for pending in self._running.values():
            pending.task.cancel()
        self._running.clear()

    @property
    def facts(self) -> Iterable[Any]:
        """Of connection and mail, unknown ones included."""
        return self._facts.values()

    @property
    def of_recipients(self) -> Mapping[Address, Mapping[type[Any], Any]]:
        """Of each recipient asked about."""
        return self._of_recipient

    def _place_of(self, recipient: Address) -> dict[type[Any], Any]:
        place = self._of_recipient.get(recipient)
        if place is None:
            place = self._of_recipient[recipient] = {}
        return place

    def _begin_behind(self, gathering: Gathering, mail: MailView) -> Any:
        """Begin what stands on other facts, once those that are on their way have come."""
        before = [self._running[kind, None] for kind in gathering.stands_on if (kind, None) in self._running]
        if not before:
            return self._begin(gathering, mail)
        return asyncio.ensure_future(self._find_behind(gathering, mail, before))

    async def _find_behind(self, gathering: Gathering, mail: MailView, before: Sequence[Pending]) -> Any:
        await asyncio.wait([one.task for one in before])
        for one in before:
            self._take(one)
        found = self._begin(gathering, mail)
        return await found if isinstance(found, asyncio.Task) else found

    def _begin(self, gathering: Gathering, mail: MailView) -> Any:
        """The fact, Unknown, or the task that will find it."""
        try:
            found = gathering.begin(mail, self.known)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a documented edge, as in gather
            return self._unknown(gathering, error)
        return self._settled(gathering, found)

    def _settled(self, gathering: Gathering, found: Any) -> Any:
        """What a gatherer gave: the fact, Unknown, or the task that will find it."""
        if type(found) is not CoroutineType and (
            isinstance(found, gathering.fact) or not isinstance(found, Coroutine)
        ):
            return self._checked(gathering, found)
        own = gathering.own_questions
        # The task keeps it, the conversation does not.
        budget = QuestionBudget(own) if own else self._budget
        budget.network = _network_of(self._asks_for)
        outside = ASKING_FOR.set(budget)
        try:
            rest = begun(found) if gathering.begins_at_once else found
            if type(rest) is gathering.fact or not isinstance(rest, Rest | Coroutine):
                return self._checked(gathering, rest)
            task = asyncio.ensure_future(self._find(gathering, rest))
        except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001  # as in gather
            return self._unknown(gathering, error)
        finally:
            ASKING_FOR.reset(outside)
        # It may be stopped before it has begun.
        task.add_done_callback(rest.dropped if isinstance(rest, Rest) else lambda _: found.close())
        return task

    async def _find(self, gathering: Gathering, finding: Awaitable[Any]) -> Any:
        try:
            return self._checked(gathering, await finding)
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a documented edge, as in gather
            return self._unknown(gathering, error)

    def _checked(self, gathering: Gathering, found: Any) -> Any:
        if type(found) is gathering.fact or isinstance(found, gathering.fact):
            return found
        if isinstance(found, Unknown):
            self.has_unknowns = True
            return found
        error = TypeError(f"found a {type(found).__name__} instead of a {gathering.fact.__name__}")
        return self._unknown(gathering, error)

    def _unknown(self, gathering: Gathering, error: BaseException) -> Unknown:
        name = gathering.fact.name
        self.has_unknowns = True
        if isinstance(error, Fault):
            return Unknown(name, error.reason[:REASON_LIMIT_CHARS])
        if isinstance(error, TimeoutError):
            return Unknown(name, "no answer in time")
        self._alarm.bug_in_fact(name, error)
        return Unknown(name, f"a bug in its gatherer ({type(error).__name__})")

    def _take(self, pending: Pending) -> None:
        """Put what was found where agents read it, unless it was forgotten meanwhile."""
        gathering, recipient, task = pending.gathering, pending.recipient, pending.task
        if self._running.pop((gathering.fact, recipient), None) is not pending:
            return
        late = task.cancelled() or not task.done()
        self.has_unknowns = self.has_unknowns or late
        fact = (
            Unknown(gathering.fact.name, f"not known within {self._deadline_s:g} s")
            if late
            else task.result()
        )
        place = self._facts if recipient is None else self._place_of(recipient)
        place[gathering.fact] = fact
        self._kept[gathering.fact] = gathering

    def _forget(self, is_over: Callable[[Gathering], bool]) -> None:
        for kind in [kind for kind in self._facts if is_over(self._kept[kind])]:
            del self._facts[kind]
        self._stop(is_over)

    def _stop(self, is_over: Callable[[Gathering], bool]) -> None:
        for key in [key for key, pending in self._running.items() if is_over(pending.gathering)]:
            self._running.pop(key).task.cancel()


@lru_cache(maxsize=4096)
def _network_of(address: str) -> str:
    """Whose questions are counted together; "" for what is no address."""
    try:
        origin = origin_of(address)
    except ValueError:
        return ""
    return origin.site or origin.network
