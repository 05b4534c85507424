"""Fact: which recipients of a notice never sent what it is about, and which get it by SRS (threats L08, L14)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.address import Address
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.standards.return_paths import ReturnPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class BounceTags:
    """Of a mail's recipients."""

    name: ClassVar[str] = "bounce-tags"

    untagged: tuple[Address, ...] = ()
    """Of a mail without a return path: mailboxes of ours whose address had no good tag."""
    led_back: tuple[Address, ...] = ()
    """Return paths that SRS made: the mail goes on to the one behind."""


def read_bounce_tags(mail: MailView, paths: ReturnPaths | None) -> BounceTags:
    """Costs nothing where no return path is signed."""
    if paths is None or mail.envelope is None:
        return BounceTags()
    recipients = mail.envelope.recipients
    untagged = [r.address for r in recipients if paths.wants_tag(r, mail.now)] if mail.sender.is_null else []
    led_back = [r.address for r in recipients if paths.claims(r.address)]
    return BounceTags(untagged=tuple(untagged), led_back=tuple(led_back))


def gatherer(sources: Sources) -> Gathering:
    """Known when all recipients are."""
    paths = sources.return_paths
    return Gathering(
        fact=BounceTags,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_HEADERS,
        find=lambda mail: read_bounce_tags(mail, paths),
    )
