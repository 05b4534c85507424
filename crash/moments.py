"""The gateway with marks at its moments: `python -m crash.moments --config FILE run` dies where the killer aims.

The product has no such marks. They are set from outside, around the functions in which a checkpoint, a
migration, a recovery or the commit of a notice happens, and do nothing while nobody has made a wish (crash.aim).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from crash.aim import Aim, Moment
from gatepost.message.dsn import Outcome
from gatepost.model.queued import Accept, Change
from gatepost.notices.compose import SOURCE
from gatepost.notices.words import SUBJECTS

_NOTICES: Final = {
    SUBJECTS[Outcome.FAILED]: Moment.FAILURE_NOTICE,
    SUBJECTS[Outcome.DELAYED]: Moment.DELAY_NOTICE,
    SUBJECTS[Outcome.DELIVERED]: Moment.SUCCESS_NOTICE,
    SUBJECTS[Outcome.RELAYED]: Moment.SUCCESS_NOTICE,
}


def install() -> None:
    """Set the marks in this process and its children; nothing without a page to listen to."""
    if page := os.environ.get("POWERCUT_PAGE"):
        aim = Aim(Path(page))
        _mark_groups(aim)
        _mark_start(aim)


def notices_in(changes: Iterable[Change]) -> set[Moment]:
    """Which kinds of notices a transaction keeps."""
    return {
        _NOTICES[change.mail.subject]
        for change in changes
        if isinstance(change, Accept) and change.mail.source == SOURCE and change.mail.subject in _NOTICES
    }


def _mark_groups(aim: Aim) -> None:
    """Commits and checkpoints, which the store's own thread does."""
    from gatepost.adapters import sqlite_groups

    groups: Any = sqlite_groups.CommitGroups
    commit, go_on, run_checkpoint = groups._commit, groups._go_on, groups._run_checkpoint

    def marked_commit(self: Any) -> None:
        for moment in notices_in(change for asked in self._group.asked for change in asked.changes):
            if aim.is_wished(moment):
                aim.around(moment, _worker(self._owner), lambda: commit(self))
                return
        commit(self)

    def marked_go_on(self: Any) -> None:
        if aim.is_wished(Moment.CHECKPOINT) and self._pages:
            self._checkpoint_at = 0  # now
        go_on(self)

    def marked_checkpoint(self: Any) -> None:
        if aim.is_wished(Moment.CHECKPOINT):
            vars(sqlite_groups)["TRUNCATE_BYTES"] = 0  # with all that belongs to one
        aim.around(Moment.CHECKPOINT, _worker(self._owner), lambda: run_checkpoint(self))

    groups._commit, groups._go_on, groups._run_checkpoint = marked_commit, marked_go_on, marked_checkpoint


def _mark_start(aim: Aim) -> None:
    """Migrations and the recovery after a death, which the worker's first thread does."""
    from gatepost.adapters import sqlite_schema, sqlite_store

    store: Any = sqlite_store.SqliteStore
    recover, migrate = store._recover, sqlite_schema.migrate

    def marked_recover(self: Any, crash_limit: int) -> Any:
        if not self._lock.was_unclean or not self._path.exists():
            return recover(self, crash_limit)
        return aim.around(Moment.RECOVERY, _worker(self), lambda: recover(self, crash_limit))

    def marked_migrate(database: Any) -> int:
        found = database.pragma("user_version")
        if not 0 < found < sqlite_schema.SCHEMA_VERSION:
            return migrate(database)
        return aim.around(
            Moment.MIGRATION, _number(Path(database.filename).parent), lambda: migrate(database)
        )

    store._recover = marked_recover
    vars(sqlite_store)["migrate"] = marked_migrate


def _worker(store: Any) -> int:
    return _number(store._path.parent)


def _number(directory: Path) -> int:
    return int(directory.name.rpartition("-")[2])


def main(arguments: Sequence[str]) -> None:
    """The gateway's command line."""
    from gatepost.main import command_line

    install()
    sys.argv = ["gatepost", *arguments]
    command_line.main()


if __name__ == "__main__":
    main(sys.argv[1:])
