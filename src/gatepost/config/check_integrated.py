"""What GSSAPI and NTLM need before a connector may offer them: the extra, a keytab, realms, a file of hashes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from gatepost.config.errors import Complaint
from gatepost.config.files import secret_problem
from gatepost.config.settings import Settings

_MODULES: Final = {"GSSAPI": ("spnego", "gssapi", "krb5"), "NTLM": ("spnego",)}
"""What the extra `kerberos` brings, as far as each needs it."""


def check_integrated(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [users.gssapi] and [users.ntlm], and in what connectors want to do with them."""
    gssapi, ntlm = settings.users.gssapi, settings.users.ntlm
    has = {"GSSAPI": bool(gssapi.keytab_file), "NTLM": bool(ntlm.hashes_file)}
    missing = {
        "GSSAPI": "users.gssapi.keytab-file names no keys",
        "NTLM": "users.ntlm.hashes-file names no hashes",
    }
    for name, door in settings.receive_connectors.items():
        for mechanism in sorted(has.keys() & set(door.auth_mechanisms)):
            if door.auth and not has[mechanism]:
                yield Complaint(
                    at=("receive-connectors", name, "auth-mechanisms"),
                    message=f"offers {mechanism}, and {missing[mechanism]} to check it with",
                )
    if gssapi.keytab_file:
        if problem := secret_problem(gssapi.keytab_file):
            yield Complaint(at=("users", "gssapi", "keytab-file"), message=f"{gssapi.keytab_file} {problem}")
        if not gssapi.realms:
            yield Complaint(at=("users", "gssapi", "realms"), message="must be given: nobody would be a user")
        yield from _extra(("users", "gssapi", "keytab-file"), "GSSAPI")
    if ntlm.hashes_file and (problem := secret_problem(ntlm.hashes_file)):
        yield Complaint(at=("users", "ntlm", "hashes-file"), message=f"{ntlm.hashes_file} {problem}")

    for name, way in settings.send_connectors.items():
        for mechanism in sorted(_MODULES.keys() & set(way.auth_mechanisms)):
            at = ("send-connectors", name, "auth-mechanisms")
            if way.token_file:
                yield Complaint(at=at, message=f"has {mechanism}, which needs a password-file")
            yield from _extra(at, mechanism)


def _extra(at: tuple[str | int, ...], mechanism: str) -> Iterator[Complaint]:
    absent = [module for module in _MODULES[mechanism] if find_spec(module) is None]
    if absent:
        yield Complaint(
            at=at,
            message=f"needs Python packages that are not installed ({', '.join(absent)}): "
            "pip install 'gatepost[kerberos]'",
        )
