"""What signing must not be: keys that others can read or nobody can, and two keys where one signs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gatepost.config.credentials import is_elsewhere
from gatepost.config.errors import Complaint
from gatepost.config.files import closed_to_user, secret_problem
from gatepost.config.settings import Settings

_LOW_BITS, _GOOD_BITS, _HIGH_BITS = 1024, 2048, 4096


def check_dkim(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [dkim-signing], and in sealing with its keys."""
    yield from _sealing(settings)
    for name, domain in settings.dkim_signing.domains.items():
        at = ("dkim-signing", "domains", name)
        active: dict[str, str] = {}
        for selector, one in domain.selectors.items():
            here = (*at, "selectors", selector)
            kind, bits, problem = _kind_of(one.key_file, settings.server.user)
            if problem:
                yield Complaint(at=(*here, "key-file"), message=f"{one.key_file} {problem}")
            elif one.state == "active" and kind:
                if kind in active:
                    yield Complaint(
                        at=(*here, "state"),
                        message=f"is active beside {active[kind]}, which is an {kind} key, too: one of them signs",
                        accepted=("next", "retired"),
                    )
                active.setdefault(kind, selector)
                if kind == "RSA" and bits < _GOOD_BITS:
                    yield Complaint(
                        at=(*here, "key-file"),
                        message=f"is an RSA key of {bits} bits: RFC 8301 wants {_GOOD_BITS} of signers",
                        is_warning=True,
                    )
        if not any(one.state == "active" for one in domain.selectors.values()):
            yield Complaint(at=at, message="has no active key: nothing is signed for it", is_warning=True)


def _sealing(settings: Settings) -> Iterator[Complaint]:
    arc, signing = settings.arc, settings.dkim_signing
    if not arc.seal:
        return
    able = tuple(
        name
        for name, domain in signing.domains.items()
        if any(one.state == "active" for one in domain.selectors.values())
    )
    if arc.seal_domain.lower() not in {name.lower() for name in able}:
        yield Complaint(
            at=("arc", "seal-domain"),
            message="must be a domain of dkim-signing.domains with an active key, as seal is true",
            accepted=able,
        )
    elif not signing.enabled:
        yield Complaint(at=("arc", "seal"), message="needs dkim-signing.enabled: it uses its keys")


def _kind_of(path: str, user: str) -> tuple[str, int, str]:
    """ "RSA" or "Ed25519", "" where it cannot be seen; its bits; and what is wrong with the file."""
    if is_elsewhere(path):
        return "", 0, ""
    if problem := secret_problem(path) or closed_to_user(path, user):
        return "", 0, problem
    from cryptography.exceptions import UnsupportedAlgorithm  # only who signs pays for it
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(Path(path).read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "", 0, "is no PEM file with a private key without a password"
    if isinstance(key, Ed25519PrivateKey):
        return "Ed25519", 256, ""
    if not isinstance(key, RSAPrivateKey):
        return "", 0, "is neither an RSA nor an Ed25519 key"
    if not _LOW_BITS <= key.key_size <= _HIGH_BITS:
        return "", 0, f"is an RSA key of {key.key_size} bits; {_LOW_BITS} to {_HIGH_BITS} are used"
    return "RSA", key.key_size, ""
