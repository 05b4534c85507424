"""What a gateway needs and does not get, for `gatepost status`: recipients, name servers, new certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from gatepost.control.commands import AskMetrics, Samples
from gatepost.control.links import WorkerLink
from gatepost.model.fault import WorldFault

_TROUBLES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "recipient_list_failed": (
            "",
            "the list of recipients cannot be read: the last one is in force, or recipients are answered 451",
        ),
        "directory_failed": (
            "directory",
            "directory {} cannot be copied or asked: `gatepost directory list` says why",
        ),
        "dns_silent": ("", "no name server answers: `gatepost dns statistics`"),
        "certificate_failed": (
            "connector",
            "new certificate files of {} cannot be used, and the old ones go on: the log says why",
        ),
    }
)
"""Metric -> the label that says of what, and the line."""


def trouble_lines(links: Sequence[WorkerLink]) -> Iterator[str]:
    """A line for each, whichever worker says it."""
    lines: dict[str, None] = {}
    for name, labels, value in samples_of(links):
        if value and name in _TROUBLES:
            label, line = _TROUBLES[name]
            lines[line.format(labels.get(label, ""))] = None
    yield from lines


def samples_of(links: Sequence[WorkerLink]) -> Iterator[tuple[str, Mapping[str, str], float]]:
    """Everything the workers counted, of those that answer."""
    for link in links:
        try:
            reply = link.ask(AskMetrics())
        except WorldFault:  # `gatepost status` says that it does not answer
            continue
        for name, labels, value in reply.samples if isinstance(reply, Samples) else ():
            yield name, dict(labels), value
