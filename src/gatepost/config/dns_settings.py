"""[dns]: who answers our questions, and what of it is believed."""

from __future__ import annotations

import re
from typing import Final, Literal

from pydantic import field_validator

from gatepost.config.schema import Duration, Table, setting

ZONES_LIMIT: Final = 100
_ZONE: Final = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*"
)


class Dns(Table):
    """[dns]: who answers our questions."""

    servers: tuple[str, ...] = setting(
        'Addresses of resolvers, "127.0.0.1" or "127.0.0.1:5353"; empty: those of the system',
        default=(),
    )
    order: Literal["fastest", "listed"] = setting(
        "Which of several servers is asked first: the one that usually answers fastest, of those whose word on DNSSEC "
        "counts; or the first of the list. One that is silent is asked last for ten seconds",
        default="fastest",
    )
    timeout_s: Duration = setting(
        "Patience with one question, all servers and retries", default=5.0, low=0.1, high=60
    )
    cache_entries: int = setting("Most answers kept", default=50000, low=0)
    trust_ad: Literal["loopback", "yes", "no"] = setting(
        "Which servers are believed when they say that they have validated an answer by DNSSEC (the AD bit): "
        "those on loopback addresses; all, because the way to them cannot be tampered with; none",
        default="loopback",
    )
    lowest_ttl_s: Duration = setting(
        "How long an answer is kept at least, whatever its zone says", default=5.0, low=5, high=3600
    )
    highest_ttl_s: Duration = setting(
        "How long an answer is kept at most", default=86400.0, low=3600, high=86400
    )
    refresh_from: int = setting(
        "An answer used more often than this is asked for again in the last tenth of its time, so that nobody "
        "waits for it; 0: never",
        default=3,
        low=0,
    )
    questions_per_mail: int = setting(
        "Questions that the facts about one mail may send to the servers; what the next ones would have found "
        "out is unknown. What the cache knows is not counted, nor what SPF, DKIM and DMARC ask, which have limits "
        "of their own",
        default=200,
        low=10,
        high=10000,
    )
    watched_zones: tuple[str, ...] = setting(
        "Zones whose questions are counted by themselves in the metrics and in `gatepost dns statistics`, "
        "such as those of DNS lists; at most 100",
        default=(),
    )

    test_name: str = setting(
        "Name of a signed zone that is asked for when the gateway starts, to see whether the servers answer and "
        "validate; empty: none",
        default="org",
    )

    @field_validator("test_name")
    @classmethod
    def _is_name(cls, name: str) -> str:
        return _zone(name) if name else name

    @field_validator("watched_zones")
    @classmethod
    def _are_zones(cls, zones: tuple[str, ...]) -> tuple[str, ...]:
        if len(zones) > ZONES_LIMIT:
            raise ValueError(f"more than {ZONES_LIMIT} zones")
        return tuple(_zone(text) for text in zones)


def _zone(text: str) -> str:
    bare = text.lower().rstrip(".")
    if not _ZONE.fullmatch(bare):
        raise ValueError(f"{text[:300]!r} is no name of a zone")
    return bare
