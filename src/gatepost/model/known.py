"""Facts: what was found out about a mail, or that it could not be; and the mail as agents see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec

from gatepost.model.address import Address
from gatepost.model.content import BodyForm, Content
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.session import Session
from gatepost.model.verdict import Stage


class Fact(Protocol):
    """A fact is a frozen, slotted dataclass with a name: small, typed, recorded with the mail.

    Those that every mail has are msgspec structs: as frozen, and made in a tenth of the time.
    """

    name: ClassVar[str]


F = TypeVar("F")


class Scope(Enum):
    """What a fact is about, and so how long it stays known."""

    CONNECTION = "connection"
    """The peer: gathered once a session, forgotten at STARTTLS and AUTH when it depends on them."""
    MAIL = "mail"
    """One transaction."""
    RECIPIENT = "recipient"
    """One recipient of one transaction."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be found out. It is neither the empty answer nor a good one (I9)."""

    name: ClassVar[str] = "unknown"

    fact: str
    reason: str


class MailView(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The mail as far as it is known at a stage: what an agent may look at besides facts.

    envelope:  from MAIL on; its recipients are the ones accepted so far.
    recipient: at RCPT only: the one in question.
    head:      from END_OF_HEADERS on: the header section as received, header firewall applied.
    form, size_bytes: at END_OF_DATA.
    content:   where form is: the octets as received, before the header firewall; what signatures were made over.
    """

    stage: Stage
    session: Session
    now: float
    envelope: Envelope | None = None
    recipient: Recipient | None = None
    head: bytes = b""
    form: BodyForm = BodyForm()
    size_bytes: int = 0
    content: Content | None = None

    @property
    def sender(self) -> Address:
        """The return path. Raises ValueError before MAIL."""
        if self.envelope is None:
            raise ValueError("there is no sender before MAIL")
        return self.envelope.sender


_NONE: Final[Mapping[type[Any], Any]] = {}


class Known:
    """What is known: facts by type, and by recipient where the fact is about one.

    Reading a fact that is not known raises KeyError: the runner does not ask an
    agent before what it needs is known, so an agent never handles this.
    """

    __slots__ = ("_facts", "_of_recipient")

    def __init__(
        self,
        facts: Mapping[type[Any], Any] | None = None,
        of_recipient: Mapping[Address, Mapping[type[Any], Any]] | None = None,
    ) -> None:
        self._facts = facts if facts is not None else {}
        self._of_recipient = of_recipient if of_recipient is not None else {}

    def __getitem__(self, kind: type[F]) -> F:
        fact = self._facts[kind]
        if fact.__class__ is Unknown:  # asked for every fact of every mail: without a call
            raise KeyError(f"{fact.fact} is unknown: {fact.reason}")
        return fact  # type: ignore[no-any-return]  # the mapping is keyed by the type itself

    def get(self, kind: type[F]) -> F | None:
        """A fact, or None when it is unknown or nobody found it out."""
        fact = self._facts.get(kind)
        return None if fact.__class__ is Unknown else fact

    def of(self, recipient: Address, kind: type[F]) -> F:
        """A fact about one recipient. Raises KeyError like []."""
        fact = self._of_recipient.get(recipient, _NONE)[kind]
        if fact.__class__ is Unknown:
            raise KeyError(f"{fact.fact} is unknown: {fact.reason}")
        return fact  # type: ignore[no-any-return]  # keyed by the type itself

    def unknown_among(self, kinds: Iterable[type[Any]]) -> tuple[Unknown, ...]:
        """The ones that could not be found out."""
        found = (self._facts.get(kind) for kind in kinds)
        return tuple(fact for fact in found if isinstance(fact, Unknown))
