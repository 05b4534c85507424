"""Joins the signing of return paths: settings, and keys from their files."""

from __future__ import annotations

from gatepost.config.settings import Settings
from gatepost.main.secrets import secret_in
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.fault import WorldFault
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
        )
        if srs.key_file
        else None,
        only_notices=srs.only_notices,
        tags=Tags(keys=_keys(batv.key_file, "batv.key-file"), max_age_s=batv.max_age_s)
        if batv.key_file
        else None,
        untagged=domain_entries(batv.untagged_destinations),
    )


def _keys(path: str, setting: str) -> tuple[bytes, ...]:
    try:
        return read_keys(secret_in(path, setting))
    except ValueError as error:
        raise WorldFault(f"{setting} {error}", file=path) from error
