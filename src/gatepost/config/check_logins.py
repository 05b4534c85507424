"""What AUTH must not be: open to files of others, without anything to check a token with, or announced empty."""

from __future__ import annotations

import os
from collections.abc import Iterator

from gatepost.config.errors import Complaint
from gatepost.config.files import open_to_others, readable_problem, secret_problem
from gatepost.config.login_settings import Tokens
from gatepost.config.networks import parse_range
from gatepost.config.settings import ReceiveConnector, Settings

_BY_TOKEN = frozenset({"OAUTHBEARER", "XOAUTH2"})


def check_logins(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [users] and in what the connectors offer."""
    yield from _accounts(settings)
    yield from _tokens(settings.users.tokens)
    for number, text in enumerate(settings.users.lockout.known_networks):
        try:
            parse_range(text)
        except ValueError as error:
            yield Complaint(at=("users", "lockout", "known-networks", number), message=str(error))
    for name, door in settings.receive_connectors.items():
        yield from _mechanisms(name, door, has_tokens=bool(settings.users.tokens.keys_file))


def _mechanisms(name: str, door: ReceiveConnector, *, has_tokens: bool) -> Iterator[Complaint]:
    at = ("receive-connectors", name, "auth-mechanisms")
    if door.auth and not door.auth_mechanisms:
        yield Complaint(at=at, message="is empty: nobody could authenticate")
    if len(set(door.auth_mechanisms)) < len(door.auth_mechanisms):
        yield Complaint(at=at, message="names a mechanism twice")
    if door.auth and not has_tokens and not _BY_TOKEN.isdisjoint(door.auth_mechanisms):
        yield Complaint(
            at=at, message="offers tokens, and users.tokens.keys-file names no keys to check them with"
        )


def _tokens(tokens: Tokens) -> Iterator[Complaint]:
    if not tokens.keys_file:
        return
    at = ("users", "tokens")
    if problem := readable_problem(tokens.keys_file) or open_to_others(tokens.keys_file):
        yield Complaint(at=(*at, "keys-file"), message=f"{tokens.keys_file} {problem}")
    for name, value in (("issuer", tokens.issuer), ("audience", tokens.audience)):
        if not value:
            yield Complaint(
                at=(*at, name), message="must be given: a token made for another service would count here"
            )
    if not tokens.algorithms:
        yield Complaint(at=(*at, "algorithms"), message="is empty: no token would count")


def _accounts(settings: Settings) -> Iterator[Complaint]:
    path = settings.users.file
    if path and os.path.exists(path) and (problem := secret_problem(path)):
        yield Complaint(at=("users", "file"), message=f"{path} {problem}")
    by_password = (n for n, d in settings.receive_connectors.items() if d.enabled and _asks_for_passwords(d))
    door = next(by_password, None)
    if door and path and not os.path.exists(path):
        yield Complaint(
            at=("users", "file"),
            message=f"{path} does not exist: nobody can authenticate at {door} (gatepost user add)",
            is_warning=True,
        )


def _asks_for_passwords(door: ReceiveConnector) -> bool:
    return door.auth and not (_BY_TOKEN | {"EXTERNAL"}).issuperset(door.auth_mechanisms)
