"""A start that is killed: the next one finds everything, and tells of nothing that is not so."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.adapters.store_mails import NotedLog, mail_id, opened

DEATHS_IN_A_START = {
    "in the recovery": "gatepost.adapters.sqlite_store.match_bodies",
    "when the recovery is over": "gatepost.adapters.sqlite_store.replace",
    "before the first look at the disk": "gatepost.adapters.disk.DiskRoom.sample",
}
TOLD = ("store-recovered", "store-log-missing")
DIES = """
import asyncio, os, sys
from pathlib import Path
from unittest.mock import patch
from tests.adapters.store_mails import accept, committed, opened

async def dies_after_a_commit(directory, _place):
    await committed(opened(directory), accept(1))
    os._exit(9)

async def dies_in_its_start(directory, place):
    with patch(place, lambda *_, **__: os._exit(9)):
        opened(directory)

for number, place in enumerate(sys.argv[2:]):
    for story in (dies_after_a_commit, dies_in_its_start):
        child = os.fork()
        if child == 0:
            asyncio.run(story(Path(sys.argv[1]) / str(number), place))
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9, place
"""


@pytest.mark.threat("O09")
def test_a_death_in_a_start_loses_no_log(tmp_path: Path) -> None:
    """Found by kills: a start closes the store on its way, SQLite removes the log with that, and all was in it."""
    root = Path(__file__).parents[2]
    subprocess.run(
        [sys.executable, "-c", DIES, str(tmp_path), *DEATHS_IN_A_START.values()],
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"},
        check=True,
    )

    async def recovers(directory: Path) -> list[bool]:
        log = NotedLog()
        store = opened(directory, log=log)
        found = [store.mail(mail_id(1)) is not None, *(e in log.events() for e in TOLD)]
        store.close()
        return found

    for number, case in enumerate(DEATHS_IN_A_START):
        assert asyncio.run(recovers(tmp_path / str(number))) == [True, True, False], case
