"""Questions to services over HTTPS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gatepost.model.https_url import HttpsUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsRequest:
    """One question.

    body: b"" asks with GET, anything else is sent with POST as a form. authorization: the field
    of that name, "" for none. answer_limit_bytes: of the body. timeout_s: for all of it.
    """

    url: HttpsUrl
    body: bytes = field(default=b"", repr=False)
    authorization: str = field(default="", repr=False)
    answer_limit_bytes: int
    timeout_s: float
    accept: str = "application/json"
    etag: str = ""
    """Of what we have: the body comes only when the server has another (RFC 9110 §13.1.2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What a fetch brought. body: None when it is as it was. etag: "" when the server gives none."""

    body: bytes | None = field(repr=False)
    etag: str = ""


class HttpsClient(Protocol):
    """Asks, with the server's certificate verified. Follows no redirects, keeps no cookies."""

    async def ask(self, request: HttpsRequest) -> bytes:
        """The body of a 200. Raises WorldFault for everything else: another status, no connection, no time."""

    async def fetch(self, request: HttpsRequest) -> Fetched:
        """As ask(), for something that is fetched again and again: 304 is an answer, too."""
