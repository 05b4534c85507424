"""What the supervisor hears of a child on its line."""

from __future__ import annotations

import asyncio
import socket
import threading
import time

from gatepost.main.children import ALIVE, BUSY, READY, Child, beat


def a_child() -> tuple[Child, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return Child(0, pid=1, line=ours), theirs


def test_a_child_is_ready_when_it_says_so_and_alive_when_it_is_heard() -> None:
    child, line = a_child()
    child.hear(5.0)
    assert (child.is_ready, child.heard_at) == (False, 0.0)
    line.send(READY)
    child.hear(6.0)
    assert (child.is_ready, child.heard_at) == (True, 6.0)
    line.send(ALIVE)
    child.hear(7.0)
    assert (child.is_ready, child.heard_at) == (True, 7.0)
    line.close()
    child.hear(8.0)
    assert (child.is_ready, child.line) == (False, None)


def test_an_order_waits_for_a_child_that_starts() -> None:
    child, line = a_child()
    threading.Timer(0.01, line.send, (READY,)).start()
    assert child.becomes_ready(60)
    child.hang_up()
    line.close()


def test_it_does_not_wait_for_one_that_ends() -> None:
    child, line = a_child()
    line.close()
    before = time.monotonic()
    assert not child.becomes_ready(60)
    assert time.monotonic() - before < 30
    assert not Child(0).becomes_ready(60)


def test_a_worker_says_that_it_serves_even_when_nobody_listens() -> None:
    async def live() -> bytes:
        ours, theirs = socket.socketpair()
        beating = asyncio.get_running_loop().create_task(beat(theirs))
        await asyncio.sleep(0)
        heard = ours.recv(10)
        ours.close()
        await asyncio.sleep(0)
        assert not beating.done()
        beating.cancel()
        theirs.close()
        return heard

    assert asyncio.run(live()) == READY


def test_a_scan_worker_is_busy_from_its_question_to_its_answer() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    child = Child(-3, pid=1, line=ours)
    assert (child.name, child.short_name, child.scan_number, child.is_worker) == ("scan-1", "s1", 1, False)
    busy = []
    for number, said in enumerate((READY, BUSY, ALIVE + BUSY + ALIVE)):
        theirs.send(said)
        child.hear(float(number))
        busy.append(child.is_busy)
    assert busy == [False, True, False]
    child.hang_up()
    theirs.close()


def test_children_are_called_what_they_are() -> None:
    assert [(c.name, c.short_name) for c in (Child(0), Child(12), Child(-1), Child(-2))] == [
        ("worker-0", "w0"),
        ("worker-12", "w12"),
        ("control", "control"),
        ("scan-0", "s0"),
    ]
