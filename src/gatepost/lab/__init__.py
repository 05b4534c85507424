"""A small internet on loopback, where mail meets everything it may meet outside."""

from __future__ import annotations

from collections.abc import Sequence


def run(args: Sequence[str]) -> int:
    """`gatepost lab ARGS`: the exit status."""
    from gatepost.lab import job

    return job.run(args)
