"""Joins the signing of return paths: settings, and keys from their files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gatepost.config.settings import Settings
from gatepost.main.secrets import secret_in
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.fault import PeerFault, WorldFault
from gatepost.ports.resolver import Resolver
from gatepost.protocol.domain_entries import domain_entries
from gatepost.routing.accepted import canonical_domain
from gatepost.standards.return_paths import ReturnPaths
from gatepost.standards.signed_paths import Srs, Tags, read_keys


def return_paths_of(settings: Settings, accepted: AcceptedDomains) -> ReturnPaths | None:
    """None: no return path is signed. Raises WorldFault when keys cannot be read."""
    srs, batv = settings.srs, settings.batv
    if not srs.key_file and not batv.key_file:
        return None
    return ReturnPaths(
        accepted=accepted,
        srs=Srs(
            keys=_keys(srs.key_file, "srs.key-file"),
            domain=canonical_domain(srs.domain),
            max_age_s=srs.max_age_s,
            hash_chars=srs.hash_length,
        )
        if srs.key_file
        else None,
        only_notices=srs.only_notices,
        only_with_spf=srs.only_with_spf,
        exempt=domain_entries(srs.exempt_domains),
        tags=Tags(keys=_keys(batv.key_file, "batv.key-file"), max_age_s=batv.max_age_s)
        if batv.key_file
        else None,
        untagged=domain_entries(batv.untagged_destinations),
    )


def spf_asker(resolver: Resolver, timeout_s: float) -> Callable[[str], Awaitable[bool]]:
    """Whether a domain publishes an SPF record; a DNS that does not answer does not say no."""

    async def publishes_spf(domain: str) -> bool:
        try:
            texts = await resolver.texts(domain, timeout_s=timeout_s)
        except PeerFault:
            return False
        except WorldFault:
            return True
        return any(text.lower().split(b" ")[0] == b"v=spf1" for text in texts)

    return publishes_spf


def _keys(path: str, setting: str) -> tuple[bytes, ...]:
    try:
        return read_keys(secret_in(path, setting))
    except ValueError as error:
        raise WorldFault(f"{setting} {error}", file=path) from error
