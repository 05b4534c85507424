"""How a fact is found out: what it is about, from when on, and the function that pays for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from gatepost.config.spf_settings import Spf
from gatepost.model.known import MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Stage
from gatepost.ports.directory import RecipientDirectory
from gatepost.ports.resolver import Lookup, Resolver
from gatepost.standards.return_paths import ReturnPaths

Find = Callable[[MailView], Any | Coroutine[Any, Any, Any]]
"""Mail in, fact out; a coroutine when it has to wait. Raises WorldFault when the fact stays unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What facts are found out from: the ports, and the door the mail came in by.

    lookup_timeout_s: patience with one question to the DNS.
    """

    site: Site
    resolver: Resolver
    directory: RecipientDirectory
    lookup_timeout_s: float = 5.0
    lookup: Lookup | None = None
    """For questions of one type; None: facts that ask them stay unknown."""
    spf: Spf = Spf()
    return_paths: ReturnPaths | None = None
    """SRS and tags; None: no return path is signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """One way of finding a fact out. Every file in `facts` ends in a function that makes one.

    fact:     the type of what is found; a frozen dataclass with a `name`.
    scope:    how long it stays known.
    earliest: the first stage at which it can be known; the runner starts what waits then.
    find:     called at most once for each thing of its scope. Any exception makes the fact Unknown.
    waits:    find returns a coroutine, and is worth an early start.
    of_identity: a CONNECTION fact that STARTTLS or AUTH may change: it is forgotten then.
    """

    fact: type[Any]
    scope: Scope
    earliest: Stage
    find: Find
    waits: bool = False
    of_identity: bool = False
