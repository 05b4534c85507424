"""`credential:NAME` where a setting names a file: a secret that systemd handed to the service (LoadCredential=)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from gatepost.config.errors import Complaint, quoted

PREFIX: Final = "credential:"
At = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where credentials are. directory: $CREDENTIALS_DIRECTORY, "" outside of the service, where none can be seen."""

    directory: str = ""
    needed: bool = False
    """The gateway is to run with them: one that cannot be seen is a mistake, and not only a warning."""


def is_elsewhere(path: str) -> bool:
    """Whether a setting still names a credential: nothing can be said about its file here."""
    return path.startswith(PREFIX)


def resolved(data: dict[str, Any], credentials: Credentials) -> tuple[dict[str, Any], list[Complaint]]:
    """The file's data with paths in the place of credentials, and complaints about those that are none."""
    complaints: list[Complaint] = []
    found = _resolved(data, (), credentials, complaints)
    assert isinstance(found, dict)
    return found, complaints


def _resolved(value: Any, at: At, credentials: Credentials, complaints: list[Complaint]) -> Any:
    if isinstance(value, dict):
        return {name: _resolved(v, (*at, name), credentials, complaints) for name, v in value.items()}
    if isinstance(value, list):
        return [_resolved(v, (*at, n), credentials, complaints) for n, v in enumerate(value)]
    if not _names_credential(at, value):
        return value
    complaints += _problems(at, value, credentials)
    return f"{credentials.directory}/{value.removeprefix(PREFIX)}" if credentials.directory else value


def _names_credential(at: At, value: Any) -> bool:
    """Only settings that name files: a banner may say "credential:" if it likes."""
    named = next((part for part in reversed(at) if isinstance(part, str)), "")
    return (
        isinstance(value, str) and value.startswith(PREFIX) and (named == "file" or named.endswith("-file"))
    )


def _problems(at: At, value: str, credentials: Credentials) -> Iterator[Complaint]:
    name = value.removeprefix(PREFIX)
    if (
        not name or "/" in name or name in (".", "..") or not name.isprintable()
    ):  # systemd.exec(5): a file name
        yield Complaint(at=at, message=f"{quoted(name)} is not the name of a credential")
    elif not credentials.directory:
        yield Complaint(
            at=at,
            message=f"names the credential {name}, which only the service sees: it is not checked here"
            if not credentials.needed
            else f"names the credential {name}, and the service was given none "
            f"(LoadCredential={name}:/path in the unit)",
            is_warning=not credentials.needed,
        )
