"""What AUTH must not be: open to files of others, without anything to check a token with, or announced empty."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from gatepost.config.check_directories import check_ldap_login, check_ldap_servers
from gatepost.config.errors import Complaint
from gatepost.config.files import authorities_problem, open_to_others, readable_problem, secret_problem
from gatepost.config.login_settings import Tokens
from gatepost.config.networks import is_sender, parse_range, service_problem
from gatepost.config.settings import ReceiveConnector, Settings
from gatepost.model.https_url import parse_https_url

_BY_TOKEN = frozenset({"OAUTHBEARER", "XOAUTH2"})


def check_logins(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [users] and in what the connectors offer."""
    yield from _accounts(settings)
    yield from _tokens(settings.users.tokens)
    yield from _ldap(settings)
    given = {"addresses": settings.users.addresses, "on-behalf-of": settings.users.on_behalf_of}
    for name, users in given.items():
        yield from _addresses(("users", name), users)
    for number, text in enumerate(settings.users.lockout.known_networks):
        try:
            parse_range(text)
        except ValueError as error:
            yield Complaint(at=("users", "lockout", "known-networks", number), message=str(error))
    for name, door in settings.receive_connectors.items():
        yield from _mechanisms(name, door, has_tokens=bool(settings.users.tokens.sources))


def _addresses(at: tuple[str, str], users: Mapping[str, tuple[str, ...]]) -> Iterator[Complaint]:
    for user, addresses in users.items():
        for number, address in enumerate(addresses):
            if not is_sender(address):
                yield Complaint(
                    at=(*at, user, number),
                    message=f"{address!r} is neither a mail address nor *@domain or *@*.domain",
                )


def _mechanisms(name: str, door: ReceiveConnector, *, has_tokens: bool) -> Iterator[Complaint]:
    at = ("receive-connectors", name, "auth-mechanisms")
    if door.auth and not door.auth_mechanisms:
        yield Complaint(at=at, message="is empty: nobody could authenticate")
    if len(set(door.auth_mechanisms)) < len(door.auth_mechanisms):
        yield Complaint(at=at, message="names a mechanism twice")
    if door.auth and not has_tokens and not _BY_TOKEN.isdisjoint(door.auth_mechanisms):
        yield Complaint(
            at=at,
            message="offers tokens, and users.tokens names neither keys nor an issuer to check them with",
        )


def _ldap(settings: Settings) -> Iterator[Complaint]:
    ldap, at = settings.users.ldap, ("users", "ldap")
    if not ldap.servers:
        if ldap.model_fields_set:
            yield Complaint(at=at, message="names no servers: no directory is asked", is_warning=True)
        return
    yield from check_ldap_servers(at, ldap.servers, ldap.tls, ldap.ca_file)
    yield from check_ldap_login(at, ldap.bind_dn, ldap.password_file)
    if bool(ldap.user_dn) == bool(ldap.base):
        yield Complaint(
            at=at, message="needs either user-dn, the name that binds, or base, where it is searched for"
        )
    if ldap.address_attributes and not ldap.base:
        yield Complaint(
            at=(*at, "address-attributes"),
            message="needs base (and bind-dn): a user that binds by user-dn alone is never searched for",
        )
    template = ("user-dn", ldap.user_dn) if ldap.user_dn else ("filter", ldap.filter)
    if "{user}" not in template[1]:
        yield Complaint(at=(*at, template[0]), message="has no {user}: everybody would be the same person")
    for name, door in settings.receive_connectors.items():
        if door.auth and any(m.startswith("SCRAM") for m in door.auth_mechanisms):
            yield Complaint(
                at=("receive-connectors", name, "auth-mechanisms"),
                message="offers SCRAM, which accounts of users.ldap cannot use: clients that prefer it do not get in; "
                'auth-mechanisms = ["PLAIN", "LOGIN"]',
                is_warning=True,
            )


def _tokens(tokens: Tokens) -> Iterator[Complaint]:
    at = ("users", "tokens")
    if not tokens.sources:
        return
    if len(tokens.sources) > 1:
        words = " and ".join(tokens.sources)
        yield Complaint(at=at, message=f"has {words}: a token is checked in one way")
    if tokens.keys_file and (
        problem := readable_problem(tokens.keys_file) or open_to_others(tokens.keys_file)
    ):
        yield Complaint(at=(*at, "keys-file"), message=f"{tokens.keys_file} {problem}")
    if tokens.ca_file and (problem := authorities_problem(tokens.ca_file)):
        yield Complaint(at=(*at, "ca-file"), message=f"{tokens.ca_file} {problem}")
    if tokens.keys_url:
        yield from _url((*at, "keys-url"), tokens.keys_url)
    yield from _asked(tokens) if tokens.introspection.url else _by_keys(tokens)


def _by_keys(tokens: Tokens) -> Iterator[Complaint]:
    at = ("users", "tokens")
    for name, value in (("issuer", tokens.issuer), ("audience", tokens.audience)):
        if not value:
            yield Complaint(
                at=(*at, name), message="must be given: a token made for another service would count here"
            )
    if not tokens.algorithms:
        yield Complaint(at=(*at, "algorithms"), message="is empty: no token would count")


def _asked(tokens: Tokens) -> Iterator[Complaint]:
    at = ("users", "tokens", "introspection")
    yield from _url((*at, "url"), tokens.introspection.url)
    if not tokens.introspection.client_id:
        yield Complaint(at=(*at, "client-id"), message="must be given: issuers tell nobody else (RFC 7662)")
    path = tokens.introspection.secret_file
    if problem := secret_problem(path) if path else "must be given: issuers tell nobody else (RFC 7662)":
        yield Complaint(at=(*at, "secret-file"), message=f"{path} {problem}".lstrip())
    if not tokens.audience and not tokens.scope:
        yield Complaint(
            at=("users", "tokens"),
            message="asks for neither audience nor scope: a token made for another service may count here",
            is_warning=True,
        )


def _url(at: tuple[str, ...], text: str) -> Iterator[Complaint]:
    try:
        problem = service_problem(parse_https_url(text).host)
    except ValueError as error:
        problem = str(error)
    if problem:
        yield Complaint(at=at, message=problem)


def _accounts(settings: Settings) -> Iterator[Complaint]:
    path = settings.users.file
    if path and os.path.exists(path) and (problem := secret_problem(path)):
        yield Complaint(at=("users", "file"), message=f"{path} {problem}")
    by_password = (n for n, d in settings.receive_connectors.items() if d.enabled and _asks_for_passwords(d))
    door = next(by_password, None)
    if door and path and not os.path.exists(path) and not settings.users.ldap.servers:
        yield Complaint(
            at=("users", "file"),
            message=f"{path} does not exist: nobody can authenticate at {door} (gatepost user add)",
            is_warning=True,
        )


def _asks_for_passwords(door: ReceiveConnector) -> bool:
    return door.auth and not (_BY_TOKEN | {"EXTERNAL"}).issuperset(door.auth_mechanisms)
