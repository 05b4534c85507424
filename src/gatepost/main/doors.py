"""The receive connectors of one configuration behind the sockets that the supervisor bound."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from gatepost.config.settings import Settings
from gatepost.intake.door import Door
from gatepost.main.sockets import bindings_of
from gatepost.ports.tls import TlsServer


def doors_of(
    settings: Settings, sockets: dict[str, socket.socket], tls: Mapping[str, TlsServer]
) -> dict[socket.socket, list[Door]]:
    """Which doors are behind which socket."""
    doors = {
        name: Door(name, connector, hostname=settings.server.hostname, tls=tls.get(name))
        for name, connector in settings.receive_connectors.items()
        if connector.enabled
    }
    bindings = bindings_of(settings.receive_connectors)
    # A former worker, which only delivers what is left, has no sockets.
    served = {sockets[binding]: names for binding, names in bindings.items() if binding in sockets}
    return {listening: [doors[name] for name in names] for listening, names in served.items()}
