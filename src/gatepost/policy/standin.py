"""Agents and facts of third parties as the worker asks them: with a fuse before them (threats P03)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gatepost.facts.gathering import Gathering
from gatepost.model.known import Known, MailView, Unknown
from gatepost.model.reply import Reply
from gatepost.model.verdict import Action, Finding, Stage, Verdict
from gatepost.policy.agent import (
    Agent,
    judges_origin,
    silent_behind_relays,
    unknown_reply_of,
    wants_of,
    without,
)
from gatepost.policy.fuses import Fuses


@dataclass(frozen=True, slots=True)
class Standin:
    """Says everything of itself that the inner agent says."""

    inner: Agent
    fuses: Fuses
    name: str = field(init=False)
    needs: Mapping[Stage, tuple[type[Any], ...]] = field(init=False)
    wants: Mapping[Stage, tuple[type[Any], ...]] = field(init=False)
    when_unknown: Action = field(init=False)
    is_filter: bool = field(init=False)
    findings: tuple[Finding, ...] = field(init=False)
    judges_origin: bool = field(init=False)
    silent_behind_relays: str = field(init=False)
    unknown_reply: Reply = field(init=False)

    def __post_init__(self) -> None:
        inner = self.inner
        for name, value in {
            "name": inner.name,
            "needs": inner.needs,
            "wants": wants_of(inner),
            "when_unknown": inner.when_unknown,
            "is_filter": inner.is_filter,
            "findings": inner.findings,
            "judges_origin": judges_origin(inner),
            "silent_behind_relays": silent_behind_relays(inner),
            "unknown_reply": unknown_reply_of(inner),
        }.items():
            object.__setattr__(self, name, value)

    @property
    def plug_in(self) -> str:
        """What its fuse calls it."""
        return f"agent {self.name}"

    def unasked(self) -> Verdict | None:
        """What it stands for while it is switched off; None: it is asked."""
        why = self.fuses.why_off(self.plug_in)
        if not why:
            return None
        unknown = Unknown(f"opinion of {self.name}", why)
        if self.fuses.defers(self.name):
            return Verdict.defer(self.name, self.unknown_reply, why, because=(unknown,))
        return without(self, (unknown,))

    def examine(self, mail: MailView, known: Known, /) -> Verdict:
        """Its opinion, found out in this process."""
        return self.unasked() or self.fuses.run(self.plug_in, self._examined, mail, known)

    def _examined(self, mail: MailView, known: Known) -> Verdict:
        verdict = self.inner.examine(mail, known)
        if type(verdict) is not Verdict or verdict.agent != self.name:
            raise TypeError(f"examine() must give a Verdict in the agent's own name, not {verdict!r:.100}")
        return verdict


def fused(gathering: Gathering, fuses: Fuses) -> Gathering:
    """The same fact, unknown while it is switched off."""
    name, kind = gathering.fact.name, gathering.fact
    plug_in = f"fact {name}"

    def begin(find: Callable[..., Any], *arguments: Any) -> Any:
        if why := fuses.why_off(plug_in):
            return Unknown(name, why)
        found = fuses.run(plug_in, find, *arguments)
        if isinstance(found, Coroutine) and not isinstance(found, kind):
            return _Watched(found, kind, fuses, plug_in)
        return _checked(found, kind, fuses, plug_in)

    return replace(
        gathering,
        find=partial(begin, gathering.find) if gathering.find is not None else None,
        find_from=partial(begin, gathering.find_from) if gathering.find_from is not None else None,
    )


class _Watched(Coroutine[Any, Any, Any]):
    """A gatherer that waits: each of its steps is watched, and what it gives in the end."""

    def __init__(self, inner: Coroutine[Any, Any, Any], kind: type[Any], fuses: Fuses, plug_in: str) -> None:
        self._inner = inner
        self._kind = kind
        self._fuses = fuses
        self._plug_in = plug_in

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> _Watched:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        """As any coroutine."""
        return self._stepped(partial(self._inner.send, value))

    def throw(self, *error: Any) -> Any:
        """As any coroutine."""
        return self._stepped(partial(self._inner.throw, *error))

    def close(self) -> None:
        """As any coroutine."""
        self._inner.close()

    def _stepped(self, step: Callable[[], Any]) -> Any:
        is_over, value = self._fuses.run(self._plug_in, _ended, step)
        if is_over:
            raise StopIteration(_checked(value, self._kind, self._fuses, self._plug_in))
        return value


def _ended(step: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether the coroutine is over, and what it gave or waits for."""
    try:
        return False, step()
    except StopIteration as end:
        return True, end.value


def _checked(found: Any, kind: type[Any], fuses: Fuses, plug_in: str) -> Any:
    """What was found, whatever it is: whoever asked says what nonsense means."""
    if not isinstance(found, (kind, Unknown)):
        fuses.fault(plug_in, f"found a {type(found).__name__} instead of a {kind.__name__}")
    return found
