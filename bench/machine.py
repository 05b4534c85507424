"""The facts without which a figure means nothing."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from bench.measures import percentile

_PROBES = 200


def facts(directory: Path) -> dict[str, str]:
    """Of the machine and of the disk `directory` is on."""
    p50_s, p99_s = sync_latency_s(directory)
    return {
        "when": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "load before": " ".join(f"{one:.1f}" for one in os.getloadavg()),
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file system": _file_system(directory),
        "fdatasync of 4 KiB": f"p50 {p50_s * 1000:.3f} ms, p99 {p99_s * 1000:.3f} ms",
    }


def sync_latency_s(directory: Path) -> tuple[float, float]:
    """p50 and p99 of writing 4 KiB at the end of a file and syncing it."""
    times = []
    probe = directory / "sync-probe"
    file = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(_PROBES):
            os.write(file, b"x" * 4096)
            began_at = time.perf_counter()
            os.fdatasync(file)
            times.append(time.perf_counter() - began_at)
    finally:
        os.close(file)
        probe.unlink()
    return percentile(times, 0.5), percentile(times, 0.99)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(directory: Path) -> str:
    """The type of the mount that holds it."""
    best, kind = "", "?"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, its_kind, *_ = line.split()
        if directory.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, its_kind
    return kind
