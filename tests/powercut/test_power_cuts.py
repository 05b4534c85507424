"""The recorded run itself, short: nothing is lost in any power cut, and gateways that sync too little are found out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from powercut.explore import Failure, Fault, explore, states_of
from powercut.library import NoCompiler, build
from powercut.record import WORKERS, Recording, record
from powercut.tracing import Op, read_trace
from tests.adapters.store_mails import in_memory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    yield from in_memory(tmp_path)


def explored(directory: Path, *, mutant: str = "", mails: int = 80, states: int = 100) -> list[Failure]:
    try:
        library = build(directory)
    except NoCompiler as reason:
        pytest.skip(str(reason))
    arguments = ("-m", "powercut.mutants", mutant) if mutant else ("-m", "gatepost")
    plan = Recording(
        seed=11, mails=mails, directory=directory / "run", library=library, arguments=arguments, deaths=1
    )
    uvloop.run(record(plan))
    records = list(read_trace(plan.log, plan.state))
    ops = Counter(r.op for r in records)
    assert ops[Op.SAY] > mails // 2
    assert ops[Op.DELIVERED] > mails // 4
    assert ops[Op.RENAME] > 2  # bodies in files
    return list(explore(records, states_of(records, 11, states), directory / "image", WORKERS))


@pytest.mark.threat("O02", "O03", "O12")
def test_every_promise_survives_every_power_cut(tmp_path: Path) -> None:
    assert explored(tmp_path) == []


@pytest.mark.threat("O02", "O03")
@pytest.mark.parametrize(
    ("mutant", "fault"),
    [
        ("synchronous-normal", Fault.LOST),
        ("synchronous-off", Fault.LOST),
        ("no-body-sync", Fault.DAMAGED),
        ("no-directory-sync", Fault.LOST),
        ("early-acknowledgement", Fault.LOST),
        ("settled-too-early", Fault.LOST),
        ("four-is-fine", Fault.LOST),
    ],
)
def test_a_gateway_that_promises_too_much_is_found_out(tmp_path: Path, mutant: str, fault: Fault) -> None:
    assert fault in {one.fault for one in explored(tmp_path, mutant=mutant, states=40)}
