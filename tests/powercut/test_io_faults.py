"""Writes and syncs that fail below a real gateway: it refuses, comes back by itself, and loses nothing it promised."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from powercut.faults import PRODUCT, Run, chosen, run_all
from powercut.library import NoCompiler, build
from tests.adapters.store_mails import in_memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


def runs(place: Path, calls: list[tuple[int, str]], arguments: tuple[str, ...] = PRODUCT) -> list[Run]:
    try:
        library = build(place)
    except NoCompiler as reason:
        pytest.skip(str(reason))
    made = asyncio.run(run_all(calls, place, library, arguments))
    assert all(run.has_failed for run in made)
    return made


@pytest.mark.threat("O04", "O05")
def test_nothing_promised_is_lost_when_a_call_fails(tmp_path: Path) -> None:
    """Some calls of the start (make iofaults has them all), and some while mail comes in."""
    made = runs(tmp_path, chosen(5, every=13))
    for first in range(96, 400, 12):  # until one of them was a call that a mail needed
        made += runs(tmp_path, chosen(12, first=first))
        if {code for run in made for code in run.codes} & {451, 452}:
            break
    else:
        pytest.fail("300 calls failed, and no mail was refused because of it")
    assert [(run.call, run.failures) for run in made if run.failures] == []
    assert {code for run in made for code in run.codes} <= {0, 250, 421, 451, 452}


@pytest.mark.threat("O03", "O04")
def test_a_gateway_that_is_deaf_to_errors_is_found_out(tmp_path: Path) -> None:
    """About one call in ten is one that mattered: they are tried until one is found."""
    for first in range(96, 400, 12):
        made = runs(tmp_path, chosen(12, first=first), ("-m", "powercut.mutants", "deaf-to-errors"))
        if any("answered 250 and is lost" in failure for run in made for failure in run.failures):
            return
    pytest.fail("300 calls failed, and nobody noticed that their mails were lost")
