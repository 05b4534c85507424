"""The dossier of a mail: facts, verdicts and dispositions as bytes, to explain it by and to replay it from.

Facts are written under their name; a name that is not installed any more reads back as OpaqueFact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gatepost.model.known import MailView, Unknown
from gatepost.model.session import Rights
from gatepost.model.verdict import Disposition, Stage, Verdict
from gatepost.policy.folding import Decision, Scale

FORMAT: Final = 1
_ENCODE: Final = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueFact:
    """A fact whose type is not installed, or has changed its form: its name and its values as recorded."""

    name: str
    values: object


class VerdictRecord(msgspec.Struct, array_like=True, frozen=True):
    """One opinion. `facts` are positions in Dossier.facts; `findings` are (name, points)."""

    stage: str
    recipient: str
    agent: str
    action: int
    reason: str
    unless: str
    reply: str
    findings: tuple[tuple[str, float], ...]
    facts: tuple[int, ...]
    recipients: tuple[str, ...] | None


class DecisionRecord(msgspec.Struct, array_like=True, frozen=True):
    """What one recipient's copy came to."""

    recipient: str
    action: int
    scl: int
    decided_by: str
    reason: str
    reply: str


class ScaleRecord(msgspec.Struct, array_like=True, frozen=True):
    """The thresholds that applied."""

    tag_at: int
    quarantine_at: int
    reject_at: int
    exempt: bool


class Origin(msgspec.Struct, array_like=True, frozen=True):
    """Who brought the mail."""

    session_id: str
    connector: str
    client_ip: str
    helo: str
    user: str
    rights: int
    sender: str | None


class _Written(msgspec.Struct, array_like=True):
    format: int
    revision: str
    at: float
    stage: str
    origin: Origin
    scale: ScaleRecord
    asked: tuple[tuple[str, tuple[str, ...]], ...]
    skipped: tuple[tuple[str, str], ...]
    facts: list[tuple[str, str, Any]]
    verdicts: list[VerdictRecord]
    decisions: list[DecisionRecord]


class Dossier(msgspec.Struct, array_like=True, frozen=True):
    """As written. `facts`: (name, recipient or "", encoded values)."""

    format: int
    revision: str
    at: float
    stage: str
    origin: Origin
    scale: ScaleRecord
    asked: tuple[tuple[str, tuple[str, ...]], ...]
    """Stages in order, with the names of the agents asked there: those without a verdict passed in silence."""
    skipped: tuple[tuple[str, str], ...]
    """Agents not asked, and why."""
    facts: tuple[tuple[str, str, msgspec.Raw], ...]
    verdicts: tuple[VerdictRecord, ...]
    decisions: tuple[DecisionRecord, ...]


_DECODER: Final = msgspec.msgpack.Decoder(Dossier)


class DossierWriter:
    """Collects one dossier. Facts that verdicts stand on are written once."""

    def __init__(self) -> None:
        self._facts: list[tuple[str, str, Any]] = []
        self._position: dict[int, int] = {}
        """By identity, of so many of the facts as have been looked for."""
        self._recipients = 0
        self._verdicts: list[VerdictRecord] = []

    def add_facts(self, facts: Iterable[Any]) -> None:
        """Facts known of connection and mail, Unknown ones included; each once."""
        self._facts += [(fact.name, "", fact) for fact in facts]

    def add_facts_of(self, recipient: str, facts: Iterable[Any]) -> None:
        """Facts known of one recipient; one that is another's, too, is written there."""
        self._recipients += 1
        if self._recipients == 1:
            self._facts += [(fact.name, recipient, fact) for fact in facts]
            return
        for fact in facts:
            self._position_of(fact, recipient)

    def add_verdicts(
        self, stage: Stage, verdicts: Sequence[Verdict], scale: Scale, recipient: str = ""
    ) -> None:
        """Opinions of one stage."""
        for verdict in verdicts:
            about, found, because = verdict.recipients, verdict.findings, verdict.because
            self._verdicts.append(
                VerdictRecord(
                    stage._value_,
                    recipient,
                    verdict.agent,
                    int(verdict.action),
                    verdict.reason,
                    verdict.unless,
                    str(verdict.reply) if verdict.reply is not None else "",
                    tuple([(one.name, scale.worth(one)) for one in found]) if found else (),
                    tuple([self._position_of(fact, recipient) for fact in because]) if because else (),
                    tuple([str(address) for address in about]) if about is not None else None,
                )
            )

    def encoded(
        self,
        mail: MailView,
        decisions: Sequence[Decision],
        *,
        revision: str,
        scale: Scale,
        asked: tuple[tuple[str, tuple[str, ...]], ...],
        skipped: tuple[tuple[str, str], ...],
    ) -> bytes:
        """The bytes for the store."""
        return _ENCODE(
            _Written(
                FORMAT,
                revision,
                mail.now,
                mail.stage._value_,
                _origin_of(mail),
                ScaleRecord(scale.tag_at, scale.quarantine_at, scale.reject_at, scale.exempt),
                asked,
                skipped,
                self._facts,
                self._verdicts,
                [_decision(decision) for decision in decisions],
            )
        )

    def _position_of(self, fact: Any, recipient: str) -> int:
        facts, position = self._facts, self._position
        if len(position) < len(facts):
            position.update({id(facts[at][2]): at for at in range(len(position), len(facts))})
        known_at = position.get(id(fact))
        if known_at is not None:
            return known_at
        position[id(fact)] = len(facts)
        facts.append((fact.name, recipient, fact))
        return len(facts) - 1


def _origin_of(mail: MailView) -> Origin:
    session = mail.session
    sender = str(mail.envelope.sender) if mail.envelope is not None else None
    return Origin(
        session.session_id,
        session.connector,
        session.client_ip,
        session.helo,
        session.user,
        session.rights._value_,
        sender,
    )


def _decision(decision: Decision) -> DecisionRecord:
    said: Disposition = decision.disposition
    return DecisionRecord(
        str(decision.recipient.address),
        int(said.action),
        said.scl,
        said.decided_by,
        said.reason,
        str(said.reply) if said.reply is not None else "",
    )


def read_dossier(data: bytes) -> Dossier:
    """Raises ValueError for bytes that are no dossier of a format we know."""
    try:
        dossier = _DECODER.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"not a dossier: {error}") from error
    if dossier.format != FORMAT:
        raise ValueError(f"a dossier of format {dossier.format}, this version reads {FORMAT}")
    return dossier


def encode_fact(fact: Any) -> bytes:
    """One fact's values, as a dossier holds them."""
    return _ENCODE(fact)


def decode_fact(name: str, values: bytes | msgspec.Raw, types: Mapping[str, type[Any]]) -> Any:
    """The fact, equal to the one that was recorded; OpaqueFact when `types` has no such name.

    Raises ValueError when the bytes are no MessagePack.
    """
    kind = Unknown if name == Unknown.name else types.get(name)
    try:
        if kind is not None:
            return msgspec.msgpack.decode(values, type=kind)
    except msgspec.ValidationError:
        pass  # recorded by another version of the fact: its values are still worth reading
    except msgspec.DecodeError as error:
        raise ValueError(f"not the values of a fact: {error}") from error
    return OpaqueFact(name=name, values=_plain(values))


def _plain(values: bytes | msgspec.Raw) -> object:
    try:
        return msgspec.msgpack.decode(values)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the values of a fact: {error}") from error


def rights_of(dossier: Dossier) -> Rights:
    """The client's rights."""
    return Rights(dossier.origin.rights & sum(right.value for right in Rights))
