"""Which addresses an LDAP directory knows as those of an account, whichever way it logged in."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from gatepost.adapters.accounts import name_problem
from gatepost.adapters.directory_sources import connect_to_any, mail_addresses
from gatepost.adapters.ldap_accounts import entries_of
from gatepost.config.login_settings import LdapLogins
from gatepost.model.account import folded_user
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.protocol.addresses import parse_mailbox

ADDRESSES_LIMIT: Final = 1000
"""Of one account."""
_NONE: Final[frozenset[str]] = frozenset()


class LdapAddresses:
    """ports.directory.SendingAccounts. Bounded questions in threads of their own, and a memory of answers.

    monotonic: seconds.
    """

    def __init__(self, settings: LdapLogins, *, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._known: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix="ldap-addresses")
        self._waiting = 0

    def addresses_of(self, user: str) -> frozenset[str] | Coroutine[Any, Any, frozenset[str]]:
        """From memory, or the coroutine that asks. Raises WorldFault."""
        until, found = self._known.get(folded_user(user), (0.0, _NONE))
        if until > self._monotonic():
            return found
        if name_problem(user):
            return _NONE
        return self._asked_for(user)

    async def _asked_for(self, user: str) -> frozenset[str]:
        if self._waiting >= self._settings.logins_waiting + self._settings.connections:
            raise WorldFault("users.ldap: too many questions wait for the directory")
        self._waiting += 1
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._threads, self._asked, user)
        except WorldFault as fault:
            raise WorldFault(f"users.ldap: {fault.reason}") from fault
        finally:
            self._waiting -= 1
        self._remember(folded_user(user), found)
        return found

    def _asked(self, user: str) -> frozenset[str]:
        """In a thread."""
        settings = self._settings
        connection = connect_to_any(
            settings.servers, tls=settings.tls, ca_file=settings.ca_file, timeout_s=settings.timeout_s
        )
        try:
            entries = entries_of(connection, settings, user, settings.address_attributes)
        finally:
            connection.close()
        if len(entries) != 1:
            return _NONE  # nobody, or nobody knows who
        keys = set()
        for text in mail_addresses(entries[0], settings.address_attributes):
            try:
                keys.add(parse_mailbox(text).key)
            except PeerFault:
                continue  # of no use as a sender
            if len(keys) >= ADDRESSES_LIMIT:
                break
        return frozenset(keys)

    def _remember(self, user: str, found: frozenset[str]) -> None:
        self._known[user] = (self._monotonic() + self._settings.cache_time_s, found)
        self._known.move_to_end(user)
        while len(self._known) > self._settings.cache_entries:
            self._known.popitem(last=False)
