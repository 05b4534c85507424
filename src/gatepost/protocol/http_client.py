"""HTTP/1.1 as a client, for one request and its answer (RFC 9112): bytes in, the answer out. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import h11

from gatepost.model.fault import WorldFault

ETAG_LIMIT_BYTES: Final = 1024
HEAD_LIMIT_BYTES: Final = 16 * 1024
"""Of the status line and the fields together."""
_FRAMING_LIMIT_BYTES: Final = 64 * 1024
"""What chunks' sizes, interim answers and trailers may take besides the body."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A whole answer. The body has no coding left. media_type: lower case, without parameters."""

    status: int
    body: bytes = field(repr=False)
    etag: str = ""
    media_type: str = ""


class HttpExchange:
    """One request, then its answer, then the connection is of no more use.

    body_limit_bytes: of the answer; a longer one is a fault as soon as that shows.
    """

    def __init__(
        self,
        method: str,
        target: str,
        fields: Sequence[tuple[str, str]],
        body: bytes,
        *,
        body_limit_bytes: int,
    ) -> None:
        """Raises ValueError for a target or fields that HTTP does not allow."""
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT_BYTES)
        self._limit_bytes = body_limit_bytes
        self._received_bytes = 0
        self._status = 0
        self._etag = ""
        self._media_type = ""
        self._body = bytearray()
        try:
            self.opening = self._said(method, target, fields, body)
        except h11.LocalProtocolError as error:
            raise ValueError(f"no HTTP request can say this: {error}") from error

    def _said(self, method: str, target: str, fields: Sequence[tuple[str, str]], body: bytes) -> bytes:
        length = [("Content-Length", str(len(body)))] if body else []
        head = h11.Request(method=method, target=target, headers=[*fields, ("Connection", "close"), *length])
        content = [h11.Data(data=body)] if body else []
        return b"".join(self._connection.send(event) or b"" for event in (head, *content, h11.EndOfMessage()))

    def receive(self, data: bytes) -> HttpAnswer | None:
        """The answer once it is complete; not to be called again then.

        data: b"" at the end of the stream. Raises WorldFault.
        """
        self._received_bytes += len(data)
        if self._received_bytes > self._limit_bytes + _FRAMING_LIMIT_BYTES:
            raise self._too_long()
        if not data and not self._status:
            raise WorldFault("the server closed the connection before it answered")
        try:
            self._connection.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            raise WorldFault(f"the answer is not HTTP: {error}") from error

    def _read(self) -> HttpAnswer | None:
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Response):
                self._begin(event)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self._limit_bytes:
                    raise self._too_long()
            elif isinstance(event, h11.EndOfMessage):
                return HttpAnswer(self._status, bytes(self._body), self._etag, self._media_type)
            elif not isinstance(event, h11.InformationalResponse):
                return None  # more has to come first

    def _begin(self, response: h11.Response) -> None:
        self._status = response.status_code
        for name, value in response.headers:
            if name == b"etag" and len(value) <= ETAG_LIMIT_BYTES:
                self._etag = value.decode("ascii", "ignore")
            if name == b"content-encoding" and value.lower() != b"identity":
                raise WorldFault("the answer has a content coding that nobody asked for")
            if name == b"content-type":
                self._media_type = value.decode("latin-1").partition(";")[0].strip().lower()

    def _too_long(self) -> WorldFault:
        return WorldFault(f"the answer is longer than {self._limit_bytes} octets")
