"""Zeroed pages of the store's file: the mails on them are lost or held, every other one goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from tests.adapters.store_mails import NotedLog, accept, committed, in_memory, mail_id, opened, settle

from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState
from gatepost.ports.store import MailFilter

MAILS = 200


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


def zero_a_page(path: Path, table: str) -> None:
    """The second of the table's leaves."""
    database = apsw.Connection(str(path))
    leaves = database.execute(
        "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf' ORDER BY pageno", (table,)
    ).fetchall()
    database.close()
    page = leaves[1][0]
    assert isinstance(page, int)
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))


@pytest.mark.threat("O09")
@pytest.mark.parametrize("table", ["mail", "recipient", "content"])
def test_a_zeroed_page(tmp_path: Path, table: str) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, *(accept(n) for n in range(MAILS)))
        store.close()
        zero_a_page(tmp_path / "store.db", table)
        if table == "content":  # found by whoever reads it
            store = opened(tmp_path)
            unreadable = 0
            for number in range(MAILS):
                try:
                    store.content(mail_id(number))
                except WorldFault:
                    unreadable += 1
            assert 0 < unreadable < MAILS / 2
            store.close()
        else:  # found by the check after a crash
            (tmp_path / "lock").write_bytes(b"open\n")
        log = NotedLog()
        store = opened(tmp_path, log=log)
        assert "store-salvaged" in log.events()
        assert (tmp_path / "store.db.damaged").exists()
        states = {m.mail_id: m.recipients[0].state for m in store.find(MailFilter(), limit=1000)}
        assert set(states) == {mail_id(n) for n in range(MAILS)}
        ready = [i for i, state in states.items() if state is MailState.READY]
        assert MAILS / 2 < len(ready) < MAILS
        for each in ready:
            assert store.content(each).body == b"Hello\r\n"
        assert {states[i] for i in states if i not in ready} == {MailState.POISON}
        for number in range(MAILS):
            wish = MailState.DELIVERED if mail_id(number) in ready else MailState.REMOVED
            await committed(store, settle(number, wish))
        assert store.find(MailFilter(), limit=1) == []
        store.close()
        log = NotedLog()
        opened(tmp_path, log=log).close()
        assert "store-salvaged" not in log.events()

    asyncio.run(story())


@pytest.mark.threat("O09")
def test_a_row_whose_id_is_damaged_is_left_behind(tmp_path: Path) -> None:
    """A header octet of one row says that its mail has no id: the start salvages, and does not die of it."""

    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, *(accept(n) for n in range(MAILS)))
        store.close()
        octets = (tmp_path / "store.db").read_bytes()
        # A row of `recipient`: ten octets of header, an id of eight, number 0, state 1.
        row = octets.rindex(b"\x0a\x06\x08\x09")  # the last: a page that was split keeps the first
        (tmp_path / "store.db").write_bytes(octets[: row + 1] + b"\0" + octets[row + 2 :])
        (tmp_path / "lock").write_bytes(b"damaged\n")
        log = NotedLog()
        store = opened(tmp_path, log=log)
        assert "store-salvaged" in log.events()
        assert len(store.find(MailFilter(), limit=1000)) == MAILS
        store.close()

    asyncio.run(story())


RUBBISH = bytes(range(255, -1, -1)) * 16
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "the second half is gone": lambda octets: octets[: len(octets) // 8192 * 4096],
    "cut in the middle of a page": lambda octets: octets[: len(octets) // 2 + 100],
    "the last page is gone": lambda octets: octets[:-4096],
    **{
        f"rubbish in page {n}": lambda octets, n=n: octets[: (n - 1) * 4096] + RUBBISH + octets[n * 4096 :]  # type: ignore[misc]
        for n in range(2, 16)
    },
}


@pytest.mark.threat("O09")
@pytest.mark.parametrize("stop", ["clean", "unclean"])
def test_a_damaged_file_is_salvaged_whatever_the_last_stop_was_like(tmp_path: Path, stop: str) -> None:
    """Copies cut short and bad sectors come with orderly stops, too: the start mends, and mail is taken again."""

    def read(store: SqliteStore) -> int:
        found = store.find(MailFilter(), limit=1000)
        for each in found:  # what is not held can be read, or is held now
            if each.recipients[0].state is MailState.READY:
                with contextlib.suppress(WorldFault):
                    assert store.content(each.mail_id).body == b"Hello\r\n"
        return len(found)

    async def story(damage: str, place: Path, octets: bytes) -> str:
        place.mkdir()
        (place / "store.db").write_bytes(DAMAGES[damage](octets))
        (place / "lock").write_bytes(b"open\n" if stop == "unclean" else b"")
        log = NotedLog()
        store = opened(place, log=log)
        try:
            mails = read(store)
            await committed(store, accept(MAILS + 1))
        except WorldFault:  # found by whoever reads or writes it: "restart to salvage it", says the log
            assert "store-damaged" in log.events()
            store.close()
            store = opened(place, log=log)
            mails = read(store)
            await committed(store, accept(MAILS + 1))
        assert store.why_not_accepting() == ""
        store.close()
        mended = any(event in log.events() for event in ("store-damaged", "mail-damaged"))
        return f"{damage}: {'seen' if mended else 'not seen'}, {mails} mails"

    async def all_of_them() -> list[str]:
        store = opened(tmp_path / "whole")
        await committed(store, *(accept(n) for n in range(MAILS)))
        store.close()
        octets = (tmp_path / "whole" / "store.db").read_bytes()
        return [await story(damage, tmp_path / str(n), octets) for n, damage in enumerate(DAMAGES)]

    told = asyncio.run(all_of_them())
    assert len(told) == len(DAMAGES)
    assert sum("not seen" in line for line in told) < len(DAMAGES) / 2, "\n".join(told)


@pytest.mark.threat("O09")
@pytest.mark.parametrize("left", ["reserve", "lock", "bodies"])
def test_an_empty_file_where_a_store_was_is_refused(tmp_path: Path, left: str) -> None:
    """A full or broken disk can leave a name without octets: to begin anew would forget mail and sweep its bodies."""

    async def story() -> None:
        opened(tmp_path).close()
        for path in (tmp_path / "reserve", tmp_path / "lock"):
            path.unlink(missing_ok=True)
        match left:
            case "reserve":
                (tmp_path / "reserve").write_bytes(b"\0" * 65536)
            case "lock":
                (tmp_path / "lock").write_bytes(b"open\n")
            case _:
                (tmp_path / "bodies" / "ab").mkdir()
                (tmp_path / "bodies" / "ab" / ("ab" + "0" * 22)).write_bytes(b"Hello\r\n")
        (tmp_path / "store.db").write_bytes(b"")
        with pytest.raises(WorldFault, match="is empty"):
            opened(tmp_path)
        assert left != "bodies" or list((tmp_path / "bodies" / "ab").iterdir())

    asyncio.run(story())


def test_a_start_that_was_killed_before_it_wrote_anything_is_no_damage(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / "bodies" / "tmp").mkdir(parents=True)
        (tmp_path / "store.db").write_bytes(b"")
        (tmp_path / "lock").write_bytes(b"")
        store = opened(tmp_path)
        await committed(store, accept(1))
        store.close()

    asyncio.run(story())


@pytest.mark.threat("O09")
@pytest.mark.parametrize("stop", ["", "open\n", "damaged\n"])
@pytest.mark.parametrize(
    ("left", "says"), [("rubbish", "not a database"), ("its first page", "nothing in it can be read")]
)
def test_a_file_of_which_nothing_can_be_read_is_left_as_it_is(
    tmp_path: Path, left: str, says: str, stop: str
) -> None:
    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, *(accept(n) for n in range(MAILS)))
        store.close()
        octets = (tmp_path / "store.db").read_bytes()[:4096] if left == "its first page" else RUBBISH * 4
        (tmp_path / "store.db").write_bytes(octets)
        (tmp_path / "lock").write_text(stop)
        for _ in range(2):
            with pytest.raises(WorldFault, match=f"{says}.*backup"):
                opened(tmp_path)
        assert (tmp_path / "store.db").read_bytes()[:4096] == octets[:4096]

    asyncio.run(story())


@pytest.mark.threat("O09")
def test_a_body_whose_mail_was_lost_is_set_aside(tmp_path: Path) -> None:
    """It may be all that is left of the mail; and what somebody else put beside the bodies is left alone."""

    async def story() -> None:
        store = opened(tmp_path)
        await committed(store, *(accept(n) for n in range(MAILS)))
        store.close()
        for name in ("ab/ab0123", "old/ab0123", "ab/README"):
            (tmp_path / "bodies" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "bodies" / name).write_bytes(b"Hello\r\n")
        (tmp_path / "bodies" / "tmp" / "lost+found").mkdir()
        octets = (tmp_path / "store.db").read_bytes()
        (tmp_path / "store.db").write_bytes(octets[: len(octets) // 8192 * 4096])
        opened(tmp_path).close()
        assert (tmp_path / "bodies.damaged" / "ab0123").read_bytes() == b"Hello\r\n"
        assert (tmp_path / "bodies" / "old" / "ab0123").exists()
        assert (tmp_path / "bodies" / "ab" / "README").exists()

    asyncio.run(story())
