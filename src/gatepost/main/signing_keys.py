"""Joins the keys that mail is signed with: their files read once for each configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.config.dkim_settings import DkimSigning
from gatepost.config.own_names import own_authserv_ids
from gatepost.config.settings import Settings
from gatepost.delivery.sealing import Sealer
from gatepost.delivery.signing import DomainKeys, Signer, wanted_fields
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Counters
from gatepost.standards.dkim_sign import SigningKey, load_key


def signer_of(
    settings: Settings,
    accepted: AcceptedDomains,
    store: SqliteStore,
    *,
    now: Callable[[], float],
    counters: Counters,
) -> Signer | None:
    """None when no domain has a key. Raises WorldFault when a key cannot be read."""
    keys = signing_keys(settings.dkim_signing)
    if not keys:
        return None
    return Signer(
        settings.dkim_signing,
        keys,
        accepted=accepted,
        now=now,
        bodies=store,
        body_path=store.body_path,
        counters=counters,
        sealer=_sealer_of(settings, keys, counters),
    )


def _sealer_of(settings: Settings, keys: dict[str, DomainKeys], counters: Counters) -> Sealer | None:
    sealing = keys.get(settings.arc.seal_domain.lower()) if settings.arc.seal else None
    if sealing is None or not sealing.keys:
        return None
    return Sealer(
        key=sealing.keys[0],
        own_names=own_authserv_ids(settings),
        wanted=wanted_fields(settings.dkim_signing),
        counters=counters,
    )


def signing_keys(settings: DkimSigning) -> dict[str, DomainKeys]:
    """The active keys by domain; none when signing is off. Raises WorldFault when one cannot be read."""
    if not settings.enabled:
        return {}
    found = {}
    for name, domain in settings.domains.items():
        keys = [key for state, key in _keys(name, settings) if state == "active"]
        keys.sort(key=lambda key: key.algorithm != "rsa-sha256")
        found[name.lower()] = DomainKeys(
            keys=tuple(keys), identity=domain.identity, subdomains=domain.subdomains
        )
    return found


def all_keys(settings: DkimSigning) -> list[tuple[str, SigningKey]]:
    """State and key of every selector, in the order of the file. Raises WorldFault when one cannot be read."""
    return [pair for name in settings.domains for pair in _keys(name, settings)]


def _keys(name: str, settings: DkimSigning) -> Iterator[tuple[str, SigningKey]]:
    for selector, one in settings.domains[name].selectors.items():
        at = f"dkim-signing.domains.{name}.selectors.{selector}.key-file"
        try:
            key = load_key(Path(one.key_file).read_bytes())
        except (OSError, ValueError) as error:
            raise WorldFault(f"{at}: {one.key_file} {error}") from error
        yield one.state, SigningKey(name.lower(), selector.lower(), key)
