"""HTTPS questions over our own dialer: the names by our resolver, the certificates verified, one connection each."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

from gatepost.model.fault import Fault, WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.model.reach import may_be_named
from gatepost.ports.https import Fetched, HttpsRequest
from gatepost.ports.resolver import Resolver
from gatepost.ports.wire import Dialer, OutgoingWire
from gatepost.protocol.http_client import HttpAnswer, HttpExchange

_ADDRESSES_TRIED: Final = 4
_NOT_MODIFIED: Final = 304


class HttpsAsker:
    """Keeps the promises of ports.https.HttpsClient and HttpsFetcher."""

    def __init__(
        self,
        resolver: Resolver,
        dialer: Dialer,
        *,
        ca_file: str,
        is_public: Callable[[str], bool] = lambda _: True,
    ) -> None:
        """ca_file: the authorities that are believed, and no others; "" for the system's.

        is_public: which addresses a question that is `public_only` may go to; others go where an administrator
        may name a service.
        """
        self._is_public = is_public
        self._resolver = resolver
        self._dialer = dialer
        self._link = LinkTls(mode=LinkMode.VERIFIED, ca_file=ca_file)

    async def ask(self, request: HttpsRequest) -> bytes:
        """The body of a 200. Raises WorldFault."""
        return (await self._good(request)).body

    async def fetch(self, request: HttpsRequest) -> Fetched:
        """As HttpsFetcher."""
        answer = await self._good(request)
        if answer.status == _NOT_MODIFIED:
            return Fetched(body=None, etag=answer.etag or request.etag)
        return Fetched(body=answer.body, etag=answer.etag)

    async def _good(self, request: HttpsRequest) -> HttpAnswer:
        url = request.url
        try:
            async with asyncio.timeout(request.timeout_s):
                answer = await self._answer(request)
        except TimeoutError as error:
            raise WorldFault(f"{url.authority}: no answer within {request.timeout_s:g} s") from error
        except Fault as fault:
            raise WorldFault(f"{url.authority}: {fault.reason}") from fault
        if answer.status == _NOT_MODIFIED and request.etag:
            return answer
        if 300 <= answer.status < 400:
            raise WorldFault(f"{url.authority}: answered {answer.status}, and redirects are not followed")
        if answer.status != 200 and not (request.body and answer.status in (201, 202)):
            raise WorldFault(f"{url.authority}: answered {answer.status}")
        if request.accept_only and answer.media_type != request.accept:
            raise WorldFault(f"{url.authority}: answered {answer.media_type[:60]!r}, not {request.accept}")
        return answer

    async def _answer(self, request: HttpsRequest) -> HttpAnswer:
        exchange = HttpExchange(
            "POST" if request.body else "GET",
            request.url.target,
            _fields(request),
            request.body,
            body_limit_bytes=request.answer_limit_bytes,
        )
        wire = await self._connected(request)
        try:
            await wire.start_tls(request.url.host, link=self._link, timeout_s=request.timeout_s)
            wire.write(exchange.opening)
            while True:
                data = await wire.read(timeout_s=request.timeout_s)
                answer = exchange.receive(data)
                if answer is not None:
                    return answer
                if not data:
                    raise WorldFault("the connection ended before the answer did")
        finally:
            wire.close()

    async def _connected(self, request: HttpsRequest) -> OutgoingWire:
        url, timeout_s = request.url, request.timeout_s
        found = await self._addresses(url.host, timeout_s)
        may_be_asked = self._is_public if request.public_only else may_be_named
        addresses = [address for address in found if may_be_asked(address)]
        if not addresses:
            kind = ("public " if request.public_only else "possible ") if found else ""
            raise WorldFault(f"{url.host} has no {kind}address")
        last: WorldFault | None = None
        for address in addresses[:_ADDRESSES_TRIED]:
            try:
                return await self._dialer.connect(address, url.port, source_address="", timeout_s=timeout_s)
            except WorldFault as fault:
                last = fault
        assert last is not None, "every address failed, and none did"
        raise last

    async def _addresses(self, host: str, timeout_s: float) -> Sequence[str]:
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            return await self._resolver.addresses(host, timeout_s=timeout_s)


def _fields(request: HttpsRequest) -> list[tuple[str, str]]:
    fields = [
        ("Host", request.url.authority),
        ("Accept", request.accept),
        ("Accept-Encoding", "identity"),
    ]
    if request.body:
        fields.append(("Content-Type", request.body_type))
    if request.etag:
        fields.append(("If-None-Match", request.etag))
    if request.authorization:
        fields.append(("Authorization", request.authorization))
    return fields
