"""Joins what checks access tokens: keys from a file or from the issuer, or the issuer's word."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial

from gatepost.adapters.https import HttpsAsker
from gatepost.adapters.token_keys import FILE_LIMIT_BYTES, TokenKeysFile, TokenKeysUrl
from gatepost.config import login_settings
from gatepost.intake.bearer import Bearer, TokenCheck
from gatepost.intake.introspection import Introspection
from gatepost.main.secrets import secret_in
from gatepost.model.fault import WorldFault
from gatepost.model.https_url import parse_https_url
from gatepost.ports.https import HttpsClient, HttpsRequest
from gatepost.ports.log import Log
from gatepost.ports.resolver import Resolver
from gatepost.ports.wire import Dialer
from gatepost.ports.world import Clock
from gatepost.standards.jwt import parse_keys


class Tokens:
    """One worker's. check: None when no token counts."""

    def __init__(
        self, settings: login_settings.Tokens, resolver: Resolver, *, dialer: Dialer, clock: Clock, log: Log
    ) -> None:
        self.check: TokenCheck | None = None
        self._published: TokenKeysUrl | None = None
        if settings.keys_file:
            self.check = Bearer(settings, TokenKeysFile(settings.keys_file), clock)
        elif settings.keys_url:
            self._published = TokenKeysUrl(
                partial(_fetched, settings, _https(settings, resolver, dialer)),
                refresh_s=settings.keys_refresh_s,
                age_s=settings.keys_age_s,
                clock=clock,
                log=log,
            )
            self.check = Bearer(settings, self._published, clock)
        elif settings.introspection.url:
            path = settings.introspection.secret_file
            secret = partial(secret_in, path, "users.tokens.introspection.secret-file")
            self.check = Introspection(
                settings, _https(settings, resolver, dialer), secret=secret, clock=clock
            )

    def start(self) -> Iterator[asyncio.Task[None]]:
        """What goes on until it is cancelled."""
        if self._published is not None:
            yield asyncio.get_running_loop().create_task(self._published.run())


def _https(settings: login_settings.Tokens, resolver: Resolver, dialer: Dialer) -> HttpsClient:
    return HttpsAsker(resolver, dialer, ca_file=settings.ca_file)


async def _fetched(settings: login_settings.Tokens, https: HttpsClient) -> bytes:
    """The issuer's keys. Raises WorldFault, also for what is no key set."""
    request = HttpsRequest(
        url=parse_https_url(settings.keys_url),
        answer_limit_bytes=FILE_LIMIT_BYTES,
        timeout_s=settings.timeout_s,
    )
    data = await https.ask(request)
    try:
        parse_keys(data)
    except ValueError as error:
        raise WorldFault(f"users.tokens.keys-url: {error}") from error
    return data
