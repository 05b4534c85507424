"""Stores of workers that are no more: which of them get a worker that delivers what they hold."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.adapters.store_mails import accept, committed, opened

from gatepost.adapters.sqlite_store import SqliteStore
from gatepost.config.settings import Server, Settings
from gatepost.main.stores import former_workers


def settings(state: Path) -> Settings:
    return Settings(
        server=Server.model_validate({"hostname": "mx.ours.example", "state-directory": str(state)})
    )


async def _nothing(store: SqliteStore) -> None:
    store.close()


async def _a_mail(store: SqliteStore) -> None:
    await committed(store, accept(1))
    store.close()


def _damage(directory: Path) -> None:
    (directory / "store.db").write_bytes(b"no database at all" * 1000)


def _hide_lock(directory: Path) -> None:
    (directory / "lock").unlink()
    (directory / "lock").symlink_to("lock")  # nobody can open it


def _make_older(directory: Path) -> None:
    with sqlite3.connect(directory / "store.db") as database:
        database.execute("PRAGMA user_version = 1")
    database.close()


@pytest.mark.parametrize(
    ("before", "after", "is_former"),
    [
        pytest.param(_nothing, None, False, id="an empty store needs nobody"),
        pytest.param(_a_mail, None, True, id="a store with mail"),
        pytest.param(_nothing, _hide_lock, True, id="a lock that cannot be looked at may be held"),
        pytest.param(_nothing, _damage, True, id="a damaged store is mended by its worker"),
        pytest.param(
            _nothing, _make_older, True, id="a store of an older version is brought up by its worker"
        ),
    ],
)
@pytest.mark.threat("O26")
def test_a_store_that_may_hold_mail_gets_a_worker(
    tmp_path: Path,
    before: Callable[[SqliteStore], Awaitable[None]],
    after: Callable[[Path], None] | None,
    is_former: bool,
) -> None:
    async def story() -> None:
        await before(opened(tmp_path / "worker-2"))

    asyncio.run(story())
    if after is not None:
        after(tmp_path / "worker-2")
    assert former_workers(settings(tmp_path), 2) == ((2,) if is_former else ())
    assert former_workers(settings(tmp_path), 3) == ()


@pytest.mark.threat("O26")
def test_a_store_whose_worker_still_finishes_may_get_mail_yet(tmp_path: Path) -> None:
    """The supervisor was killed, and a session that its worker has open brings a mail after we have looked."""

    async def story() -> None:
        store = opened(tmp_path / "worker-1")
        assert former_workers(settings(tmp_path), 1) == (1,)
        await committed(store, accept(1))
        store.close()
        assert former_workers(settings(tmp_path), 1) == (1,), "and looking has not changed anything"

    asyncio.run(story())
