"""Access tokens: whom one names, once the issuer's signature, the audience and the times are good (E14)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from gatepost.config.login_settings import Tokens
from gatepost.intake.auth_exchange import CREDENTIALS_INVALID, is_name
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.reply import Reply
from gatepost.ports.directory import TokenKeys
from gatepost.ports.world import Clock
from gatepost.standards.jwt import Demands, SigningKey, TokenRefused, parse_keys, verified_claims

UNAVAILABLE: Final = Reply(454, "4.7.0", "Temporary authentication failure")


class TokenCheck(Protocol):
    """Whom a token names. Made once a worker."""

    async def user_of(self, token: str) -> str:
        """Raises PeerFault (535) for a token that does not count, WorldFault (454) when that cannot be told."""


class Bearer:
    """By the issuer's keys. They are parsed again only when their source gives other octets."""

    def __init__(self, settings: Tokens, keys: TokenKeys, clock: Clock) -> None:
        self._settings = settings
        self._source = keys
        self._clock = clock
        self._parsed: tuple[bytes, tuple[SigningKey, ...]] = (b"", ())

    async def user_of(self, token: str) -> str:
        """As TokenCheck.user_of."""
        keys = self._keys()
        try:
            claims = verified_claims(token, keys, demands_of(self._settings, self._clock.now()))
        except TokenRefused as error:
            raise refused(error) from error
        return user_named(claims, self._settings)

    def _keys(self) -> tuple[SigningKey, ...]:
        data = self._source.read()
        seen, keys = self._parsed
        if data is not seen:
            try:
                keys = parse_keys(data)
            except ValueError as error:
                raise WorldFault(f"the issuer's keys: {error}", UNAVAILABLE) from error
            self._parsed = (data, keys)
        return keys


def demands_of(settings: Tokens, now: float) -> Demands:
    """What the settings ask of a token."""
    return Demands(
        issuer=settings.issuer,
        audience=settings.audience,
        scope=settings.scope,
        algorithms=settings.algorithms,
        now=now,
        leeway_s=settings.leeway_s,
    )


def user_named(claims: Mapping[str, Any], settings: Tokens) -> str:
    """The user's name here. Raises PeerFault."""
    user = claims.get(settings.user_claim)
    if not isinstance(user, str) or not is_name(user):
        raise PeerFault(CREDENTIALS_INVALID, f"a token without a usable {settings.user_claim}")
    if settings.user_claim == "email" and claims.get("email_verified") is False:
        raise PeerFault(CREDENTIALS_INVALID, "a token whose email was never verified")
    return user


def refused(error: TokenRefused) -> PeerFault:
    """What the client hears, and what we write."""
    return PeerFault(CREDENTIALS_INVALID, f"a token is refused: {error}")
