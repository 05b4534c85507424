"""A small internet on loopback, where mail meets everything it may meet outside."""

from __future__ import annotations

from collections.abc import Sequence


def run(args: Sequence[str]) -> int:
    """`gatepost lab ARGS`: the exit status."""
    from gatepost.lab import fault_proxy_job, job

    if args and args[0] == "fault-proxy":
        return fault_proxy_job.run(args[1:])
    return job.run(args)
