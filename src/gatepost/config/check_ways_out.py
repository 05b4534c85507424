"""What a send connector must not be: a dead end, a loop back to ourselves, or careless with a password."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Final

from gatepost.config.check_doors import bindings_of
from gatepost.config.errors import Complaint
from gatepost.config.files import readable_problem, secret_problem
from gatepost.config.networks import (
    Binding,
    is_ip,
    name_problem,
    parse_address,
    parse_smart_host,
    unix_path,
)
from gatepost.config.schedule import parse_schedule
from gatepost.config.settings import SendConnector, Settings

At = tuple[str | int, ...]

_SPACE: Final = re.compile(r"([^;]+)(?:;([0-9]{1,3}))?")
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_SMTP_PORT: Final = 25
_ENCRYPTED: Final = ("required", "verified", "fingerprint")


def check_ways_out(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in the send connectors, and accepted domains that none of them carries."""
    for name, way in settings.send_connectors.items():
        at: At = ("send-connectors", name)
        yield from _address_spaces(at, way)
        yield from _next_hops(at, way)
        yield from _schedule(at, way)
        yield from _maildir(at, way)
        yield from _authentication(at, way)
        yield from _identity(at, way)
        yield from _plain_words(at, way)
        yield from _size(at, way, settings)
        if way.enabled:
            yield from _to_ourselves(at, way, settings)
    yield from _uncarried(settings)
    yield from _nowhere_to_relay(settings)


def carries(way: SendConnector, domain: str, *, accepted: bool) -> bool:
    """Whether an address space of the connector holds the domain. Case is ignored; costs do not matter here."""
    spaces = {text.partition(";")[0].strip().lower() for text in way.address_spaces}
    if "*" in spaces or ("--" in spaces and accepted) or domain in spaces:
        return True
    above = domain.removeprefix("*.").split(".")
    start = 0 if domain.startswith("*.") else 1
    return any("*." + ".".join(above[n:]) in spaces for n in range(start, len(above)))


def _address_spaces(at: At, way: SendConnector) -> Iterator[Complaint]:
    if not way.address_spaces:
        yield Complaint(at=(*at, "address-spaces"), message="is empty: the connector would carry nothing")
    for number, text in enumerate(way.address_spaces):
        match = _SPACE.fullmatch(text)
        if not match:
            yield Complaint(
                at=(*at, "address-spaces", number),
                message=f'{text!r} is not an address space such as "example.com", "*.example.com" or "*;10"',
            )
            continue
        if match[2] and not 1 <= int(match[2]) <= 100:
            yield Complaint(at=(*at, "address-spaces", number), message=f"{text!r}: a cost is 1 to 100")
        space = match[1].strip()
        if space not in ("*", "--") and (problem := name_problem(space.removeprefix("*."))):
            yield Complaint(at=(*at, "address-spaces", number), message=f"{text!r}: {problem}")


def _plain_words(at: At, way: SendConnector) -> Iterator[Complaint]:
    """Behind HELO there are no extensions."""
    if not way.force_helo:
        return
    demanded = {
        f'tls = "{way.tls}"': way.tls in _ENCRYPTED,
        "user": bool(way.user),
        f'delivery = "{way.delivery}"': way.delivery != "smtp",
    }
    for what, is_there in demanded.items():
        if is_there:
            yield Complaint(
                at=(*at, "force-helo"),
                message=f"stands beside {what}: whoever says HELO gets no TLS and no AUTH, and LMTP knows LHLO only",
            )


def _size(at: At, way: SendConnector, settings: Settings) -> Iterator[Complaint]:
    """What we take for a domain of ours and cannot pass on becomes a notice, or a dead letter."""
    limit = way.message_size_bytes
    larger = [n for n, d in settings.receive_connectors.items() if d.limits.message_size_bytes > limit]
    others = [w for w in settings.send_connectors.values() if w.enabled and w is not way]
    for domain in settings.accepted_domains:
        if not limit or not larger or not carries(way, domain.lower(), accepted=True):
            continue
        if not any(carries(w, domain.lower(), accepted=True) and not w.message_size_bytes for w in others):
            yield Complaint(
                at=(*at, "message-size"),
                message=f"is less than receive-connectors.{larger[0]} takes, and mail for {domain} has no other way: "
                "lower its limits.message-size, or larger mail is taken and then returned",
                is_warning=True,
            )
            return


def _next_hops(at: At, way: SendConnector) -> Iterator[Complaint]:
    if way.delivery == "lmtp" and not way.smart_hosts:
        yield Complaint(
            at=(*at, "smart-hosts"), message="delivery = lmtp needs smart-hosts: DNS knows no LMTP servers"
        )
    if way.delivery == "maildir" and way.smart_hosts:
        yield Complaint(at=(*at, "smart-hosts"), message="delivery = maildir has no next host")
    for number, text in enumerate(way.smart_hosts):
        try:
            if unix_path(text) is None:
                parse_smart_host(text)
            elif way.tls in ("required", "verified"):
                yield Complaint(
                    at=(*at, "smart-hosts", number),
                    message=f"{text}: there is no TLS over a Unix socket, and tls is {way.tls}",
                    accepted=("tls = none", "tls = opportunistic"),
                )
        except ValueError as error:
            yield Complaint(at=(*at, "smart-hosts", number), message=str(error))


def _schedule(at: At, way: SendConnector) -> Iterator[Complaint]:
    try:
        parse_schedule(way.schedule)
    except ValueError as error:
        yield Complaint(at=(*at, "schedule"), message=str(error), accepted=("always", "never", "times"))


def _maildir(at: At, way: SendConnector) -> Iterator[Complaint]:
    if way.delivery != "maildir":
        if way.maildir:
            yield Complaint(at=(*at, "maildir"), message=f"has no meaning with delivery = {way.delivery}")
        return
    if not way.maildir.startswith("/"):
        yield Complaint(
            at=(*at, "maildir"),
            message="delivery = maildir needs an absolute path",
            accepted=('such as "/var/mail/{domain}/{local}"',),
        )
    unknown = [name for name in _PLACEHOLDER.findall(way.maildir) if name not in ("domain", "local")]
    if unknown:
        yield Complaint(
            at=(*at, "maildir"), message=f"{{{unknown[0]}}} is not replaced", accepted=("{domain}", "{local}")
        )


def _authentication(at: At, way: SendConnector) -> Iterator[Complaint]:
    if not way.user:
        for name, path in (("password-file", way.password_file), ("token-file", way.token_file)):
            if path:
                yield Complaint(at=(*at, name), message="stands without a user")
        return
    if way.tls not in _ENCRYPTED:
        yield Complaint(
            at=(*at, "user"),
            message=f"a password is not sent with tls = {way.tls}",
            accepted=tuple(f"tls = {mode}" for mode in _ENCRYPTED),
        )
    has_certificate = bool(way.certificate_file) and "EXTERNAL" in way.auth_mechanisms
    if has_certificate and not way.password_file and not way.token_file:
        return
    if bool(way.password_file) == bool(way.token_file):
        yield Complaint(at=(*at, "user"), message="needs a password-file or a token-file, one of them")
        return
    name, path = ("password-file", way.password_file) if way.password_file else ("token-file", way.token_file)
    if problem := readable_problem(path) or secret_problem(path):
        yield Complaint(at=(*at, name), message=f"{path} {problem}")


def _identity(at: At, way: SendConnector) -> Iterator[Complaint]:
    if way.hostname and (problem := name_problem(way.hostname)):
        yield Complaint(at=(*at, "hostname"), message=problem)
    for number, address in enumerate(way.source_addresses):
        if not is_ip(address):
            yield Complaint(at=(*at, "source-addresses", number), message=f"{address!r} is not an IP address")
        elif not _is_on_this_machine(address):
            yield Complaint(
                at=(*at, "source-addresses", number),
                message=f"{address} is not an address of this machine: nothing can be sent from it",
                is_warning=True,
            )


def _to_ourselves(at: At, way: SendConnector, settings: Settings) -> Iterator[Complaint]:
    """A smart host that is one of our own doors would send every mail round and round (L02)."""
    doors = [door for door in settings.receive_connectors.values() if door.enabled]
    bindings = [binding for door in doors for binding in bindings_of(door)]
    names = {settings.server.hostname.lower(), *(d.hostname.lower() for d in doors)} - {""}
    for number, text in enumerate(way.smart_hosts):
        if text.startswith("unix:"):
            continue
        try:
            host, port, _ = parse_smart_host(text)
        except ValueError:
            continue
        asked = port or way.port
        ours = is_own(host, asked, bindings) if is_ip(host) else _named_ours(host, asked, names, bindings)
        if ours:
            yield Complaint(
                at=(*at, "smart-hosts", number),
                message=f"{text} is this gateway: mail would go round in a loop",
            )


def is_own(host: str, port: int, bindings: list[Binding]) -> bool:
    """Whether a connection to this address and port would reach one of the bindings."""
    address = parse_address(host)
    same_port = [binding for binding in bindings if binding.port == port]
    if any(parse_address(binding.address) == address for binding in same_port):
        return True
    family = [b for b in same_port if b.is_wildcard and (":" in b.address or address.version == 4)]
    return bool(family) and _is_on_this_machine(str(address))


def _named_ours(host: str, port: int, names: set[str], bindings: list[Binding]) -> bool:
    if host == "localhost":
        return any(b.port == port and (b.is_loopback or b.is_wildcard) for b in bindings)
    return host in names and any(b.port == port for b in bindings)


def _is_on_this_machine(address: str) -> bool:
    """The system lets only its own addresses be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _uncarried(settings: Settings) -> Iterator[Complaint]:
    ways = [way for way in settings.send_connectors.values() if way.enabled]
    for domain in settings.accepted_domains:
        if not any(carries(way, domain.lower(), accepted=True) for way in ways):
            yield Complaint(
                at=("accepted-domains", domain),
                message="no enabled send connector carries it: its mail would be accepted and stay unreachable",
                is_warning=True,
            )


def _nowhere_to_relay(settings: Settings) -> Iterator[Complaint]:
    """Clients may send to the world, and nothing leads there: their mail would be taken and stay unreachable."""
    ways = [way for way in settings.send_connectors.values() if way.enabled]
    if any(text.partition(";")[0].strip() == "*" for way in ways for text in way.address_spaces):
        return
    for name, door in settings.receive_connectors.items():
        own_way = settings.send_connectors.get(door.send_connector)
        if not door.enabled or (own_way is not None and own_way.enabled):
            continue
        ranges = [f"ranges.{who}.rights" for who, one in door.ranges.items() if "relay" in one.rights]
        accounts = ["authenticated-rights"] if door.auth and "relay" in door.authenticated_rights else []
        for rights in (*accounts, *ranges):
            yield Complaint(
                at=("receive-connectors", name, *rights.split(".")),
                message='lets clients send to the world, and no enabled send connector has the address space "*": '
                "their mail for other domains would stay unreachable",
                is_warning=True,
            )
            return
