"""Accounts in an LDAP directory: a password is good when the directory lets the user in with it."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from gatepost.adapters.accounts import FileAccounts, name_problem, password_problem
from gatepost.adapters.directory_sources import connect_to_any, secret_of
from gatepost.adapters.ldap import LdapConnection, LdapEntry, ldap_filter
from gatepost.config.login_settings import LdapLogins
from gatepost.model.account import ScramKeys, folded_user
from gatepost.model.fault import WorldFault
from gatepost.model.reply import Reply

_UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")
_PLACE: Final = "{user}"
_ENTRIES_LIMIT: Final = 10
"""More than one entry is nobody; more than these is a filter that makes no sense."""
_DN_SPECIAL: Final = frozenset(',+"\\<>;=#')
_FILTER_SPECIAL: Final = frozenset(b"*()\\\0")


class LdapAccounts:
    """Bounded logins in threads of their own, and a short memory of good passwords, kept as keyed hashes.

    monotonic: seconds.
    """

    def __init__(self, settings: LdapLogins, *, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._good: OrderedDict[bytes, float] = OrderedDict()
        self._secret = secrets.token_bytes(32)
        self._threads = ThreadPoolExecutor(settings.connections, thread_name_prefix="ldap")
        self._waiting = 0

    async def check(self, user: str, password: str) -> bool:
        """True when the directory lets the user in. Raises WorldFault (454 4.7.0) when that cannot be told (E08)."""
        if name_problem(user) or password_problem(password):
            return False
        mark = self._mark(folded_user(user), password)
        if self._good.get(mark, 0.0) > self._monotonic():
            return True
        if self._waiting >= self._settings.logins_waiting + self._settings.connections:
            raise WorldFault("too many logins wait for the directory", _UNAVAILABLE)
        self._waiting += 1
        try:
            good = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._asked, user, password
            )
        except WorldFault as fault:
            raise WorldFault(f"users.ldap: {fault.reason}", _UNAVAILABLE) from fault
        finally:
            self._waiting -= 1
        if good and self._settings.cache_time_s:
            self._remember(mark)
        return good

    def _asked(self, user: str, password: str) -> bool:
        """In a thread."""
        settings = self._settings
        connection = connect_to_any(
            settings.servers, tls=settings.tls, ca_file=settings.ca_file, timeout_s=settings.timeout_s
        )
        try:
            if settings.user_dn:
                return connection.bind(bind_name(settings.user_dn, user), password)
            return self._found_and_bound(connection, user, password)
        finally:
            connection.close()

    def _found_and_bound(self, connection: LdapConnection, user: str, password: str) -> bool:
        settings = self._settings
        found = entries_of(connection, settings, user, ())
        if len(found) != 1:
            # For nobody the directory is asked as for somebody: it takes as long (threats E07).
            connection.bind(f"cn=gatepost-{secrets.token_hex(8)},{settings.base}", secrets.token_hex(16))
            return False
        return connection.bind(found[0].dn, password)

    def _mark(self, user: str, password: str) -> bytes:
        said = f"{user}\0{password}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, said, "sha256")

    def _remember(self, mark: bytes) -> None:
        self._good[mark] = self._monotonic() + self._settings.cache_time_s
        self._good.move_to_end(mark)
        while len(self._good) > self._settings.cache_entries:
            self._good.popitem(last=False)


def entries_of(
    connection: LdapConnection, settings: LdapLogins, user: str, attributes: tuple[str, ...]
) -> list[LdapEntry]:
    """Who the user may be. More than one is nobody. Raises WorldFault."""
    if settings.bind_dn and not connection.bind(settings.bind_dn, secret_of(settings.password_file)):
        raise WorldFault(f"the directory does not let {settings.bind_dn} in: wrong bind-dn or password-file")
    try:
        wanted = ldap_filter(settings.filter.replace(_PLACE, filter_text(user)))
    except ValueError as error:
        raise WorldFault(str(error)) from error
    return list(
        connection.search(settings.base, wanted, attributes, page_entries=2, entries_limit=_ENTRIES_LIMIT)
    )


class JoinedAccounts:
    """ports.directory.Accounts: who is in the file is checked by the file, everybody else by the directory."""

    def __init__(self, file: FileAccounts, directory: LdapAccounts) -> None:
        self._file = file
        self._directory = directory

    async def check(self, user: str, password: str) -> bool:
        """Raises WorldFault (454 4.7.0) as both do."""
        if self._file.has(user):
            return await self._file.check(user, password)
        return await self._directory.check(user, password)

    def scram_keys(self, user: str) -> ScramKeys:
        """The file's: a directory does not give its passwords away."""
        return self._file.scram_keys(user)

    def is_disabled(self, user: str) -> bool:
        """As the file says: a disabled line keeps somebody of the directory out, too."""
        return self._file.is_disabled(user)


def bind_name(template: str, user: str) -> str:
    """The name that binds; in a DN nothing of the user's can be more than a value (RFC 4514 §2.4)."""
    if "=" not in template:
        return template.replace(_PLACE, user)
    escaped = "".join(f"\\{c}" if c in _DN_SPECIAL else c for c in user).replace("\0", "\\00")
    if escaped.startswith(" "):
        escaped = f"\\{escaped}"
    if escaped.endswith(" ") and len(user) > 1:
        escaped = f"{escaped[:-1]}\\ "
    return template.replace(_PLACE, escaped)


def filter_text(user: str) -> str:
    """The user's name inside of a filter: octets that could mean something become numbers (RFC 4515 §3)."""
    return "".join(
        f"\\{octet:02x}" if octet in _FILTER_SPECIAL or octet > 0x7E else chr(octet)
        for octet in user.encode("utf-8", "surrogatepass")
    )
