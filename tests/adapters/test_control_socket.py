"""The control socket: who may use it, and what hostile frames come to."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gatepost.adapters import control_socket
from gatepost.adapters.control_socket import FRAME_LIMIT_BYTES, ControlServer, ask, is_answered
from gatepost.model.fault import WorldFault


async def echo(request: bytes) -> bytes:
    return b"heard " + request


class Served:
    """A server on a loop of its own thread."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self.server = ControlServer(str(path), echo)
        self._thread = threading.Thread(target=self.loop.run_forever)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.server.start(), self.loop).result(10)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), self.loop).result(
            10
        )  # for what was just accepted
        asyncio.run_coroutine_threadsafe(self.server.stop(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path / "control" / "worker-0.sock")
    one.start()
    yield one
    one.stop()


def test_a_question_is_answered(served: Served) -> None:
    assert ask(str(served.path), b"hello", timeout_s=10) == b"heard hello"
    assert ask(str(served.path), b"", timeout_s=10) == b"heard "


def test_a_frame_may_be_as_long_as_the_limit(served: Served) -> None:
    asked = b"x" * FRAME_LIMIT_BYTES
    assert ask(str(served.path), asked, timeout_s=10) == b"heard " + asked


@pytest.mark.threat("Q11")
def test_the_socket_is_for_our_account_alone(served: Served) -> None:
    assert stat.S_IMODE(os.stat(served.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(served.path.parent).st_mode) == 0o700


@pytest.mark.threat("Q11")
def test_another_account_is_not_listened_to(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "_peer_uid", lambda wire: 54321)
    with pytest.raises(WorldFault, match=r"closed the connection|reset by peer|Broken pipe"):
        ask(str(served.path), b"hello", timeout_s=10)


HOSTILE = {
    "a length above the limit": struct.pack("!I", FRAME_LIMIT_BYTES + 1) + b"x",
    "the largest length": b"\xff\xff\xff\xff",
    "half a length": b"\x00\x00",
    "half a frame": struct.pack("!I", 100) + b"x",
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.threat("Q11")
@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_frame_closes_its_connection_and_nothing_else(served: Served, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(10)
        wire.connect(str(served.path))
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        assert wire.recv(100) == b""
    assert ask(str(served.path), b"still there", timeout_s=10) == b"heard still there"


def test_a_client_that_says_nothing_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_socket, "ASK_TIMEOUT_S", 0.1)
    with socket.socket(socket.AF_UNIX) as wire:
        wire.settimeout(10)
        wire.connect(str(served.path))
        assert wire.recv(100) == b""


def test_an_old_socket_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "worker-0.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert not is_answered(str(path))
    served = Served(path)
    served.start()
    try:
        assert is_answered(str(path))
        assert ask(str(path), b"hello", timeout_s=10) == b"heard hello"
    finally:
        served.stop()
    assert not path.exists()


def test_nobody_there_is_a_world_fault(tmp_path: Path) -> None:
    assert not is_answered(str(tmp_path / "none.sock"))
    with pytest.raises(WorldFault, match="cannot ask"):
        ask(str(tmp_path / "none.sock"), b"hello", timeout_s=1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"", "closed the connection without an answer"),
        (b"\xff\xff\xff\xff", "too long"),
        (struct.pack("!I", 5) + b"ab", "closed the connection without an answer"),
    ],
)
def test_a_strange_answer_is_a_world_fault(tmp_path: Path, answer: bytes, said: str) -> None:
    path = tmp_path / "strange.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def reply() -> None:
            wire, _ = listening.accept()
            with wire:
                wire.recv(100)
                wire.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(WorldFault, match=said):
            ask(str(path), b"hello", timeout_s=10)
        thread.join(10)


def test_an_answer_that_does_not_come_is_a_world_fault(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        with pytest.raises(WorldFault, match="no answer within"):
            ask(str(path), b"hello", timeout_s=0.1)
