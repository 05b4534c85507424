"""What a receive connector's profile stands for: defaults of its own, which the file may override one by one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

Profile = Literal["internet", "submission", "submissions"]
DomainKind = Literal["single-label", "reserved-top-level", "reserved-second-level"]

_FOR_ACCOUNTS: Final[Mapping[str, object]] = {
    "auth": True,
    "anonymous-rights": (),
    "authenticated-bare-newlines": "normalize",  # RFC 6409 §8: a submission server may mend what its users send
    "refused-recipient-domains": ("single-label",),  # RFC 6409 §4.2: domains must be fully qualified
}
PROFILES: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "internet": {},
        "submission": {  # RFC 6409
            "listen": ("0.0.0.0:587", "[::]:587"),
            "tls": "required",
            **_FOR_ACCOUNTS,
        },
        "submissions": {  # RFC 8314 §3.3
            "listen": ("0.0.0.0:465", "[::]:465"),
            "tls": "implicit",
            **_FOR_ACCOUNTS,
        },
    }
)


def with_profile(table: Any) -> Any:
    """A connector's table as the file has it, with what its profile adds. A profile that is none adds nothing."""
    profile = table.get("profile") if isinstance(table, dict) else None
    defaults = PROFILES.get(profile) if isinstance(profile, str) else None
    return {**defaults, **table} if defaults else table
