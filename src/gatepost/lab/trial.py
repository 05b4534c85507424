"""Asks one agent on the bench: facts and settings in, its opinion out; no gateway, no DNS, no mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gatepost.config.schema import frozen
from gatepost.model.accepted_domains import AcceptedDomains, DomainType
from gatepost.model.address import Address
from gatepost.model.envelope import Envelope, Recipient
from gatepost.model.known import Known, MailView
from gatepost.model.session import Session
from gatepost.model.site import Site
from gatepost.model.verdict import Stage, Verdict
from gatepost.policy.agent import settings_of

SITE: Final = Site(
    connector="internet",
    hostname="mx.ours.example",
    own_names=frozenset({"mx.ours.example"}),
    accepted_domains=AcceptedDomains({"ours.example": DomainType.AUTHORITATIVE}),
)
"""A gateway that takes mail for ours.example."""
SESSION: Final = Session(
    session_id="0" * 16,
    connector=SITE.connector,
    client_ip="192.0.2.7",
    client_port=1025,
    local_ip="192.0.2.1",
    local_port=25,
    started_at=0.0,
    helo="client.friend.example",
)
"""A stranger from 192.0.2.7."""
ANN: Final = Address("ann", "friend.example")
BOB: Final = Recipient(address=Address("bob", "ours.example"))


def ask(
    kind: Any,
    *facts: object,
    stage: Stage | None = None,
    settings: Mapping[str, Any] | None = None,
    site: Site = SITE,
    mail: MailView | None = None,
) -> Verdict:
    """The opinion of an agent's class about a mail from ann@friend.example to bob@ours.example.

    facts: what it is told; one with a `recipient` is about that recipient. stage: the first at which it speaks.
    settings: its table, with the names of the file. mail: another one. Raises ValueError for settings that are wrong.
    """
    agent = kind(settings_of(kind).model_validate(frozen(dict(settings or {}))), site)
    return _checked(agent.examine(mail or mail_at(stage or next(iter(agent.needs))), known_of(*facts)))


def mail_at(stage: Stage, *, head: bytes = b"From: <ann@friend.example>\r\n\r\n") -> MailView:
    """The mail as it is known at a stage. head: the header section, with its empty line."""
    begun = stage not in (Stage.CONNECT, Stage.HELO)
    return MailView(
        stage=stage,
        session=SESSION,
        now=0.0,
        envelope=Envelope(sender=ANN, recipients=() if stage is Stage.MAIL else (BOB,)) if begun else None,
        recipient=BOB if stage is Stage.RCPT else None,
        head=head if stage in (Stage.END_OF_HEADERS, Stage.END_OF_DATA) else b"",
    )


def known_of(*facts: object) -> Known:
    """What an agent is told. A fact with a `recipient` is about that recipient."""
    general = {type(fact): fact for fact in facts if not hasattr(fact, "recipient")}
    of_recipient: dict[Any, dict[type[Any], Any]] = {}
    for fact in facts:
        if hasattr(fact, "recipient"):
            of_recipient.setdefault(fact.recipient, {})[type(fact)] = fact
    return Known(general, of_recipient)


def _checked(verdict: object) -> Verdict:
    if not isinstance(verdict, Verdict):
        raise TypeError(f"examine gave {type(verdict).__name__}, an opinion is a Verdict")
    return verdict
