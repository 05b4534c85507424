"""The wire between workers and scan workers: a Unix socket, one frame each way, then the connection closes.

The kernel gives the next connection to whichever scan worker is free. A connection that ends without an
answer means that the process which had the question is dead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import Final

from gatepost.model.fault import WorldFault
from gatepost.ports.scanning import ScanDied

BACKLOG: Final = 512
QUESTION_LIMIT_BYTES: Final = 256 << 20
ANSWER_LIMIT_BYTES: Final = 1 << 20
READING_LIMIT_S: Final = 10.0
"""Patience with one question's octets, and with whoever takes the answer."""
_LENGTH: Final = struct.Struct("!I")


class ScanSocket:
    """Keeps the promise of ports.scanning.Scanner. time_s: one opinion and the wait for a free scan worker."""

    def __init__(self, path: str, *, time_s: float) -> None:
        self._path = path
        self._time_s = time_s

    async def ask(self, question: bytes) -> bytes:
        """See ports.scanning.Scanner."""
        if len(question) > QUESTION_LIMIT_BYTES:
            raise WorldFault(f"the mail is too large for a scan worker ({len(question)} octets)")
        try:
            async with asyncio.timeout(self._time_s):
                return await self._converse(question)
        except TimeoutError:
            raise WorldFault(f"no scan worker was free within {self._time_s:g} s") from None

    async def _converse(self, question: bytes) -> bytes:
        try:
            reader, writer = await asyncio.open_unix_connection(self._path, limit=ANSWER_LIMIT_BYTES)
        except OSError as error:
            raise WorldFault(f"no scan worker can be asked: {error.strerror or error}") from error
        try:
            writer.write(_LENGTH.pack(len(question)) + question)
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            if length > ANSWER_LIMIT_BYTES:
                raise ScanDied(f"the scan worker answered {length} octets")
            return await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError):
            raise ScanDied("the scan worker died over it") from None
        finally:
            writer.close()


def listening_socket(path: str) -> socket.socket:
    """For all scan workers, mode 0600 by the umask of the process. Raises OSError; an old socket file is replaced."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(path)
        os.chmod(path, 0o600)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def read_question(wire: socket.socket) -> bytes:
    """In a scan worker. Raises OSError or EOFError when there is none."""
    wire.settimeout(READING_LIMIT_S)
    (length,) = _LENGTH.unpack(_exactly(wire, _LENGTH.size))
    if length > QUESTION_LIMIT_BYTES:
        raise EOFError("a question without end")
    return _exactly(wire, length)


def write_answer(wire: socket.socket, answer: bytes) -> None:
    """In a scan worker. Raises OSError when nobody waits for it any more."""
    wire.settimeout(READING_LIMIT_S)
    wire.sendall(_LENGTH.pack(len(answer)) + answer)


def _exactly(wire: socket.socket, count: int) -> bytes:
    octets = bytearray()
    while len(octets) < count:
        piece = wire.recv(min(count - len(octets), 1 << 20))
        if not piece:
            raise EOFError("the connection ended")
        octets += piece
    return bytes(octets)
