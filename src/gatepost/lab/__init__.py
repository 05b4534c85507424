"""A small internet on loopback, where mail meets everything it may meet outside."""

from __future__ import annotations

from collections.abc import Sequence


def run(args: Sequence[str]) -> int:
    """`gatepost lab ARGS`: the exit status."""
    from gatepost.lab import dns_job, fault_proxy_job, job

    tools = {"fault-proxy": fault_proxy_job.run, "dns": dns_job.run}
    if args and args[0] in tools:
        return tools[args[0]](args[1:])
    return job.run(args)
