"""How a worker reaches the scan workers."""

from __future__ import annotations

from typing import Final

from gatepost.adapters.scan_socket import ScanSocket
from gatepost.config.settings import Settings
from gatepost.main.places import scan_socket
from gatepost.ports.scanning import Scanner

WAITING_S: Final = 10.0
"""For a free scan worker, beyond the time of one opinion."""


def scanner_of(settings: Settings) -> Scanner | None:
    """None where third parties' agents run inside the workers."""
    if not settings.scan_workers.processes:
        return None
    return ScanSocket(str(scan_socket(settings)), time_s=settings.scan_workers.time_s + WAITING_S)
