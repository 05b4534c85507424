"""The recorder below a real process: what it notes, in which order, and what it can make fail."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from powercut.explore import every_state, explore
from powercut.library import NoCompiler, build
from powercut.tracing import BrokenTrace, Op, append, read_trace
from tests.adapters.store_mails import in_memory
from tests.powercut.under import Watched


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


FILES = """
import os, socket
here, there = socket.socketpair()
(state / "d").mkdir()
with open(state / "a", "wb", buffering=0) as file:
    file.write(b"one")
    os.pwrite(file.fileno(), b"two", 10)
    os.writev(file.fileno(), [b"th", b"ree"])
    os.ftruncate(file.fileno(), 4)
    os.posix_fallocate(file.fileno(), 0, 8)
    os.fsync(file.fileno())
    os.fdatasync(file.fileno())
with open(state / "a", "ab", buffering=0) as file:
    file.write(b"end")
os.rename(state / "a", state / "d" / "b")
os.link(state / "d" / "b", state / "c")
os.unlink(state / "c")
top = os.open(state, os.O_RDONLY | os.O_DIRECTORY)
os.fsync(top)
here.send(b"250 2.0.0 Queued as 0123456789abc\\r\\n")
open("/dev/null", "wb").write(b"not ours")
"""


def test_every_change_is_noted_in_its_order(tmp_path: Path) -> None:
    traced = Watched(tmp_path).run(FILES)
    assert traced.status == 0, traced.said
    seen = [(r.op.name, r.path, r.other, r.offset, r.data) for r in traced.records]
    assert seen == [
        ("MKDIR", "d", "", 0, b""),
        ("OPEN", "a", "", 0, b""),
        ("WRITE", "", "", 0, b"one"),
        ("WRITE", "", "", 10, b"two"),
        ("WRITE", "", "", 3, b"three"),
        ("TRUNCATE", "", "", 4, b""),
        ("ALLOCATE", "", "", 8, b""),
        *[("SYNC_BEGIN", "", "", 0, b""), ("SYNC_END", "", "", 0, b"")] * 2,
        ("OPEN", "a", "", 0, b""),
        ("WRITE", "", "", 8, b"end"),
        ("RENAME", "a", "d/b", 0, b""),
        ("LINK", "d/b", "c", 0, b""),
        ("UNLINK", "c", "", 0, b""),
        ("OPEN", "", "", 0, b""),
        ("SYNC_BEGIN", "", "", 0, b""),
        ("SYNC_END", "", "", 0, b""),
        ("SAY", "", "", 0, b"250 2.0.0 Queued as 0123456789abc\r\n"),
    ]
    assert [r.is_new for r in traced.records if r.op is Op.OPEN] == [True, False, False]


def test_a_chosen_call_fails_and_the_next_does_not(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.page.fail(2, 28)
    traced = watched.run("""
        import os
        file = os.open(state / "a", os.O_WRONLY | os.O_CREAT)
        os.write(file, b"one")
        try:
            os.fsync(file)
        except OSError as error:
            print(error.errno)
        os.fsync(file)
    """)
    assert traced.said == "28\n"
    assert [r.error for r in traced.records if r.op is Op.SYNC_END] == [28, 0]
    assert (watched.page.calls, watched.page.failed) == (3, 1)


def test_a_process_dies_instead_of_a_chosen_call(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.page.die_in(2)
    traced = watched.run("""
        import os
        file = os.open(state / "a", os.O_WRONLY | os.O_CREAT)
        os.write(file, b"one")
        os.write(file, b"two")
    """)
    assert traced.status == -signal.SIGKILL
    assert [r.data for r in traced.records if r.op is Op.WRITE] == [b"one"]


NEW_STORE = """
import asyncio, socket, zlib
from crash.ledger import Answer, Sending
from crash.message import digest_of
from gatepost.model.content import Content
from gatepost.model.mail_id import mail_id_text
from gatepost.model.queued import Accept
from powercut.ledger import pack_sendings
from tests.adapters.store_mails import committed, mail, mail_id, opened

client, ours = socket.socketpair()

async def main():
    store = opened(state / "worker-0")
    sendings = []
    for number, size in enumerate((100, 70_000, 100)):
        head = b"X-Crash-Ledger: m%d\\r\\n\\r\\n" % number
        body = b"x" * size
        sendings.append(Sending(f"m{number}", digest_of(head + body), size, {"user0@example.com": Answer.ACKNOWLEDGED}))
        sendings[-1].queued_as = mail_id_text(mail_id(number))
        if size > 65536:
            spool = store.spool()
            spool.write(body)
            body = spool.keep()
        await committed(store, Accept(mail=mail(number), content=Content(head=head, body=body)))
        ours.send(b"250 2.0.0 Queued as %s\\r\\n" % sendings[-1].queued_as.encode())
    store.close()
    print(pack_sendings(sendings).decode())

asyncio.run(main())
"""


@pytest.mark.threat("O02", "O03")
def test_the_first_mail_of_a_new_store_survives_every_power_cut(tmp_path: Path) -> None:
    """The directories of a new store, and the first of its bodies, are synced before anything is promised."""
    watched = Watched(tmp_path)
    traced = watched.run(NEW_STORE)
    assert traced.status == 0, traced.said
    append(tmp_path / "trace", Op.LEDGER, traced.said.encode())
    records = list(read_trace(tmp_path / "trace", watched.state))
    replies = [number for number, record in enumerate(records) if record.op is Op.SAY]
    assert len(replies) == 3
    states = [s for s in every_state(records, 1) if s.cut - 1 in replies or s.cut % 7 == 0]
    assert list(explore(records, states, tmp_path / "image", 1)) == []


def test_a_log_that_is_cut_off_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    append(log, Op.SAY, b"250")
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(BrokenTrace, match="in the middle"):
        list(read_trace(log, tmp_path))
    log.write_bytes(b"x" * 48)
    with pytest.raises(BrokenTrace, match="no record"):
        list(read_trace(log, tmp_path))


def test_without_a_compiler_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(NoCompiler, match="C compiler"):
        build(tmp_path)
