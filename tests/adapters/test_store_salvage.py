"""Zeroed pages of the store's file: the mails on them are lost or held, every other one goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from tests.adapters.store_mails import NotedLog, accept, committed, in_memory, mail_id, opened, settle

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
