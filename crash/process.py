"""Looking at processes by /proc: children, whose store one holds, stopping one in the middle of what it does."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_FREEZE_S: Final = 2.0
_STORE: Final = re.compile(r"/worker-(\d+)/")


def children_of(pid: int) -> list[int]:
    """The children that run (no zombies), in the order they were started."""
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [child for child in map(int, listed.split()) if state_of(child) not in "ZX"]


def state_of(pid: int) -> str:
    """R, S, D, T, Z as in proc(5); X when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "X"
    return stat[stat.rindex(")") + 2]


def is_called(pid: int, name: str) -> bool:
    """Whether the process gave itself this name (`ps -o comm`)."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == f"gate:{name}"
    return False


def worker_number(pid: int) -> int | None:
    """Whose store the process has open, told by its open files; None when it has none open."""
    for name in _open_files(Path(f"/proc/{pid}")):
        if found := _STORE.search(name):
            return int(found[1])
    return None


def holders_of(directory: Path) -> list[int]:
    """The processes that have a worker's store below a directory open."""
    store = f"{directory}/worker-"
    return [
        int(place.name)
        for place in Path("/proc").iterdir()
        if place.name.isdigit() and any(name.startswith(store) for name in _open_files(place))
    ]


def _open_files(place: Path) -> Iterator[str]:
    with suppress(OSError):
        for name in os.listdir(place / "fd"):
            with suppress(OSError):
                yield os.readlink(place / "fd" / name)


def freeze(pid: int) -> bool:
    """Stop it where it stands, so that it can be looked at before it is killed; False when it is gone."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        return False
    deadline = time.monotonic() + _FREEZE_S
    while (state := state_of(pid)) not in "TZX" and time.monotonic() < deadline:
        time.sleep(0.0002)
    return state == "T"


def kill(pid: int) -> None:
    """SIGKILL; nothing when it is gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
