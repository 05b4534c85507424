"""The settings of return paths we sign: SRS for mail we forward, tags (BATV) for mail of our own."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from gatepost.config.schema import Duration, Table, setting

SrsRule = Literal["forwarded", "always", "never"]
"""What a send connector does with return paths that are not ours."""


def _are_names(entries: tuple[str, ...]) -> tuple[str, ...]:
    from gatepost.config.networks import name_problem  # only a file with entries pays for it

    for entry in entries:
        if problem := name_problem(entry.removeprefix("*.")):
            raise ValueError(f"{entry[:255]!r}: {problem}")
    return entries


class Srs(Table):
    """[srs]: return paths of forwarded mail lead through us, so that SPF passes at its next hop. Off without keys."""

    key_file: str = setting(
        "Secrets, one a line, at least 16 characters each: the first signs, all are believed. Empty: no SRS",
        default="",
    )
    domain: str = setting(
        "An accepted domain of ours in which the rewritten return paths are; its SPF record must name this gateway",
        default="",
        example='"bounces.example.com"',
    )
    max_age_s: Duration = setting(
        "How long a notice may come back; a key must stay in the file as long after it signs no more",
        default=21 * 86400.0,
        low=86400,
        high=200 * 86400,
    )
    hash_length: int = setting(
        "Characters of the hash, of 5 bits each; shorter ones than this are not believed",
        default=8,
        low=6,
        high=20,
    )
    only_with_spf: bool = setting(
        "Rewrite only senders whose domain publishes SPF, which forwarding would break; where the DNS does not answer, "
        "they are rewritten",
        default=False,
    )
    exempt_domains: tuple[str, ...] = setting(
        'Senders\' domains that are left as they are, "example.net" or "*.example.net" for those below it: their SPF '
        "record names this gateway",
        default=(),
    )
    only_notices: bool = setting(
        "Rewritten return paths take mail without a return path only; false: replies, too", default=True
    )

    _are_names = field_validator("exempt_domains")(_are_names)


class Batv(Table):
    """[batv]: return paths of our own mail carry a tag (prvs=); notices about forgeries lack it. Off without keys."""

    key_file: str = setting(
        "Secrets, one a line, at least 16 characters each: the first tags, all are believed. Empty: no tags",
        default="",
    )
    max_age_s: Duration = setting(
        "How long a tag is good; a key must stay in the file as long after it tags no more",
        default=7 * 86400.0,
        low=86400,
        high=100 * 86400,
    )
    untagged_destinations: tuple[str, ...] = setting(
        'Recipients\' domains that get plain return paths, "example.net" or "*.example.net" for those below it: '
        "lists that know their members by the return path",
        default=(),
    )

    _are_names = field_validator("untagged_destinations")(_are_names)
