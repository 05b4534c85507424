"""Who may log in by password: the file of accounts, and the directory for everybody who is not in it."""

from __future__ import annotations

from collections.abc import Callable

from gatepost.adapters.accounts import FileAccounts
from gatepost.adapters.granted_addresses import GrantedAddresses
from gatepost.adapters.ldap_accounts import JoinedAccounts, LdapAccounts
from gatepost.adapters.ldap_addresses import LdapAddresses
from gatepost.config.settings import Settings
from gatepost.main.places import accounts_file
from gatepost.ports.directory import Accounts, SendingAccounts


def sending_accounts_of(settings: Settings, *, monotonic: Callable[[], float]) -> SendingAccounts:
    """By the accounts file, and by the directory where one is asked for the addresses of accounts."""
    ldap = settings.users.ldap
    directory = LdapAddresses(ldap, monotonic=monotonic) if ldap.servers and ldap.address_attributes else None
    return GrantedAddresses(str(accounts_file(settings)), directory, monotonic=monotonic)


def accounts_of(settings: Settings, *, monotonic: Callable[[], float]) -> Accounts:
    """As [users] says."""
    file = FileAccounts(str(accounts_file(settings)), monotonic=monotonic)
    if not settings.users.ldap.servers:
        return file
    return JoinedAccounts(file, LdapAccounts(settings.users.ldap, monotonic=monotonic))
