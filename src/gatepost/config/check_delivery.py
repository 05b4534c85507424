"""What the limits of single destinations must make sense of: their names, and that somebody asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gatepost.config.check_ways_out import carries
from gatepost.config.errors import Complaint, quoted
from gatepost.config.networks import name_problem
from gatepost.config.settings import Settings


def check_delivery(settings: Settings) -> Iterator[Complaint]:
    """Every mistake in [destinations]."""
    yield from domain_names("destinations", settings.destinations)
    by_dns = [
        w for w in settings.send_connectors.values() if w.enabled and not w.smart_hosts and not w.maildir
    ]
    for name in settings.destinations:
        if name != "*" and not any(carries(way, name.lower(), accepted=True) for way in by_dns):
            yield Complaint(
                at=("destinations", name),
                message="no send connector without smart-hosts carries it: its limits would have no effect; give "
                "the domain a send connector with limits of its own",
                is_warning=True,
            )


def domain_names(table: str, names: Iterable[str]) -> Iterator[Complaint]:
    """Names that are no domain, "*.domain" or "*", and the same one twice."""
    seen: dict[str, str] = {}
    for name in names:
        if name != "*" and (problem := name_problem(name.removeprefix("*."))):
            yield Complaint(at=(table, name), message=problem)
        folded = name.lower().rstrip(".")
        if folded in seen:
            yield Complaint(at=(table, name), message=f"is the same domain as {quoted(seen[folded])}")
        seen[folded] = name
