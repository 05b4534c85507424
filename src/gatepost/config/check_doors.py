"""What a receive connector must not be: unreachable, ambiguous, an open relay, or a leak of passwords."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final

from gatepost.config.errors import Complaint, closest, quoted
from gatepost.config.networks import (
    Binding,
    is_everybody,
    is_internal,
    name_problem,
    overlap,
    parse_binding,
    parse_range,
)
from gatepost.config.settings import ReceiveConnector, Settings
from gatepost.model.ip_ranges import IpRange

At = tuple[str | int, ...]

_TLS_FOR_AUTH: Final = ("optional", "required", "implicit")


def check_doors(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in the receive connectors."""
    if not any(door.enabled for door in settings.receive_connectors.values()):
        yield Complaint(
            at=("receive-connectors",),
            message="no receive connector is enabled: no mail comes in",
            is_warning=True,
        )
    for name, door in settings.receive_connectors.items():
        at: At = ("receive-connectors", name)
        yield from _listening(at, door)
        yield from _identity(at, door)
        yield from _ranges(at, door)
        yield from _open_relay(at, door)
        yield from _nobody(at, door)
        yield from _way_out((*at, "send-connector"), door.send_connector, settings)
    yield from _shared_bindings(settings)


def _way_out(at: At, name: str, settings: Settings) -> Iterator[Complaint]:
    if not name:
        return
    way = settings.send_connectors.get(name)
    if way is None:
        known = tuple(settings.send_connectors)
        yield Complaint(
            at=at,
            message=f"there is no send connector {quoted(name)}",
            accepted=known,
            did_you_mean=closest(name, known),
        )
    elif not way.enabled:
        yield Complaint(
            at=at, message=f"{quoted(name)} is not enabled: mail goes as routing chooses", is_warning=True
        )


def bindings_of(door: ReceiveConnector) -> list[Binding]:
    """The ones that can be read; the others are reported by check_doors."""
    found = []
    for text in door.listen:
        try:
            found.append(parse_binding(text))
        except ValueError:
            continue
    return found


def ranges_of(texts: tuple[str, ...]) -> list[IpRange]:
    """The ones that can be read; the others are reported by check_doors."""
    found = []
    for text in texts:
        try:
            found.append(parse_range(text))
        except ValueError:
            continue
    return found


def _listening(at: At, door: ReceiveConnector) -> Iterator[Complaint]:
    if not door.listen:
        yield Complaint(at=(*at, "listen"), message="names no address and port to listen on")
    for number, text in enumerate(door.listen):
        try:
            parse_binding(text)
        except ValueError as error:
            yield Complaint(at=(*at, "listen", number), message=str(error))
    if len(set(door.listen)) < len(door.listen):
        yield Complaint(at=(*at, "listen"), message="names the same address and port twice")


def _identity(at: At, door: ReceiveConnector) -> Iterator[Complaint]:
    if door.hostname and (problem := name_problem(door.hostname)):
        yield Complaint(at=(*at, "hostname"), message=problem)
    if not door.banner.isprintable() or len(door.banner) > 300:
        yield Complaint(at=(*at, "banner"), message="must be one printable line of at most 300 characters")
    if door.auth and door.tls == "none":
        yield Complaint(
            at=(*at, "auth"),
            message="AUTH is only ever offered under TLS, and tls = none offers no TLS",
            accepted=tuple(f"tls = {mode}" for mode in _TLS_FOR_AUTH),
        )


def _ranges(at: At, door: ReceiveConnector) -> Iterator[Complaint]:
    if not door.remote_ranges:
        yield Complaint(at=(*at, "remote-ranges"), message="is empty: the connector would serve nobody")
    yield from _unreadable((*at, "remote-ranges"), door.remote_ranges)
    yield from _peers(at, door)
    for who, named in door.ranges.items():
        yield from _unreadable((*at, "ranges", who, "addresses"), named.addresses)
        if not named.addresses:
            yield Complaint(at=(*at, "ranges", who, "addresses"), message="is empty: it names nobody")
    for (one, first), (two, second) in combinations(door.ranges.items(), 2):
        pairs = [(a, b) for a in ranges_of(first.addresses) for b in ranges_of(second.addresses)]
        if any(a == b for a, b in pairs):
            yield Complaint(
                at=(*at, "ranges", two, "addresses"), message=f"names the same addresses as ranges.{one}"
            )
        elif any(overlap(a, b) for a, b in pairs):
            yield Complaint(
                at=(*at, "ranges", two, "addresses"),
                message=f"overlaps ranges.{one}: the smaller range that contains a client decides its rights",
                is_warning=True,
            )


def _peers(at: At, door: ReceiveConnector) -> Iterator[Complaint]:
    """Whoever may say who the client is, may be anybody: such peers are few and ours."""
    for name, texts in (("proxies", door.proxies), ("xclient-peers", door.xclient_peers)):
        yield from _unreadable((*at, name), texts)
        if any(is_everybody(r) for r in ranges_of(texts)):
            yield Complaint(
                at=(*at, name), message="is everybody: any client could name any address as its own"
            )
    if door.internal_clients_by_proxy and not (door.proxies or door.xclient_peers):
        yield Complaint(
            at=(*at, "internal-clients-by-proxy"),
            message="stands without proxies and xclient-peers",
            is_warning=True,
        )


def _unreadable(at: At, texts: tuple[str, ...]) -> Iterator[Complaint]:
    for number, text in enumerate(texts):
        try:
            parse_range(text)
        except ValueError as error:
            yield Complaint(at=(*at, number), message=str(error))


def _open_relay(at: At, door: ReceiveConnector) -> Iterator[Complaint]:
    """Relaying for everybody is refused, relaying for strangers of one's choice is pointed out."""
    bindings = bindings_of(door)
    if not door.enabled or (bindings and all(b.is_loopback for b in bindings)):
        return
    served = [((*at, "anonymous-rights"), door.anonymous_rights, ranges_of(door.remote_ranges))]
    for who, named in door.ranges.items():
        served.append(((*at, "ranges", who, "rights"), named.rights, ranges_of(named.addresses)))
    for where, rights, ranges in served:
        if "relay" not in rights:
            continue
        if any(is_everybody(r) for r in ranges):
            yield Complaint(at=where, message="relay for every address of the Internet is an open relay")
        elif not all(is_internal(r) for r in ranges):
            yield Complaint(
                at=where, message="relay is given to addresses that are not internal", is_warning=True
            )


def _nobody(at: At, door: ReceiveConnector) -> Iterator[Complaint]:
    named = (right for r in door.ranges.values() for right in r.rights)
    held = {*door.anonymous_rights, *(door.authenticated_rights if door.auth else ()), *named}
    if "submit" not in held:
        yield Complaint(
            at=at, message="gives nobody the right submit: no mail comes in here", is_warning=True
        )


def _shared_bindings(settings: Settings) -> Iterator[Complaint]:
    """Two doors on one port are told apart by the client's address, so their ranges may not be equal."""
    doors = [(name, door) for name, door in settings.receive_connectors.items() if door.enabled]
    for (one, first), (two, second) in combinations(doors, 2):
        if not set(bindings_of(first)) & set(bindings_of(second)):
            continue
        if set(first.proxies) != set(second.proxies):
            yield Complaint(
                at=("receive-connectors", two, "proxies"),
                message=f"differs from receive-connectors.{one}, which shares address and port: whoever comes by "
                "a proxy is served by a connector that names the proxy, and by no other",
                is_warning=True,
            )
        shared = set(ranges_of(first.remote_ranges)) & set(ranges_of(second.remote_ranges))
        if shared:
            yield Complaint(
                at=("receive-connectors", two, "remote-ranges"),
                message=f"shares address, port and remote range with receive-connectors.{one}: "
                "nothing tells which one serves a client",
            )
