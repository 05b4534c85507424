"""Access tokens by their issuer's word: it is asked about each (RFC 7662), and a yes is remembered for a while."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable
from typing import Final
from urllib.parse import quote_plus, urlencode

from gatepost.config.login_settings import Tokens
from gatepost.intake.auth_exchange import CREDENTIALS_INVALID
from gatepost.intake.bearer import UNAVAILABLE, demands_of, refused, user_named
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.model.https_url import parse_https_url
from gatepost.ports.https import HttpsClient, HttpsRequest
from gatepost.ports.world import Clock
from gatepost.standards.jwt import TokenRefused, check_claims, read_introspection, time_of

ANSWER_LIMIT_BYTES: Final = 64 * 1024
QUESTIONS_WAITING: Final = 200


class Introspection:
    """Keeps the promise of intake.bearer.TokenCheck.

    secret: reads our secret at the issuer; raises WorldFault when it cannot. Nothing of a token
    is kept but its SHA-256, and that only of one that counts.
    """

    def __init__(
        self, settings: Tokens, https: HttpsClient, *, secret: Callable[[], str], clock: Clock
    ) -> None:
        self._settings = settings
        self._url = parse_https_url(settings.introspection.url)
        self._https = https
        self._secret = secret
        self._clock = clock
        self._slots = asyncio.Semaphore(settings.introspection.requests_at_once)
        self._waiting = 0
        self._good: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        """Mark of a token -> the user, and until when (monotonic) that is believed."""

    async def user_of(self, token: str) -> str:
        """As TokenCheck.user_of."""
        mark = hashlib.sha256(token.encode()).digest()
        user, until = self._good.get(mark, ("", 0.0))
        if user and self._clock.monotonic() < until:
            self._good.move_to_end(mark)
            return user
        try:
            claims = read_introspection(await self._asked(token))
        except ValueError as error:
            raise WorldFault(f"{self._url.authority}: {error}", UNAVAILABLE) from error
        if claims is None:
            raise PeerFault(CREDENTIALS_INVALID, "a token is refused: its issuer says that it does not count")
        try:
            check_claims(claims, demands_of(self._settings, self._clock.now()))
            expires_at = time_of(claims, "exp")
        except TokenRefused as error:
            raise refused(error) from error
        user = user_named(claims, self._settings)
        self._remember(mark, user, expires_at)
        return user

    async def _asked(self, token: str) -> bytes:
        """The issuer's answer. Raises WorldFault."""
        if self._waiting >= QUESTIONS_WAITING:
            raise WorldFault("too many tokens wait for their issuer's word", UNAVAILABLE)
        request = HttpsRequest(
            url=self._url,
            body=urlencode({"token": token, "token_type_hint": "access_token"}).encode(),
            authorization=self._authorization(),
            answer_limit_bytes=ANSWER_LIMIT_BYTES,
            timeout_s=self._settings.timeout_s,
        )
        self._waiting += 1
        try:
            async with self._slots:
                return await self._https.ask(request)
        finally:
            self._waiting -= 1

    def _authorization(self) -> str:
        """RFC 6749 §2.3.1: both are encoded as in a form before they are joined."""
        pair = f"{quote_plus(self._settings.introspection.client_id)}:{quote_plus(self._secret())}"
        return f"Basic {b64encode(pair.encode()).decode('ascii')}"

    def _remember(self, mark: bytes, user: str, expires_at: float | None) -> None:
        settings = self._settings.introspection
        keep_s = settings.cache_time_s
        if expires_at is not None:
            keep_s = min(keep_s, expires_at - self._clock.now())
        if keep_s <= 0:
            self._good.pop(mark, None)
            return
        self._good[mark] = (user, self._clock.monotonic() + keep_s)
        self._good.move_to_end(mark)
        while len(self._good) > settings.cache_entries:
            self._good.popitem(last=False)
