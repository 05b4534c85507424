"""The listening sockets: bound once by the supervisor, one for each worker, before privileges are dropped."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from typing import Final

from gatepost.config.settings import ReceiveConnector
from gatepost.model.fault import WorldFault

BACKLOG: Final = 2048  # the default of 100 makes 200 sessions that arrive together wait a second


def bindings_of(connectors: Mapping[str, ReceiveConnector]) -> dict[str, list[str]]:
    """ "address:port" -> the names of the enabled connectors that listen there, in the file's order."""
    found: dict[str, list[str]] = {}
    for name, connector in connectors.items():
        if connector.enabled:
            for binding in connector.listen:
                found.setdefault(binding, []).append(name)
    return found


def bind(binding: str, copies: int) -> list[socket.socket]:
    """`copies` sockets on one address and port; the kernel spreads connections over them.

    While a worker restarts, the supervisor's copy of its socket keeps the connections
    that wait. Raises WorldFault with the binding and what the system said.
    """
    host, port = split_binding(binding)
    family = _family(host)
    made: list[socket.socket] = []
    try:
        for _ in range(copies):
            listening = socket.socket(family, socket.SOCK_STREAM)
            made.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.bind((host, port))
            listening.listen(BACKLOG)
            listening.setblocking(False)
    except OSError as error:
        for listening in made:
            listening.close()
        raise WorldFault(f"cannot listen on {binding}: {error.strerror}{_advice(error)}") from error
    return made


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _advice(error: OSError) -> str:
    """What to do about what the system says."""
    match error.errno:
        case errno.EACCES:
            return ": a port below 1024 needs root, CAP_NET_BIND_SERVICE or a socket of systemd (docs/install.md)"
        case errno.EADDRNOTAVAIL:
            return ": no interface of this machine has the address (now): `ip address`"
        case errno.EAFNOSUPPORT:
            return ": this machine has no IPv6: take the address out of listen"
        case errno.EADDRINUSE:
            return ": `ss -ltnp` says by whom"
        case errno.EMFILE | errno.ENFILE:
            return ": raise LimitNOFILE (ulimit -n)"
        case _:
            return ""


def split_binding(binding: str) -> tuple[str, int]:
    """ "[::]:25" -> ("::", 25). The configuration has checked the form."""
    host, _, port = binding.rpartition(":")
    return host.strip("[]"), int(port)


def in_use(binding: str) -> bool:
    """Whether another program listens there: with SO_REUSEPORT a bind alone would not tell."""
    host, port = split_binding(binding)
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.errno == errno.EADDRINUSE  # anything else is for `bind` to tell
    return False
