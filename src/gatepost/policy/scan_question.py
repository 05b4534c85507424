"""What is asked of a scan worker and what it answers, as octets.

The question is pickled: its sender is the trusted side, and facts may be of any type. The answer comes from
a process that a hostile mail may have taken over: it is read by a schema, and nothing in it is believed that
an agent could not have said.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gatepost.model.address import Address
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.verdict import (
    Action,
    AddHeader,
    BlockClient,
    DelayReply,
    Finding,
    HangUp,
    LimitReached,
    Remember,
    RemoveHeader,
    SkipFilters,
    Tally,
    Verdict,
)
from gatepost.policy.third_party import FILE_MODULES

ITEMS_LIMIT: Final = 1000
"""Findings, facts, recipients, edits and effects of one answer, of each kind."""
TEXT_LIMIT_CHARACTERS: Final = 2000
_EDITS: Final[dict[str, type[Any]]] = {kind.__name__: kind for kind in (AddHeader, RemoveHeader)}
_EFFECTS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (DelayReply, HangUp, BlockClient, Remember, Tally, LimitReached, SkipFilters)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One agent's turn. facts: about connection and mail; of_recipient: about view.recipient."""

    agent: str
    connector: str
    view: MailView
    facts: tuple[Any, ...] = ()
    of_recipient: tuple[Any, ...] = ()

    @classmethod
    def of(cls, agent: str, kinds: Iterable[type[Any]], view: MailView, known: Known) -> Question:
        """kinds: the types the agent may look at; those that are unknown stay at home."""
        about = view.recipient.address if view.recipient is not None else None
        facts, of_recipient = [], []
        for kind in kinds:
            if (fact := known.get(kind)) is not None:
                facts.append(fact)
            elif about is not None and (own := _of(known, about, kind)) is not None:
                of_recipient.append(own)
        return cls(
            agent=agent,
            connector=view.session.connector,
            view=view,
            facts=tuple(facts),
            of_recipient=tuple(of_recipient),
        )

    @property
    def known(self) -> Known:
        """The facts as an agent reads them."""
        about = self.view.recipient.address if self.view.recipient is not None else None
        of_recipient: Mapping[Address, Mapping[type[Any], Any]] = (
            {about: {type(fact): fact for fact in self.of_recipient}} if about is not None else {}
        )
        return Known({type(fact): fact for fact in self.facts}, of_recipient)


class _Opinion(msgspec.Struct, array_like=True, frozen=True, tag="opinion"):
    action: int
    findings: tuple[str, ...]
    reason: str
    reply: tuple[int, str, str, tuple[str, ...]] | None
    because: tuple[int, ...]
    recipients: tuple[tuple[str, str], ...] | None
    edits: tuple[tuple[str, msgspec.Raw], ...]
    effects: tuple[tuple[str, msgspec.Raw], ...]
    unless: str


class Bug(msgspec.Struct, array_like=True, frozen=True, tag="bug"):
    """The agent raised something: its name, and the end of the trace."""

    error: str
    trace: str


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Opinion | Bug).decode


def encode_question(question: Question) -> bytes:
    """Raises TypeError, AttributeError or PicklingError for a fact that cannot be pickled."""
    octets = io.BytesIO()
    _Pickler(octets, protocol=5).dump(question)
    return octets.getvalue()


class _Pickler(pickle.Pickler):
    """Knows classes from files of the agents' folder by their names.

    No import statement finds those, and each side has read the file for itself.
    """

    def reducer_override(self, thing: Any) -> Any:
        """For classes from files alone."""
        if isinstance(thing, type) and thing.__module__.startswith(f"{FILE_MODULES}."):
            return _class_called, (thing.__module__, thing.__qualname__)
        return NotImplemented


def _class_called(module: str, name: str) -> Any:
    """In the scan worker. Raises LookupError or AttributeError when its file has no such class."""
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    return found


def decode_question(octets: bytes) -> Question:
    """In the scan worker. Raises TypeError when it is something else; whatever pickle raises when it is damaged."""
    question = pickle.loads(octets)  # noqa: S301  # made by a worker of ours, which is trusted more than we are
    if not isinstance(question, Question):
        raise TypeError(f"a question is expected, not a {type(question).__name__}")
    return question


def encode_verdict(verdict: Verdict, question: Question) -> bytes:
    """In the scan worker. Facts that the question did not bring cannot be named, and are left out."""
    places = {id(fact): place for place, fact in enumerate((*question.facts, *question.of_recipient))}
    return _encode(
        _Opinion(
            action=int(verdict.action),
            findings=tuple(finding.name for finding in verdict.findings),
            reason=verdict.reason[:TEXT_LIMIT_CHARACTERS],
            reply=None
            if (said := verdict.reply) is None
            else (said.code, said.enhanced, said.text, said.more),
            because=tuple(places[id(fact)] for fact in verdict.because if id(fact) in places),
            recipients=None
            if verdict.recipients is None
            else tuple((address.local, address.domain) for address in verdict.recipients),
            edits=tuple((type(edit).__name__, msgspec.Raw(_encode(edit))) for edit in verdict.edits),
            effects=tuple(
                (type(effect).__name__, msgspec.Raw(_encode(effect))) for effect in verdict.effects
            ),
            unless=verdict.unless[:TEXT_LIMIT_CHARACTERS],
        )
    )


def encode_bug(error: str, trace: str) -> bytes:
    """In the scan worker."""
    return _encode(Bug(error, trace))


def decode_answer(octets: bytes, question: Question, findings: Mapping[str, Finding]) -> Verdict | Bug:
    """findings: what the agent may have noticed, by name. Raises ValueError for an answer no agent could give."""
    answer = _decode(octets)
    if isinstance(answer, Bug):
        return Bug(answer.error[:TEXT_LIMIT_CHARACTERS], answer.trace[-TEXT_LIMIT_CHARACTERS:])
    lists = (answer.findings, answer.because, answer.recipients or (), answer.edits, answer.effects)
    if any(len(items) > ITEMS_LIMIT for items in lists):
        raise ValueError(f"an answer has more than {ITEMS_LIMIT} of something")
    facts = (*question.facts, *question.of_recipient)
    try:
        return Verdict(
            agent=question.agent,
            action=Action(answer.action),
            findings=tuple(findings[name] for name in answer.findings),
            reason=answer.reason[:TEXT_LIMIT_CHARACTERS],
            reply=None if answer.reply is None else Reply(*answer.reply),
            because=tuple(facts[place] for place in answer.because),
            recipients=None
            if answer.recipients is None
            else tuple(Address(local, domain) for local, domain in answer.recipients),
            edits=tuple(msgspec.msgpack.decode(raw, type=_EDITS[name]) for name, raw in answer.edits),
            effects=tuple(msgspec.msgpack.decode(raw, type=_EFFECTS[name]) for name, raw in answer.effects),
            unless=answer.unless[:TEXT_LIMIT_CHARACTERS],
        )
    except (KeyError, IndexError) as error:
        raise ValueError(f"an answer names {error}, which there is not") from error


def _of(known: Known, about: Address, kind: type[Any]) -> Any:
    try:
        return known.of(about, kind)
    except KeyError:
        return None
