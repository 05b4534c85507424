"""Frames over a Unix socket that only our own account may use: how the command line reaches a worker.

A frame is its length in four octets (big-endian) and that many octets. One frame is asked, one
is answered, then the connection closes. What is in a frame is the business of `control`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final

from gatepost.model.fault import WorldFault

FRAME_LIMIT_BYTES: Final = 1 << 20
REPLY_LIMIT_BYTES: Final = 16 << 20
ASK_TIMEOUT_S: Final = 5.0
"""Patience with a client that connects and does not ask."""
SHORT_TIMEOUT_S: Final = 1.0
"""The same patience where everything else waits meanwhile."""
CONVERSATIONS: Final = 16
_LENGTH: Final = struct.Struct("!I")
_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED

Answer = Callable[[bytes], Awaitable[bytes]]


class ControlServer:
    """Listens on one socket file, mode 0600, and lets `answer` answer each frame.

    answer: gets the frame's octets, returns the reply's; it answers for its own failures.
    Only the account we run as, and root, are listened to (threats Q11).
    """

    def __init__(self, path: str, answer: Answer) -> None:
        self._path = path
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._slots = asyncio.Semaphore(CONVERSATIONS)
        self._conversations: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Raises OSError when the socket cannot be made. An old socket file of ours is replaced."""
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        listening = _listening(self._path)
        self._server = await asyncio.start_unix_server(self._serve, sock=listening)

    async def stop(self) -> None:
        """Close, remove the socket file, let the answers that are under way go out."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        if self._conversations:
            await asyncio.wait(tuple(self._conversations), timeout=ASK_TIMEOUT_S)
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.get_running_loop().create_task(self._converse(reader, writer))
        self._conversations.add(conversation)
        conversation.add_done_callback(self._conversations.discard)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if _peer_uid(writer.get_extra_info("socket")) not in (0, os.geteuid()):
                return
            async with self._slots:
                request = await asyncio.wait_for(_read_frame(reader), ASK_TIMEOUT_S)
                reply = await self._answer(request)
                writer.write(_LENGTH.pack(len(reply)) + reply)
                await asyncio.wait_for(writer.drain(), ASK_TIMEOUT_S)
        except (OSError, EOFError, ValueError, TimeoutError):
            return  # a client that is gone or speaks something else gets a closed connection
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class WaitingSocket:
    """The same for a process without an event loop: `converse` when the socket is readable.

    Raises OSError when the socket cannot be made. An old socket file of ours is replaced.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        self._socket = _listening(path)

    def fileno(self) -> int:
        """For select()."""
        return self._socket.fileno()

    def converse(self, answer: Callable[[bytes], bytes]) -> None:
        """Answer one client; one that is gone, slow or speaks something else gets a closed connection."""
        try:
            wire, _ = self._socket.accept()
        except OSError:
            return
        with wire:
            wire.settimeout(SHORT_TIMEOUT_S)
            try:
                if _peer_uid(wire) not in (0, os.geteuid()):
                    return
                (length,) = _LENGTH.unpack(_exactly(wire, _LENGTH.size))
                if length > FRAME_LIMIT_BYTES:
                    return
                reply = answer(_exactly(wire, length))
                wire.sendall(_LENGTH.pack(len(reply)) + reply)
            except (OSError, WorldFault):
                return

    def leave(self) -> None:
        """In a child: the socket is the parent's."""
        self._socket.close()

    def close(self) -> None:
        """Close, and remove the socket file."""
        self._socket.close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)


def ask(path: str, request: bytes, *, timeout_s: float) -> bytes:
    """Send one frame, wait for the answer. Blocks; for the command line.

    Raises WorldFault when nobody listens, the answer does not come in time or is no frame.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
            wire.settimeout(timeout_s)
            wire.connect(path)
            wire.sendall(_LENGTH.pack(len(request)) + request)
            (length,) = _LENGTH.unpack(_exactly(wire, _LENGTH.size))
            if length > REPLY_LIMIT_BYTES:
                raise WorldFault("the worker's answer is too long", path=path)
            return _exactly(wire, length)
    except TimeoutError as error:
        raise WorldFault(f"no answer within {timeout_s:g} seconds", path=path) from error
    except OSError as error:
        raise WorldFault(f"cannot ask {path}: {error.strerror or error}", path=path) from error


def is_answered(path: str) -> bool:
    """Whether a process listens on the socket. Raises WorldFault when this account may not know."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as wire:
            wire.settimeout(1.0)
            wire.connect(path)
            return True
    except PermissionError as error:
        raise WorldFault(
            f"{path} may not be asked: {error.strerror}: it is for root and the gateway's own account "
            "(server.user) only"
        ) from error
    except TimeoutError:  # somebody does, and is too busy to take more callers
        return True
    except OSError:
        return False


def _listening(path: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the file must never be there with a wider mode
    try:
        listening.bind(path)
        listening.listen(CONVERSATIONS)
    except OSError:
        listening.close()
        raise
    finally:
        os.umask(before)
    listening.settimeout(0)
    return listening


async def _read_frame(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > FRAME_LIMIT_BYTES:
        raise ValueError("the frame is too long")
    return await reader.readexactly(length)


def _exactly(wire: socket.socket, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        chunk = wire.recv(min(65536, size - len(got)))
        if not chunk:
            raise WorldFault("the worker closed the connection without an answer")
        got += chunk
    return bytes(got)


def _peer_uid(wire: socket.socket) -> int:
    said = wire.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(said)[1])
