"""What server.internal-relays must not be: everybody, or hosts whose mail nobody judges."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.config.check_doors import ranges_of
from gatepost.config.errors import Complaint
from gatepost.config.networks import is_everybody, overlap
from gatepost.config.settings import Settings


def check_relays(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in the list, and rights that make it useless."""
    relays = ranges_of(settings.server.internal_relays)
    for number, text in enumerate(settings.server.internal_relays):
        if any(is_everybody(relay) for relay in ranges_of((text,))):
            yield Complaint(
                at=("server", "internal-relays", number),
                message="names everybody: no mail would have an origin that filters could judge",
            )
    for name, door in settings.receive_connectors.items():
        for who, named in door.ranges.items():
            shared = any(overlap(one, relay) for one in ranges_of(named.addresses) for relay in relays)
            if shared and "bypass-filters" in named.rights:
                yield Complaint(
                    at=("receive-connectors", name, "ranges", who, "rights"),
                    message="bypass-filters, and the range has internal relays: what they bring is not judged at all",
                    is_warning=True,
                )
