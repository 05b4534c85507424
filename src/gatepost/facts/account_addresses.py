"""Fact: which addresses a directory knows as those of the account that logged in (threats E11)."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar, Final

import msgspec

from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.known import MailView, Scope
from gatepost.model.session import Rights
from gatepost.model.verdict import Stage
from gatepost.ports.directory import SendingAccounts

_MAY_ANYTHING: Final = Rights.ANY_SENDER | Rights.OWN_DOMAIN_SENDER


class AccountAddresses(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing for clients without an account, and for those that may send as anybody."""

    name: ClassVar[str] = "account-addresses"

    user: str = ""
    keys: frozenset[str] = frozenset()
    """Of the addresses (Address.key)."""


_NOBODY: Final = AccountAddresses()


def find_account_addresses(
    mail: MailView, accounts: SendingAccounts | None
) -> AccountAddresses | Coroutine[Any, Any, AccountAddresses]:
    """At once where nobody has to be asked. Raises WorldFault when the directory cannot tell."""
    user = mail.session.user
    if not user or accounts is None or _MAY_ANYTHING in mail.session.rights:
        return _NOBODY
    found = accounts.addresses_of(user)
    if isinstance(found, frozenset):
        return AccountAddresses(user=user, keys=found)
    return _waited_for(user, found)


async def _waited_for(user: str, answer: Coroutine[Any, Any, frozenset[str]]) -> AccountAddresses:
    return AccountAddresses(user=user, keys=await answer)


def gatherer(sources: Sources) -> Gathering:
    """Known at MAIL, and the same until the client becomes somebody else."""
    accounts = sources.sending_accounts
    return Gathering(
        fact=AccountAddresses,
        scope=Scope.CONNECTION,
        earliest=Stage.MAIL,
        find=lambda mail: find_account_addresses(mail, accounts),
        of_identity=True,
    )
