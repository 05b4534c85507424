"""What is left of disk, inodes and memory, read from the operating system in some tens of microseconds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gatepost.ports.resources import Resource

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_CGROUP_ROOT: Final = Path("/sys/fs/cgroup")


class SystemResources:
    """Keeps the promise of ports.resources.Resources for what the system knows.

    directory: on the file system to be watched. workers: how many share the machine's memory.
    proc, cgroups: other places, for tests.
    """

    def __init__(
        self,
        directory: Path,
        *,
        workers: int,
        proc: Path = Path("/proc"),
        cgroups: Path = _CGROUP_ROOT,
    ) -> None:
        self._directory = directory
        self._workers = workers
        self._proc = proc
        self._cgroup = _own_cgroup(proc, cgroups)

    def read(self) -> dict[Resource, float]:
        """As ports.resources.Resources.read; a resource that cannot be read is left out."""
        return dict([*self._disk(), *self._memory()])

    def _disk(self) -> Iterator[tuple[Resource, float]]:
        try:
            seen = os.statvfs(self._directory)
        except OSError:
            return  # the store finds out by itself, and takes no mail
        yield Resource.DISK, float(seen.f_bavail * seen.f_frsize)
        if seen.f_files:
            yield Resource.INODES, float(seen.f_favail)

    def _memory(self) -> Iterator[tuple[Resource, float]]:
        machine = _machine_bytes(self._proc)
        group = _group_bytes(self._cgroup)
        totals = [total for total, _ in (machine, group) if total]
        if not totals:
            return
        own = _own_bytes(self._proc)
        if own:
            yield Resource.MEMORY, own * 100 * self._workers / min(totals)
        used = [used * 100 / total for total, used in (machine, group) if total]
        yield Resource.SYSTEM_MEMORY, max(used)


def _own_bytes(proc: Path) -> int:
    """Resident memory of this process; 0 when unknown."""
    try:
        return int((proc / "self/statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def _machine_bytes(proc: Path) -> tuple[int, int]:
    """(total, in use and not to be had back) of the machine; zeros when unknown."""
    fields = {}
    try:
        for line in (proc / "meminfo").read_text("ascii").splitlines():
            name, _, value = line.partition(":")
            if name in ("MemTotal", "MemAvailable"):
                fields[name] = int(value.split()[0]) * 1024
        return fields["MemTotal"], fields["MemTotal"] - fields["MemAvailable"]
    except (OSError, ValueError, IndexError, KeyError):
        return 0, 0


def _own_cgroup(proc: Path, root: Path) -> Path | None:
    """The directory of our control group (version 2), or None."""
    try:
        lines = (proc / "self/cgroup").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    name = next((line[3:] for line in lines if line.startswith("0::")), None)
    if name is None:
        return None
    own = root / name.lstrip("/")
    # Inside a container the path is the host's, and our group is the root.
    return own if (own / "memory.max").exists() else root


def _group_bytes(group: Path | None) -> tuple[int, int]:
    """(limit, in use without what the kernel can drop) of the control group; zeros without a limit."""
    if group is None:
        return 0, 0
    try:
        limit = int((group / "memory.max").read_text("ascii"))  # "max" is no number: no limit
        used = int((group / "memory.current").read_text("ascii"))
        for line in (group / "memory.stat").read_text("ascii").splitlines():
            if line.startswith("inactive_file "):
                used -= int(line.split()[1])
    except (OSError, ValueError, IndexError):
        return 0, 0
    return limit, max(0, used)
