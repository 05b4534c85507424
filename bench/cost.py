"""CPU time and memory of a server: its first process and everything that descends from it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


def family_of(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
            found += map(int, listed.split())
    return found


def cpu_s(*pids: int) -> float:
    """User and system time of the families, with those of their dead that were waited for."""
    return sum(_cpu_ticks(member) for pid in pids for member in family_of(pid)) / _TICKS_A_SECOND


def memory_bytes(*pids: int) -> int:
    """Proportional set size: a page that n processes share counts 1/n in each."""
    return sum(_pss_bytes(member) for pid in pids for member in family_of(pid))


def _cpu_ticks(pid: int) -> int:
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        fields = stat[stat.rindex(")") + 2 :].split()
        return sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime of proc(5)
    return 0


def _pss_bytes(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
