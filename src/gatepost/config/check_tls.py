"""What TLS must not be: a door that asks for proof nobody checks, a next hop that is checked against nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gatepost.config.certificate_match import parse_match
from gatepost.config.certificates import dns_names, first_certificate
from gatepost.config.errors import Complaint
from gatepost.config.files import (
    authorities_problem,
    certificate_problem,
    closed_to_user,
    readable_problem,
    secret_problem,
)
from gatepost.config.networks import name_problem
from gatepost.config.settings import ReceiveConnector, SendConnector, Settings
from gatepost.config.tls_settings import CertificateIdentity, TlsDomain
from gatepost.model.certificate import plain_fingerprint

At = tuple[str | int, ...]


def check_tls(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in what the connectors say about TLS."""
    user = settings.server.user
    for name, door in settings.receive_connectors.items():
        at: At = ("receive-connectors", name)
        yield from _pair(at, door, user, unused=door.tls == "none")
        yield from _certificates(at, door, user)
        yield from _client_certificates((*at, "client-certificates"), door)
    for name, way in settings.send_connectors.items():
        at = ("send-connectors", name)
        yield from _pair(at, way, user, unused=way.tls == "none")
        yield from _link(at, way)
        yield from _domains((*at, "tls-domains"), way)


class _Pair(Protocol):
    """Whatever has a certificate."""

    @property
    def certificate_file(self) -> str: ...

    @property
    def key_file(self) -> str: ...


def _pair(at: At, pair: _Pair, user: str, *, unused: bool) -> Iterator[Complaint]:
    """A certificate and its key. user: who reads them. unused: nobody will look at the files."""
    certificate_file, key_file = pair.certificate_file, pair.key_file
    if key_file and not certificate_file:
        yield Complaint(at=(*at, "key-file"), message="stands without a certificate-file")
    if not certificate_file or unused:
        return
    if problem := readable_problem(certificate_file) or closed_to_user(certificate_file, user):
        yield Complaint(at=(*at, "certificate-file"), message=f"{certificate_file} {problem}")
        return
    key_at, secret = ("key-file", key_file) if key_file else ("certificate-file", certificate_file)
    if problem := secret_problem(secret) or closed_to_user(secret, user):
        yield Complaint(at=(*at, key_at), message=f"{secret} {problem}")
    elif problem := certificate_problem(certificate_file, key_file):
        yield Complaint(at=(*at, "certificate-file"), message=f"{certificate_file}: {problem}")


def _certificates(at: At, door: ReceiveConnector, user: str) -> Iterator[Complaint]:
    if door.certificates and not door.certificate_file:
        yield Complaint(
            at=(*at, "certificates"),
            message="stands without a certificate-file, which is for clients that ask for no name",
        )
    taken = dict.fromkeys(_names(door.certificate_file), "certificate-file") if door.certificates else {}
    for label, more in door.certificates.items():
        here = (*at, "certificates", label)
        broken = list(_pair(here, more, user, unused=door.tls == "none"))
        yield from broken
        names = () if broken else _names(more.certificate_file)
        if not broken and not names and door.tls != "none":
            yield Complaint(
                at=(*here, "certificate-file"),
                message=f"{more.certificate_file} has no DNS name: no client could ask for it",
            )
        for name in names:
            if name in taken:
                yield Complaint(
                    at=(*here, "certificate-file"),
                    message=f"{more.certificate_file} is for {name} as {taken[name]} is: the first is shown",
                    is_warning=True,
                )
            taken.setdefault(name, f"certificates.{label}")


def _names(certificate_file: str) -> tuple[str, ...]:
    """() also for a file that cannot be read: that is told elsewhere."""
    try:
        return dns_names(first_certificate(certificate_file)) if certificate_file else ()
    except (OSError, ValueError):
        return ()


def _client_certificates(at: At, door: ReceiveConnector) -> Iterator[Complaint]:
    clients = door.client_certificates
    nobody = not any(identity.user for identity in clients.identities.values())
    if door.auth and nobody and set(door.auth_mechanisms) == {"EXTERNAL"}:
        yield Complaint(
            at=(*at[:-1], "auth-mechanisms"),
            message="offers EXTERNAL only, and no identity of client-certificates has a user: "
            "nobody could authenticate",
        )
    if clients.ask == "no":
        for name, given in (("ca-file", clients.ca_file), ("identities", clients.identities)):
            if given:
                yield Complaint(
                    at=(*at, name),
                    message="has no meaning with ask = no",
                    accepted=("ask = optional", "ask = required"),
                )
        return
    if door.tls == "none" or (clients.ask == "required" and door.tls == "optional"):
        yield Complaint(
            at=(*at, "ask"),
            message=f"{clients.ask} is nothing to a client in the clear, which tls = {door.tls} allows",
            accepted=("tls = required", "tls = implicit"),
        )
    if not clients.ca_file:
        yield Complaint(at=(*at, "ca-file"), message="must be given: without it no certificate counts")
    elif problem := authorities_problem(clients.ca_file):
        yield Complaint(at=(*at, "ca-file"), message=f"{clients.ca_file} {problem}")
    for who, identity in clients.identities.items():
        yield from _identity((*at, "identities", who), identity, door)


def _identity(at: At, identity: CertificateIdentity, door: ReceiveConnector) -> Iterator[Complaint]:
    if not identity.match:
        yield Complaint(at=(*at, "match"), message="is empty: it names nobody")
    for number, text in enumerate(identity.match):
        try:
            parse_match(text)
        except ValueError as error:
            yield Complaint(at=(*at, "match", number), message=str(error))
    if identity.user and not (door.auth and "EXTERNAL" in door.auth_mechanisms):
        yield Complaint(
            at=(*at, "user"),
            message="needs AUTH EXTERNAL on this connector",
            accepted=("auth = true, and EXTERNAL among auth-mechanisms",),
        )


def _link(at: At, way: SendConnector) -> Iterator[Complaint]:
    yield from _fingerprints(at, way)
    yield from _names_wanted(at, way)
    if way.tls_minimum != "1.2" and way.tls == "opportunistic":
        yield Complaint(
            at=(*at, "tls-minimum"),
            message="next hops that speak only TLS 1.2 get their mail in the clear",
            is_warning=True,
        )
    if way.ca_file and (problem := authorities_problem(way.ca_file)):
        yield Complaint(at=(*at, "ca-file"), message=f"{way.ca_file} {problem}")
    if way.certificate_file and way.tls in ("none", "opportunistic"):
        yield Complaint(
            at=(*at, "certificate-file"),
            message=f"is not shown reliably with tls = {way.tls}",
            accepted=("tls = required", "tls = verified", "tls = fingerprint"),
        )


def _domains(at: At, way: SendConnector) -> Iterator[Complaint]:
    if way.tls_domains and (way.smart_hosts or way.delivery != "smtp"):
        yield Complaint(
            at=at,
            message="is for mail that goes by MX: the next hop of this connector is the same for all domains",
        )
    for pattern, domain in way.tls_domains.items():
        if problem := name_problem(pattern.removeprefix("*.")):
            yield Complaint(at=(*at, pattern), message=problem)
        yield from _fingerprints((*at, pattern), domain)
        yield from _names_wanted((*at, pattern), domain)


def _names_wanted(at: At, wanted: SendConnector | TlsDomain) -> Iterator[Complaint]:
    if wanted.certificate_names and wanted.tls != "verified":
        yield Complaint(
            at=(*at, "certificate-names"),
            message=f"has no meaning with tls = {wanted.tls}",
            accepted=("tls = verified",),
        )
    for number, name in enumerate(wanted.certificate_names):
        if problem := name_problem(name.removeprefix("*.")):
            yield Complaint(at=(*at, "certificate-names", number), message=problem)


def _fingerprints(at: At, wanted: SendConnector | TlsDomain) -> Iterator[Complaint]:
    if wanted.tls == "fingerprint" and not wanted.fingerprints:
        yield Complaint(at=(*at, "fingerprints"), message="is empty: no next hop would do")
    if wanted.fingerprints and wanted.tls != "fingerprint":
        yield Complaint(
            at=(*at, "fingerprints"),
            message=f"has no meaning with tls = {wanted.tls}",
            accepted=("tls = fingerprint",),
        )
    for number, text in enumerate(wanted.fingerprints):
        try:
            plain_fingerprint(text)
        except ValueError as error:
            yield Complaint(at=(*at, "fingerprints", number), message=str(error))
