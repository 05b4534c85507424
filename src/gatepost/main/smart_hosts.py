"""Joins our logins at smart hosts: names, secrets from their files, and what speaks the mechanisms of the extra."""

from __future__ import annotations

from functools import partial

from gatepost.adapters.integrated_client import GssapiClient, NtlmClient
from gatepost.adapters.kerberos import load_extra
from gatepost.config.settings import SendConnector, Settings
from gatepost.delivery.authentication import INTEGRATED, Credentials
from gatepost.main.secrets import secret_in
from gatepost.ports.world import Randomness
from gatepost.protocol.sasl_client import ClientExchange


def smart_host_logins(settings: Settings, randomness: Randomness) -> dict[str, Credentials]:
    """Of the send connectors that log in. Raises WorldFault when a password cannot be read or the extra is missing."""
    found = {}
    for name, way in settings.send_connectors.items():
        if not way.user:
            continue
        at = f"send-connectors.{name}"
        password = secret_in(way.password_file, f"{at}.password-file") if way.password_file else ""
        found[name] = Credentials(
            way.user,
            password,
            partial(secret_in, way.token_file, f"{at}.token-file") if way.token_file else None,
            nonce=partial(randomness.token_hex, 16),
            has_certificate=bool(way.certificate_file),
            integrated=_integrated(way, password),
        )
    return found


def _integrated(way: SendConnector, password: str) -> partial[ClientExchange] | None:
    wanted = INTEGRATED & set(way.auth_mechanisms)
    if not wanted or not password:
        return None
    load_extra("spnego", *(("gssapi", "krb5") if "GSSAPI" in wanted else ()))
    return partial(_client, way.user, password)


def _client(user: str, password: str, mechanism: str, host: str) -> ClientExchange:
    if mechanism == "NTLM":
        return NtlmClient(user, password)
    return GssapiClient(user, password, host=host)
