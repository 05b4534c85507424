"""What an administrator has a receive connector do at the moment."""

from __future__ import annotations

from enum import StrEnum


class ConnectorState(StrEnum):
    """Of one receive connector in every worker. Anything but RUNNING answers new clients with 421."""

    RUNNING = "running"
    PAUSED = "paused"
    """New clients are sent away; sessions that are open go on."""
    DRAINING = "draining"
    """New clients are sent away; open sessions finish the message they are sending and are told 421."""
    STOPPED = "stopped"
    """As DRAINING, and what has not finished after server.stop-timeout is closed."""
