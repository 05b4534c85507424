"""What SRS and tags need to work: keys nobody else can read, and a domain of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from gatepost.config.credentials import is_elsewhere
from gatepost.config.errors import Complaint
from gatepost.config.files import secret_problem
from gatepost.config.networks import name_problem
from gatepost.config.settings import Settings

KEY_LIMIT_CHARS: Final = 16
KEYS_LIMIT: Final = 10
KEY_FILE_LIMIT_CHARS: Final = 64 << 10


def check_return_paths(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [srs] and [batv]."""
    yield from _key_file("srs", settings.srs.key_file)
    yield from _key_file("batv", settings.batv.key_file)
    srs = settings.srs
    for name, connector in settings.send_connectors.items():
        if connector.srs == "always" and not srs.key_file:
            yield Complaint(
                at=("send-connectors", name, "srs"),
                message="always, and [srs] has no key-file: nothing is rewritten",
            )
    if srs.key_file and not srs.domain:
        yield Complaint(
            at=("srs", "domain"), message="is missing: rewritten return paths need a domain of ours"
        )
    elif srs.domain and (problem := name_problem(srs.domain)):
        yield Complaint(at=("srs", "domain"), message=f"{srs.domain!r}: {problem}")
    elif srs.domain and not _is_accepted(srs.domain, settings):
        yield Complaint(
            at=("srs", "domain"),
            message=f"{srs.domain} is no accepted domain: notices to it would be refused as relaying",
        )


def _key_file(table: str, path: str) -> Iterator[Complaint]:
    if path and (problem := secret_problem(path) or _keys_problem(path)):
        yield Complaint(at=(table, "key-file"), message=f"{path} {problem}")


def _keys_problem(path: str) -> str:
    """As standards.signed_paths.read_keys sees it. A credential is only seen by the service."""
    if is_elsewhere(path):
        return ""
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file.read(KEY_FILE_LIMIT_CHARS).splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        return f"cannot be read: {error}"
    keys = [line for line in lines if line and not line.startswith("#")]
    if not 0 < len(keys) <= KEYS_LIMIT:
        return f"has {len(keys)} keys, 1 to {KEYS_LIMIT} are wanted, one a line"
    if any(len(key) < KEY_LIMIT_CHARS for key in keys):
        return f"has a key with less than {KEY_LIMIT_CHARS} characters"
    return ""


def _is_accepted(domain: str, settings: Settings) -> bool:
    name = domain.lower().rstrip(".")
    entries = {entry.lower().rstrip(".") for entry in settings.accepted_domains}
    parts = name.split(".")
    above = ("*." + ".".join(parts[n:]) for n in range(1, len(parts)))
    return name in entries or any(entry in entries for entry in above)
