"""What systemd and we tell each other: readiness and signs of life (sd_notify), and sockets it opened for us."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping, MutableMapping
from ipaddress import ip_address
from typing import Final

from gatepost.config.networks import Binding, parse_binding
from gatepost.model.fault import WorldFault

FIRST_DESCRIPTOR: Final = 3  # sd_listen_fds(3): SD_LISTEN_FDS_START
SOCKETS_LIMIT: Final = 1000


class Notifier:
    """sd_notify(3) in one datagram each; says nothing when nobody asked to be told.

    environment: NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID are taken out of it, so that no child speaks for us.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        microseconds = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_s = int(microseconds) / 1e6 if microseconds.isdigit() and meant else 0.0
        """How long we may be silent before we count as hung; 0.0: nobody watches."""

    def ready(self, status: str) -> None:
        """We serve. status: one line for `systemctl status`."""
        self._say(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """We were told to stop."""
        self._say("STOPPING=1\nSTATUS=finishing sessions and deliveries")

    def alive(self) -> None:
        """A sign of life."""
        self._say("WATCHDOG=1")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        path = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            wire.settimeout(1.0)
            wire.sendto(text.encode(), path)


def handed_over(environment: MutableMapping[str, str]) -> dict[Binding, socket.socket]:
    """The listening sockets that systemd opened for us (sd_listen_fds(3)), by address and port.

    LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES are taken out of the environment. Raises WorldFault about a
    socket that cannot serve mail.
    """
    said = {name: environment.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")}
    if said["LISTEN_PID"] != str(os.getpid()):
        return {}
    if not said["LISTEN_FDS"].isdigit() or int(said["LISTEN_FDS"]) > SOCKETS_LIMIT:
        raise WorldFault(f"LISTEN_FDS={said['LISTEN_FDS']!r} is not a number of sockets")
    count = int(said["LISTEN_FDS"])
    names = said["LISTEN_FDNAMES"].split(":")
    found: dict[Binding, socket.socket] = {}
    for number in range(count):
        name = names[number] if number < len(names) and names[number] else f"number {number + 1}"
        taken = _taken(FIRST_DESCRIPTOR + number, name)
        binding = _binding(taken)
        if binding in found:
            raise WorldFault(
                f"socket {name}: {_written(binding)} was handed over already (one socket an address)"
            )
        found[binding] = taken
    return found


def _taken(descriptor: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(descriptor, False)
        taken = socket.socket(fileno=descriptor)
        listens = taken.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise WorldFault(f"socket {name}: is not a socket ({error.strerror})") from error
    if (
        taken.family not in (socket.AF_INET, socket.AF_INET6)
        or taken.type != socket.SOCK_STREAM
        or not listens
    ):
        raise WorldFault(
            f"socket {name}: is not a TCP socket that listens (ListenStream= with address and port)"
        )
    if taken.family == socket.AF_INET6 and not taken.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        raise WorldFault(
            f"socket {name}: takes IPv4, too: BindIPv6Only=ipv6-only is needed in the .socket unit"
        )
    taken.setblocking(False)
    return taken


def _binding(taken: socket.socket) -> Binding:
    host, port = taken.getsockname()[:2]
    return Binding(str(ip_address(host.partition("%")[0])), port)


def _written(binding: Binding) -> str:
    return (
        f"[{binding.address}]:{binding.port}"
        if ":" in binding.address
        else f"{binding.address}:{binding.port}"
    )


def matched(
    handed: Mapping[Binding, socket.socket], wanted: Mapping[str, list[str]]
) -> dict[str, socket.socket]:
    """The sockets by the listen address as the configuration writes it.

    wanted: listen address -> receive connectors. Raises WorldFault about a socket no connector listens at.
    """
    by_address = {parse_binding(text): text for text in wanted}
    for binding in handed:
        if binding not in by_address:
            listened = ", ".join(wanted) or "nowhere"
            raise WorldFault(
                f"systemd handed over a socket for {_written(binding)}, and no receive connector listens there "
                f"(they listen: {listened})"
            )
    return {by_address[binding]: taken for binding, taken in handed.items()}
