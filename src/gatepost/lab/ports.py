"""Free ports on loopback."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from dataclasses import dataclass
from typing import Final

_TRIES: Final = 50
_OURS: Final = range(18_000, 32_000)
_STRIDE: Final = 211
"""Between the places where two processes begin whose numbers follow each other."""
_given = itertools.count()


@dataclass(frozen=True, slots=True)
class PortPair:
    """The same port by UDP and by TCP, both bound, TCP listening."""

    port: int
    udp: socket.socket
    tcp: socket.socket

    @classmethod
    def bind(cls, host: str, port: int = 0) -> PortPair:
        """port 0: any that is free for both. Raises OSError when there is none."""
        for _ in range(_TRIES):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                udp.bind((host, port))
                tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                tcp.bind((host, udp.getsockname()[1]))
                tcp.listen(128)
            except OSError:
                udp.close()
                tcp.close()
                if port:
                    raise
                continue
            return cls(udp.getsockname()[1], udp, tcp)
        raise OSError(errno.EADDRINUSE, "no port is free for UDP and TCP")


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on now, and that this process was not given before. Raises OSError when there is none.

    From below the range the kernel gives to clients, and every process begins at a place of its own: a
    gateway shares its ports (SO_REUSEPORT), so that two that were given the same one would not notice.
    """
    for _ in range(len(_OURS)):
        port = _OURS[(os.getpid() * _STRIDE + next(_given)) % len(_OURS)]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
    raise OSError(errno.EADDRINUSE, f"no port of {host} is free")
