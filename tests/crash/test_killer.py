"""The killer's own book: a supervisor that is told to stop twice kills its workers, and that is a death."""

from __future__ import annotations

import random
import subprocess
from types import SimpleNamespace
from typing import Any, cast

from crash.killer import Killer


def test_to_be_told_to_stop_twice_is_a_death() -> None:
    deaf = subprocess.Popen(["sh", "-c", "trap '' TERM; echo; exec sleep 60"], stdout=subprocess.PIPE)
    assert deaf.stdout is not None
    deaf.stdout.readline()
    try:
        killer = Killer(cast(Any, SimpleNamespace(pid=deaf.pid)), random.Random(1))
        killer._tell_to_stop(deaf.pid)
        assert killer.deaths == []
        killer._tell_to_stop(deaf.pid)
        assert [death.worker for death in killer.deaths] == [None]
    finally:
        deaf.kill()
        deaf.wait()
        deaf.stdout.close()
