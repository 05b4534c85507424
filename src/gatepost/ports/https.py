"""Questions to services over HTTPS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from gatepost.model.https_url import HttpsUrl


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpsRequest:
    """One question.

    body: b"" asks with GET, anything else is sent with POST. authorization: the field
    of that name, "" for none. answer_limit_bytes: of the body. timeout_s: for all of it.
    body_type: the body's media type. accept: the media type of an answer we can read;
    accept_only: another is a fault. public_only: a server at an address of our own networks is not asked.
    """

    url: HttpsUrl
    body: bytes = field(default=b"", repr=False)
    authorization: str = field(default="", repr=False)
    answer_limit_bytes: int
    timeout_s: float
    accept: str = "application/json"
    body_type: str = "application/x-www-form-urlencoded"
    """The body's media type."""
    accept_only: bool = False
    """An answer of another media type is a fault."""
    public_only: bool = False
    """A server at an address of our own networks is not asked."""
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
        """The body of a 200, or of a 201 or 202 to a POST. Raises WorldFault for everything else."""


class HttpsFetcher(Protocol):
    """The same for what is fetched again and again."""

    async def fetch(self, request: HttpsRequest) -> Fetched:
        """As HttpsClient.ask(); 304 is an answer, too."""
