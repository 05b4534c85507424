"""Why nobody can listen somewhere: what the system said, and what to do about it."""

from __future__ import annotations

import errno
import socket

import pytest

from gatepost.main import sockets
from gatepost.model.fault import WorldFault

SAID = [
    (errno.EACCES, "CAP_NET_BIND_SERVICE"),
    (errno.EADDRNOTAVAIL, "no interface of this machine has the address"),
    (errno.EAFNOSUPPORT, "no IPv6"),
    (errno.EMFILE, "LimitNOFILE"),
    (errno.EADDRINUSE, "ss -ltnp"),
]


@pytest.mark.parametrize(("number", "advice"), SAID, ids=[errno.errorcode[number] for number, _ in SAID])
def test_what_to_do_is_said(monkeypatch: pytest.MonkeyPatch, number: int, advice: str) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise OSError(number, "no")

    monkeypatch.setattr("socket.socket", Refusing)
    with pytest.raises(WorldFault, match=f"cannot listen on 192.0.2.1:25: .*{advice}"):
        sockets.bind("192.0.2.1:25", 1)
    # Only a port that somebody has is worth waiting for
    assert sockets.in_use("192.0.2.1:25") is (number == errno.EADDRINUSE)


def test_a_machine_without_ipv6_is_no_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_family: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr("socket.socket", none)
    assert not sockets.in_use("[::]:25")
    with pytest.raises(WorldFault, match="take the address out of listen"):
        sockets.bind("[::]:25", 2)
