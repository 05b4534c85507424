"""How a fact is found out: what it is about, from when on, and the function that pays for it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gatepost.config.dkim_settings import Arc, Dkim
from gatepost.config.dmarc_settings import DmarcTable
from gatepost.config.schema import Table
from gatepost.config.spf_settings import Spf
from gatepost.model.known import Known, MailView, Scope
from gatepost.model.site import Site
from gatepost.model.verdict import Stage
from gatepost.ports.bodies import SpooledBodies
from gatepost.ports.directory import RecipientDirectory, SendingAccounts
from gatepost.ports.lists import AddressLists
from gatepost.ports.memory_shared import MemoryShared
from gatepost.ports.resolver import Lookup, Resolver
from gatepost.ports.shared import SharedState
from gatepost.standards.return_paths import ReturnPaths

if TYPE_CHECKING:
    from gatepost.facts.provider_desk import ProviderDesk

Find = Callable[[MailView], Any | Coroutine[Any, Any, Any]]
"""Mail in, fact out; a coroutine when it has to wait. Raises WorldFault when the fact stays unknown."""


FindFrom = Callable[[MailView, Known], Any | Coroutine[Any, Any, Any]]
"""As Find, from other facts: `known` holds what `stands_on` names, so far as it could be found out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What facts are found out from: the ports, and the door the mail came in by.

    lookup_timeout_s: patience with one question to the DNS.
    dmarc: what excuses a failed DMARC check.
    bodies: those on disk; None where there are none.
    """

    site: Site
    resolver: Resolver
    directory: RecipientDirectory
    lookup_timeout_s: float = 5.0
    shared: SharedState = field(default_factory=MemoryShared)
    """What all workers know together."""
    tables: Mapping[str, Table] = field(default_factory=dict)
    """The agents' settings by name: a fact that is found for one agent is found as it is told."""
    lists: AddressLists | None = None
    """IP block and allow lists; None: they are empty."""
    providers: ProviderDesk | None = None
    """List providers; None: there is none."""
    dmarc: DmarcTable = field(default_factory=DmarcTable)
    lookup: Lookup | None = None
    """For questions of one type; None: facts that ask them stay unknown."""
    spf: Spf = Spf()
    bodies: SpooledBodies | None = None
    dkim: Dkim = Dkim()
    arc: Arc = Arc()
    return_paths: ReturnPaths | None = None
    """SRS and tags; None: no return path is signed."""
    sending_accounts: SendingAccounts | None = None
    """What a directory knows of accounts' addresses; None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathering:
    """One way of finding a fact out. Every file in `facts` ends in a function that makes one.

    fact:     the type of what is found; a frozen dataclass or msgspec struct with a `name`.
    scope:    how long it stays known.
    earliest: the first stage at which it can be known; the runner starts what waits then.
    find:     called at most once for each thing of its scope. Any exception makes the fact Unknown.
    find_from: instead of find, when it is made from other facts.
    stands_on: those facts; they are found out before. One that nothing finds out is absent.
    waits:    find returns a coroutine, and is worth an early start.
    of_identity: a CONNECTION fact that STARTTLS or AUTH may change: it is forgotten then.
    begins_at_once: the coroutine may be run without a task until it has to wait; then it must not need one of its own
              before (asyncio.timeout does). Only a task is made for whatever waits.
    own_questions: how many it may ask the DNS, whatever the other facts about the mail have asked; 0: it shares
              dns.questions-per-mail with them. What a stranger's records cost must not be missing where he is judged.
    of_origin: it is about session.origin_ip, which behind our own relays is known at END_OF_HEADERS only.
    """

    fact: type[Any]
    scope: Scope
    earliest: Stage
    find: Find | None = None
    find_from: FindFrom | None = None
    stands_on: tuple[type[Any], ...] = ()
    waits: bool = False
    of_identity: bool = False
    of_origin: bool = False
    begins_at_once: bool = False
    own_questions: int = 0

    def begin(self, mail: MailView, known: Known) -> Any:
        """What find or find_from gives. Raises TypeError when there is neither."""
        if self.find is not None:
            return self.find(mail)
        if self.find_from is not None:
            return self.find_from(mail, known)
        raise TypeError(f"{self.fact.__name__} has no way of being found out")
