"""What rate limits and the guard against guessing must make sense of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gatepost.config.errors import Complaint, closest, quoted
from gatepost.config.settings import Settings

RATE_LIMITS_LIMIT: Final = 50
"""Each costs every mail a look-up."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def check_guards(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [rate-limits] and [harvest]."""
    if len(settings.rate_limits) > RATE_LIMITS_LIMIT:
        yield Complaint(at=("rate-limits",), message=f"are more than {RATE_LIMITS_LIMIT}")
    doors = settings.receive_connectors
    for name, limit in settings.rate_limits.items():
        if not _NAME.fullmatch(name):
            yield Complaint(
                at=("rate-limits", name),
                message="the name stands in log lines and metrics: lower-case letters, digits and -, at most 64",
            )
        for number, door in enumerate(limit.connectors):
            if door not in doors:
                yield Complaint(
                    at=("rate-limits", name, "connectors", number),
                    message=f"there is no receive connector {quoted(door)}",
                    accepted=tuple(doors),
                    did_you_mean=closest(door, doors),
                )
    harvest = settings.harvest
    if 0 < harvest.network_block_at < harvest.block_at:
        yield Complaint(
            at=("harvest", "network-block-at"),
            message=f"is less than block-at ({harvest.block_at}): one client blocks its whole network",
            is_warning=True,
        )
