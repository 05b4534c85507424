"""How many sessions a worker can afford by the files it may open."""

from __future__ import annotations

from typing import Final

from gatepost.adapters.file_limit import raise_file_limit
from gatepost.config.limit_settings import Intake
from gatepost.ports.log import Log

FILES_A_SESSION: Final = 2
"""Descriptors for each session that may come in: its socket, and as many again for bodies, store and delivery."""


def affordable(intake: Intake, log: Log) -> Intake:
    """As many sessions as there may be sockets: without descriptors nobody could be told that we are full."""
    files = raise_file_limit(FILES_A_SESSION * intake.connections)
    connections = max(1, files // FILES_A_SESSION)
    if connections >= intake.connections:
        return intake
    log.write(
        "warning",
        "few-descriptors",
        limit="intake.connections",
        value=intake.connections,
        actual=connections,
        open_files=files,
    )
    return intake.model_copy(update={"connections": connections})
