"""Runs a few lines of Python below the recorder, and reads what it wrote."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from powercut.library import NoCompiler, Page, build, environment
from powercut.tracing import Record, read_trace

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Traced:
    """What came of it."""

    status: int
    said: str
    records: list[Record]


class Watched:
    """A state directory below the recorder."""

    def __init__(self, place: Path) -> None:
        try:
            self._library = build(place)
        except NoCompiler as reason:
            pytest.skip(str(reason))
        self.state = place / "state"
        self.state.mkdir()
        self._log = place / "trace"
        self.page = Page(place / "page")

    def run(self, lines: str) -> Traced:
        """The lines know `state`."""
        self._log.touch()
        wishes = environment(self._library, self.state, self.page, self._log)
        program = f"from pathlib import Path\nstate = Path({str(self.state)!r})\n" + textwrap.dedent(lines)
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, **wishes, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Traced(done.returncode, done.stdout + done.stderr, list(read_trace(self._log, self.state)))
