"""Where things are in the state directory: written down once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gatepost.config.settings import Settings
from gatepost.model.fault import WorldFault

AUTO_WORKERS: Final = 16
"""The most that "auto" means: each worker has a store, a DNS cache and 50 MB of its own."""


def state_directory(settings: Settings) -> Path:
    """The root of everything we keep."""
    return Path(settings.server.state_directory)


def store_directory(settings: Settings, worker: int) -> Path:
    """One worker's store."""
    return state_directory(settings) / f"worker-{worker}"


def store_directories(settings: Settings) -> dict[int, Path]:
    """Every store there is, by its worker's number, whatever `workers` says now.

    Raises WorldFault when the state directory cannot be read: what is not seen must not look like an empty queue.
    """
    directory = state_directory(settings)
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise WorldFault(f"{directory} cannot be read: {error.strerror}{_who_may(error)}") from error
    numbers = {name: name.removeprefix("worker-") for name in names if name.startswith("worker-")}
    found = {int(number): directory / name for name, number in numbers.items() if _is_number(number)}
    return {number: path for number, path in sorted(found.items()) if path.is_dir()}


def _who_may(error: OSError) -> str:
    """What to do where the system says that this account may not; "" for any other error."""
    is_closed = isinstance(error, PermissionError)
    return ": it is for root and the gateway's own account (server.user) only" if is_closed else ""


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def wire_log_directory(settings: Settings, worker: int) -> Path:
    """Protocol and connectivity logs of one worker."""
    return store_directory(settings, worker) / "logs"


def control_socket(settings: Settings, worker: int) -> Path:
    """The socket of one worker's control."""
    return state_directory(settings) / "control" / f"worker-{worker}.sock"


def gateway_socket(settings: Settings) -> Path:
    """The socket of the supervisor."""
    return gateway_socket_in(state_directory(settings))


def gateway_socket_in(directory: Path) -> Path:
    """The same below a state directory."""
    return directory / "control" / "gateway.sock"


def scan_socket(settings: Settings) -> Path:
    """Where scan workers are asked."""
    return state_directory(settings) / "control" / "scan.sock"


def shared_state_file(settings: Settings) -> Path:
    """What all workers know together."""
    return state_directory(settings) / "shared" / "state.db"


def reports_file(settings: Settings) -> Path:
    """Reports that others sent us."""
    return state_directory(settings) / "reports" / "reports.db"


def feed_directory(settings: Settings) -> Path:
    """Copies of the lists that are fetched."""
    return state_directory(settings) / "shared" / "feeds"


def gateway_lock(settings: Settings) -> Path:
    """What one gateway holds while it runs."""
    return state_directory(settings) / "lock"


def tls_directory(settings: Settings) -> Path:
    """Certificates made by ourselves."""
    return state_directory(settings) / "tls"


def directory_folder(settings: Settings) -> Path:
    """Local copies of recipient directories."""
    return state_directory(settings) / "directory"


def accounts_file(settings: Settings) -> Path:
    """The accounts that may authenticate."""
    return Path(settings.users.file) if settings.users.file else state_directory(settings) / "users"


def workers_of(settings: Settings) -> int:
    """How many workers "auto" is: one for each core we may use, and no more than AUTO_WORKERS (0400)."""
    if settings.server.workers == "auto":
        return min(len(os.sched_getaffinity(0)), AUTO_WORKERS)
    return settings.server.workers
