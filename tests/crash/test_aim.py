"""Kills that are aimed: who takes the wish, where death falls, how a store becomes an old one, what notices are due."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crash.aim import Aim, Moment, Where
from crash.killer import SHARES, Victim, deck_of
from crash.ledger import Answer, Sending
from crash.notes import About, Note, NoteFinding, about, counted, judge_notes, read_note
from crash.old_store import OLDEST, make_old, version_of
from crash.process import holders_of, worker_number
from powercut.library import NoCompiler, Page, build, environment
from tests.adapters.store_mails import committed, in_memory, mail, opened
from tests.powercut.under import Watched

from gatepost.adapters.sqlite_schema import SCHEMA_VERSION
from gatepost.model.content import Content
from gatepost.model.queued import Accept
from gatepost.ports.store import MailFilter


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


def in_child(work: Callable[[], object]) -> int:
    """The signal that ended a child that does the work; 0: it ended by itself."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def aimed(tmp_path: Path) -> Aim:
    Page(tmp_path / "page").close()
    return Aim(tmp_path / "page")


def test_whoever_comes_to_the_moment_dies_there_and_nobody_else(tmp_path: Path) -> None:
    aim = aimed(tmp_path)
    aim.wish(Moment.CHECKPOINT, 0)
    assert in_child(lambda: aim.around(Moment.RECOVERY, 3, lambda: None)) == 0
    assert in_child(lambda: aim.around(Moment.CHECKPOINT, 4, lambda: None)) == signal.SIGKILL
    assert (aim.where, aim.worker, aim.calls) == (Where.BEFORE, 4, 0)
    assert in_child(lambda: aim.around(Moment.CHECKPOINT, 5, lambda: None)) == 0
    assert aim.worker == 4


def test_a_moment_with_fewer_calls_ends_in_death_all_the_same(tmp_path: Path) -> None:
    aim = aimed(tmp_path)
    aim.wish(Moment.MIGRATION, 7)
    assert in_child(lambda: aim.around(Moment.MIGRATION, 0, lambda: None)) == signal.SIGKILL
    assert aim.where is Where.AFTER


def test_death_comes_in_place_of_the_chosen_call(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    aim = Aim(watched.page.file)
    aim.wish(Moment.CHECKPOINT, 2)
    traced = watched.run(f"""
        import os
        from crash.aim import Aim, Moment
        file = os.open(state / "a", os.O_WRONLY | os.O_CREAT)
        os.write(file, b"before")
        def work():
            os.write(file, b"one")
            os.write(file, b"two")
        Aim(Path({str(watched.page.file)!r})).around(Moment.CHECKPOINT, 1, work)
    """)
    assert traced.status == -signal.SIGKILL, traced.said
    assert (aim.where, aim.worker, aim.calls) == (Where.IN, 1, 2)
    assert aim.died_at > 0
    assert (watched.state / "a").read_bytes() == b"beforeone"


def test_every_kind_of_kill_is_in_the_deck_as_often_as_its_share_says() -> None:
    hundred = Counter(deck_of(100, random.Random(1), aimed=True))
    assert hundred == Counter(SHARES)
    assert set(deck_of(13, random.Random(2), aimed=True)) == set(Victim)
    assert len(deck_of(5, random.Random(3), aimed=True)) == 5
    assert Victim.CHECKPOINT not in deck_of(200, random.Random(4), aimed=False)


def stored(directory: Path) -> list[tuple[int, str, object]]:
    async def read() -> list[tuple[int, str, object]]:
        store = opened(directory)
        found: list[tuple[int, str, object]] = [
            (m.mail_id, str(m.sender), store.content(m.mail_id).body)
            for m in store.find(MailFilter(), limit=100)
        ]
        store.close()
        return found

    return asyncio.run(read())


def some_mails(directory: Path) -> None:
    async def write() -> None:
        store = opened(directory)
        for number in range(3):
            content = Content(head=b"Subject: x\r\n\r\n", body=b"%d" % number)
            await committed(store, Accept(mail=mail(number), content=content))
        store.close()

    asyncio.run(write())


@pytest.mark.slow
@pytest.mark.threat("O14")
def test_a_store_of_an_older_gatepost_keeps_its_mail_through_every_killed_migration(tmp_path: Path) -> None:
    """Killed in place of each write and sync of the migration in turn, then opened again: every mail is there."""
    try:
        library = build(tmp_path)
    except NoCompiler as reason:
        pytest.skip(str(reason))
    directory = tmp_path / "state" / "worker-0"
    directory.parent.mkdir()
    some_mails(directory)
    before = stored(directory)
    page = Page(tmp_path / "page")
    aim = Aim(page.file)
    wishes = {**os.environ, **environment(library, tmp_path / "state", page, None), "PYTHONPATH": "src:."}
    places: list[Where] = []
    while Where.AFTER not in places and len(places) < 40:
        assert make_old(directory / "store.db") == 3
        assert version_of(directory / "store.db") == OLDEST < SCHEMA_VERSION
        aim.wish(Moment.MIGRATION, len(places))
        assert died_migrating(directory, wishes) == -signal.SIGKILL
        places.append(aim.where)
        assert stored(directory) == before
        assert version_of(directory / "store.db") == SCHEMA_VERSION
    assert places[0] is Where.BEFORE
    assert places.count(Where.IN) >= 3  # a frame's head, the frame, the sync
    assert places[-1] is Where.AFTER


def died_migrating(directory: Path, environ: dict[str, str]) -> int:
    program = f"""
import asyncio
from pathlib import Path
from crash import moments
moments.install()
from tests.adapters.store_mails import opened
async def start():
    opened(Path({str(directory)!r}))
asyncio.run(start())
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, env=environ, capture_output=True, timeout=60, check=False
    )
    return done.returncode


def test_what_recipients_call_for() -> None:
    assert [about(f"{kind.value}12@crash.test") for kind in About] == list(About)
    assert about("user1@crash.test") is None
    assert about("gone1@other.test") is None


def test_a_notice_is_told_from_mail() -> None:
    notice = (
        b"Message-ID: <n@gate>\r\nContent-Type: multipart/report; boundary=x\r\n\r\n--x\r\n\r\n"
        b"Final-Recipient: rfc822; slow3@crash.test\r\nAction: delayed\r\n\r\n--x\r\n\r\nX-Crash-Ledger: r.n7\r\n"
    )
    assert read_note(notice) == Note(About.DELAY, "r.n7", "slow3@crash.test", "<n@gate>")
    assert read_note(b"X-Crash-Ledger: r.1\r\n\r\nContent-Type: multipart/report\r\n") is None


def note(message_id: str, kind: About | None = About.FAILURE, original: str = "n1") -> Note:
    return Note(kind, original, "gone1@crash.test", message_id)


ACK, REFUSED, UNKNOWN = Answer.ACKNOWLEDGED, Answer.REFUSED, Answer.UNKNOWN


@pytest.mark.parametrize(
    ("answer", "notes", "expected"),
    [
        pytest.param(ACK, (note("<a>"),), NoteFinding.ONE, id="one"),
        pytest.param(ACK, (note("<a>"), note("<a>")), NoteFinding.ONE, id="one that the wire doubled"),
        pytest.param(ACK, (note("<a>"), note("<b>")), NoteFinding.TWICE, id="two"),
        pytest.param(ACK, (), NoteFinding.MISSING, id="none"),
        pytest.param(ACK, (note("<a>", About.DELAY),), NoteFinding.INVENTED, id="about something else"),
        pytest.param(UNKNOWN, (), NoteFinding.NONE_DUE, id="none, for a mail that may not be there"),
        pytest.param(UNKNOWN, (note("<a>"), note("<b>")), NoteFinding.TWICE, id="two for one that may be"),
        pytest.param(REFUSED, (note("<a>"),), NoteFinding.INVENTED, id="about a mail that was refused"),
        pytest.param(REFUSED, (), NoteFinding.NONE_DUE, id="none for a mail that was refused"),
    ],
)
def test_notices_are_due_exactly_once(answer: Answer, notes: tuple[Note, ...], expected: NoteFinding) -> None:
    sending = Sending("n1", "d", 1, {"gone1@crash.test": answer})
    assert counted(judge_notes([sending], notes)) == {expected: 1}


def test_a_notice_about_nothing_that_was_sent_is_found() -> None:
    assert counted(judge_notes([], [note("<a>", original="")])) == {NoteFinding.INVENTED: 1}


def test_who_has_a_store_open_is_found(tmp_path: Path) -> None:
    store = tmp_path / "worker-3" / "store.db"
    store.parent.mkdir()
    with store.open("wb"):
        assert holders_of(tmp_path) == [os.getpid()]
        assert worker_number(os.getpid()) == 3
    assert holders_of(tmp_path) == []
