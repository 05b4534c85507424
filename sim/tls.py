"""TLS that proves nothing and costs round trips: records, a handshake that may fail, certificates that are words.

Whoever speaks in the clear where TLS is agreed on, or the other way round, is not understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from gatepost.adapters.certificates import Pair
from gatepost.config.settings import Settings
from gatepost.model.fault import WorldFault
from gatepost.model.link_tls import LinkMode, LinkTls
from gatepost.model.session import TlsInfo

_HANDSHAKE, _ALERT, _DATA = 0x16, 0x15, 0x17
_RECORD_BYTES: Final = 16384
_HIDDEN: Final = bytes(octet ^ 0x55 for octet in range(256))
UNTRUSTED, WRONG_NAME = "untrusted", "wrong-name"
"""Certificates that are not the name they are for, from an authority everybody believes."""


def _record(kind: int, payload: bytes) -> bytes:
    return bytes((kind,)) + len(payload).to_bytes(2, "big") + payload


class SimTls:
    """Keeps the promise of ports.tls.TlsPump. shows: the server's certificate. breaks: the alert it ends it with."""

    def __init__(
        self,
        *,
        server_side: bool,
        name: str = "",
        link: LinkTls | None = None,
        shows: str = "",
        breaks: str = "",
    ) -> None:
        self._server_side = server_side
        self._name = name
        self._link = link
        self._shows = shows
        self._breaks = breaks
        self._heard = bytearray()
        self.established = False
        self.peer_closed = False

    def start(self) -> bytes:
        """The client begins."""
        return b"" if self._server_side else _record(_HANDSHAKE, b"hello " + self._name.encode())

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """As TlsPump."""
        self._heard += data
        clear, answer = bytearray(), b""
        while len(self._heard) >= 3 and not self.peer_closed:
            kind, length = self._heard[0], int.from_bytes(self._heard[1:3], "big")
            if kind not in (_HANDSHAKE, _ALERT, _DATA):
                raise WorldFault("TLS failed: WRONG_VERSION_NUMBER", alert=_record(_ALERT, b"no record"))
            if len(self._heard) < 3 + length:
                break
            payload = bytes(self._heard[3 : 3 + length])
            del self._heard[: 3 + length]
            if kind == _HANDSHAKE:
                answer += self._shake_hands(payload)
            elif kind == _ALERT and payload != b"close":
                raise WorldFault(f"TLS failed: alert {payload.decode('latin-1')}")
            elif kind == _ALERT:
                self.peer_closed = True
            elif not self.established:
                raise WorldFault("TLS failed: UNEXPECTED_MESSAGE")
            else:
                clear += payload.translate(_HIDDEN)
        return bytes(clear), answer

    def send(self, data: bytes) -> bytes:
        """As TlsPump."""
        pieces = (data[at : at + _RECORD_BYTES] for at in range(0, len(data), _RECORD_BYTES))
        return b"".join(_record(_DATA, piece.translate(_HIDDEN)) for piece in pieces)

    def close(self) -> bytes:
        """As TlsPump."""
        return _record(_ALERT, b"close") if self.established else b""

    @property
    def info(self) -> TlsInfo:
        """As TlsPump."""
        if not self.established:
            raise ValueError("nothing is agreed on before the handshake is done")
        proven = self._link is not None and self._link.proves_the_peer
        return TlsInfo(
            version="TLSv1.3", cipher="SIMULATED", bits=128, server_name=self._name, peer_is_proven=proven
        )

    def _shake_hands(self, said: bytes) -> bytes:
        if self._server_side:
            if said.startswith(b"hello "):
                if self._breaks:
                    raise WorldFault("TLS failed: broken off", alert=_record(_ALERT, self._breaks.encode()))
                self._name = said[6:].decode("latin-1")
                return _record(_HANDSHAKE, b"certificate " + self._shows.encode())
            self.established = True
            return b""
        self._look_at(said.removeprefix(b"certificate ").decode("latin-1"))
        self.established = True
        return _record(_HANDSHAKE, b"finished")

    def _look_at(self, certificate: str) -> None:
        if self._link is not None and self._link.mode is LinkMode.VERIFIED and certificate != self._name:
            alert = _record(_ALERT, b"bad certificate")
            raise WorldFault(f"TLS failed: CERTIFICATE_VERIFY_FAILED ({certificate})", alert=alert)


def client_pump(server_name: str, link: LinkTls) -> SimTls:
    """As adapters.tls.client_pump."""
    return SimTls(server_side=False, name=server_name, link=link)


@dataclass(frozen=True)
class _Context:
    expires_at: float = inf
    names: tuple[str, ...] = ()
    issuer: str = ""


class SimDoorTls:
    """Keeps the promise of main.world.DoorTls."""

    pairs: Sequence[Pair] = (Pair("simulated.pem", ""),)
    contexts: Sequence[_Context] = (_Context(),)

    def pump(self) -> SimTls:
        """For one new connection."""
        return SimTls(server_side=True)

    def refresh(self, now: float) -> bool:
        """Nothing changes."""
        return False


def door_tls(settings: Settings, _now: float) -> dict[str, SimDoorTls]:
    """As main.server_tls.server_tls."""
    doors = settings.receive_connectors.items()
    return {name: SimDoorTls() for name, door in doors if door.enabled and door.tls != "none"}
