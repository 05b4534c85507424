"""The address of a service we ask over HTTPS."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

URL_LIMIT_CHARACTERS: Final = 2048
_HTTPS_PORT: Final = 443


@dataclass(frozen=True, slots=True)
class HttpsUrl:
    """host: an A-label name or an IP address without brackets. target: path and query, as they are sent."""

    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the Host field says (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _HTTPS_PORT else f"{host}:{self.port}"


def parse_https_url(text: str) -> HttpsUrl:
    """Raises ValueError for anything but https://host[:port]/path[?query] in printable ASCII."""
    if len(text) > URL_LIMIT_CHARACTERS or not all("!" <= letter <= "~" for letter in text):
        raise ValueError(f"is not a URL of at most {URL_LIMIT_CHARACTERS} printable ASCII characters")
    parts = urlsplit(text)
    if parts.scheme != "https":
        raise ValueError("does not begin with https://")
    if "@" in parts.netloc or "#" in text:
        raise ValueError("has a user name or a fragment")
    host = _host(parts)
    query = f"?{parts.query}" if parts.query else ""
    return HttpsUrl(host, parts.port or _HTTPS_PORT, (parts.path or "/") + query)


def _host(parts: SplitResult) -> str:
    host = parts.hostname or ""
    if not host:
        raise ValueError("has no host")
    if parts.netloc.startswith("["):
        return str(ipaddress.IPv6Address(host))
    if not all(letter.isalnum() or letter in "-._" for letter in host):
        raise ValueError(f"{host!r} is no host name")
    return host
