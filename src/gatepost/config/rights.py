"""The names of rights as the file writes them (model.session.Rights)."""

from __future__ import annotations

from typing import Literal

Right = Literal[
    "submit",
    "relay",
    "any-sender",
    "own-domain-sender",
    "bypass-filters",
    "bypass-size",
    "routing-headers",
    "organization-headers",
    "internal",
]
