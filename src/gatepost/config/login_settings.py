"""The settings of accounts: where they are kept, what a password must be, what failures lead to, whose tokens count."""

from __future__ import annotations

from typing import Literal

from gatepost.config.schema import Duration, Table, setting

Mechanism = Literal[
    "EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"
]
TokenAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


class Lockout(Table):
    """[users.lockout]: failed AUTH after which nobody is asked again for a while. Each worker counts for itself."""

    account_failures: int = setting(
        "Failures of one account in the window after which it is closed to clients it did not come from before",
        default=10,
        low=1,
    )
    client_failures: int = setting(
        "Failures of one IPv4 address or IPv6 /64 in the window after which it may not log in",
        default=20,
        low=1,
    )
    network_failures: int = setting(
        "Failures of one IPv4 /24 or IPv6 /56 in the window after which it may not log in", default=100, low=1
    )
    all_failures: int = setting(
        "Failures of everybody in the window that are an attack: an alarm, and the longest delay for clients "
        "an account did not come from before",
        default=1000,
        low=1,
    )
    window_s: Duration = setting(
        "How long failures count, from the first of them", default=900.0, low=1, high=86400
    )
    known_networks: tuple[str, ...] = setting(
        "Addresses, networks (CIDR) or ranges a-b that are slowed down by failures and never locked out",
        default=(),
    )


class Tokens(Table):
    """[users.tokens]: access tokens for OAUTHBEARER and XOAUTH2."""

    keys_file: str = setting(
        "The issuer's public keys (JWKS, RFC 7517); read again when it changes. Empty: no tokens", default=""
    )
    issuer: str = setting(
        "The `iss` a token must have", default="", example="https://login.example.com/realms/mail"
    )
    audience: str = setting("The `aud` a token must have, alone or among others", default="")
    user_claim: str = setting("The claim that is the user's name here", default="email")
    algorithms: tuple[TokenAlgorithm, ...] = setting(
        "Signatures that are believed", default=("RS256", "PS256", "ES256", "EdDSA")
    )
    leeway_s: Duration = setting(
        "How far the issuer's clock may differ from ours", default=60.0, low=0, high=600
    )


class Users(Table):
    """[users]: who may authenticate."""

    file: str = setting(
        "Accounts made by `gatepost user add`; empty: users in the state directory", default=""
    )
    password_length: int = setting("Least characters of a new password", default=12, low=8, high=128)
    recipients_per_hour: int = setting(
        "Recipients of one account in an hour after which more are answered 450, in one worker; 0: no limit",
        default=2000,
        low=0,
    )
    lockout: Lockout = setting("What failures lead to", default=Lockout())
    tokens: Tokens = setting("Whose tokens count", default=Tokens())
