"""Break the code on purpose, one small change at a time, and see whether a test notices.

    python -m tools.mutate [--file NAME ...] [--sample N --seed S] [--jobs N] [--list]

Each mutant is one change to one module of `protocol`: a comparison turned, a number moved, a statement left out.
Nothing is written into the tree: a child process runs the module's tests with the change in memory until one fails.
A mutant no test notices must stand in docs/mutants.md with the reason why it may live; otherwise the exit code is 1.

Two ways, for speed. Changes inside a function are tried in a child of a process that has collected the tests already:
it gives the function its changed code and runs the tests that call it, quickest first. What lives there, and every
change outside functions, is tried in a child that imports the changed module afresh. Only that verdict counts.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
import random
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

from tools.mutants import Mutant, mutants_of, unchanged

ROOT = Path(__file__).parents[1]
PACKAGE = "gatepost.protocol"
FOLDER = ROOT / "src" / PACKAGE.replace(".", "/")
EXPLAINED = ROOT / "docs" / "mutants.md"
CPU_LIMIT_S = 30
"""Of one mutant: a change that makes a loop endless is noticed by this."""
MEMORY_LIMIT_BYTES = 2 << 30
ENOUGH_S = 2.0
"""Processor time of tests in the quick way."""
EXAMPLES = 25
"""Of hypothesis, a test; always the same ones."""

_SERVER = (
    "test_smtp_states",
    "test_order",
    "test_groups_and_rights",
    "test_chunks",
    "test_commands",
    "test_broken_content",
)
_CLIENT = (
    "test_client_commands",
    "test_client_engine",
    "test_client_turns",
    "test_client_places",
    "test_client_replies",
    "test_client_server",
)
_UTF8 = "agents/test_utf8_addresses"
_SCRAM = "intake/test_scram_and_tokens"

# The tests that must notice, close ones first.
TESTS = {
    "address_patterns": ("test_list_edges", "test_address_patterns", _UTF8),
    "addresses": ("test_addresses", "test_commands", "test_entries", _UTF8),
    "announcement": ("test_announcement", "test_order", "test_xclient"),
    "data": ("test_values", "test_data", "test_end_of_data_exhaustive", "test_chunks"),
    "domain_entries": ("test_entries",),
    "esmtp_parameters": ("test_parameters", "test_commands"),
    "events": ("test_values", *_SERVER, "test_data", "test_parameters"),
    "http_client": ("test_values", "test_http_client"),
    "list_formats": ("test_list_edges", "test_list_formats"),
    "ntlm": ("test_values", "test_ntlm"),
    "outgoing": ("test_client_outgoing",),
    "proxy": ("test_proxy", "test_values"),
    "recipient_entry": ("test_entries",),
    "refusals": (*_SERVER, "test_addresses", "test_data", "test_parameters", "test_xclient"),
    "replies": ("test_values", "test_client_replies", "test_client_engine"),
    "sasl_client": ("test_sasl_client", _SCRAM),
    "scram": ("test_values", "test_sasl_client", _SCRAM),
    "smtp_client": ("test_values", *_CLIENT),
    "smtp_client_commands": ("test_values", *_CLIENT),
    "smtp_commands": ("test_values", "test_commands", "test_parameters", *_SERVER),
    "smtp_server": (*_SERVER, "test_data", "test_parameters", "test_xclient", "test_engine_machine"),
    "smtp_states": ("test_smtp_states", "test_order"),
    "xclient": ("test_xclient",),
    "xtext": ("test_xtext", "test_parameters"),
}


def _file(module: str) -> Path:
    return FOLDER / f"{module}.py"


def explained() -> dict[tuple[str, str, str], str]:
    """Key -> reason, of the mutants that may live. Raises ValueError for a row without a file above it."""
    module, rows = "", {}
    for line in EXPLAINED.read_text().splitlines():
        if heading := re.fullmatch(r"## (\w+)\.py", line):
            module = heading[1]
        elif row := re.fullmatch(r"- `([^`]+)` `([^`]+)`: (.+)", line):
            if not module:
                raise ValueError(f"a row that belongs to no file: {line}")
            rows[module, "" if row[1] == "the module" else row[1], row[2]] = row[3]
    return rows


# Running tests, in children.


class _MutantFinder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports the mutant instead of the file."""

    def __init__(self, mutant: Mutant) -> None:
        self._name = f"{PACKAGE}.{mutant.module}"
        self._source = mutant.source

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def get_source(self, _fullname: str) -> str:
        return self._source


def _pytest(tests: Sequence[str], *plugins: object) -> int:
    import hypothesis
    import pytest

    hypothesis.settings.register_profile(
        "mutate", max_examples=EXAMPLES, derandomize=True, database=None, deadline=None
    )
    hypothesis.settings.load_profile("mutate")
    options = ["-x", "-q", "--noconftest", "-n0", "--tb=no", "--assert=plain", "-m", "not slow"]
    options += ["-p", "no:cacheprovider", "-p", "no:warnings", "-o", "timeout=0"]
    files = [f"tests/{name}.py" if "/" in name else f"tests/protocol/{name}.py" for name in tests]
    return int(pytest.main([*options, *files], plugins=list(plugins)))


def _silence() -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def _run_afresh(mutant: Mutant) -> int:
    """In a child: 0 when every test passes."""
    _silence()
    sys.meta_path.insert(0, _MutantFinder(mutant))
    first, *others = TESTS[mutant.module]
    return _pytest([first]) or (_pytest(others) if others else 0)


def _start(run: Callable[[Mutant], int], mutant: Mutant) -> int:
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT_S, CPU_LIMIT_S))
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
            code = run(mutant)
        finally:  # a mutant that breaks even the import is noticed, too
            os._exit(code)
    return pid


def _alive(run: Callable[[Mutant], int], mutants: Sequence[Mutant], jobs: int) -> list[Mutant]:
    """Which of the mutants pass, each in a child of its own."""
    waiting = list(reversed(mutants))
    running: dict[int, Mutant] = {}
    alive: list[Mutant] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_start(run, mutant)] = mutant
        pid, status = os.wait()
        ended = running.pop(pid, None)
        if ended is not None and os.waitstatus_to_exitcode(status) == 0:
            alive.append(ended)
    return alive


@dataclass(slots=True)
class _Quick:
    """A plugin that runs the collected tests again and again, with other code in one function each time."""

    module: str
    mutants: Sequence[Mutant]
    jobs: int
    report: int
    """File descriptor for the numbers of the mutants that live."""
    _calls: dict[str, set[str]] = field(default_factory=dict)
    """Function -> tests that call it."""
    _took_s: dict[str, float] = field(default_factory=dict)
    _items: dict[str, Any] = field(default_factory=dict)

    def pytest_runtestloop(self, session: Any) -> bool:
        self._items = {item.nodeid: item for item in session.items}
        for name, item in self._items.items():
            began = time.process_time()
            called = self._functions_called_by(item)
            self._took_s[name] = time.process_time() - began
            for function in called:
                self._calls.setdefault(function, set()).add(name)
        alive = _alive(self._run, self.mutants, self.jobs)
        os.write(self.report, b"".join(b"%d\n" % self.mutants.index(mutant) for mutant in alive))
        return True

    def _functions_called_by(self, item: Any) -> set[str]:
        file = str(_file(self.module))
        codes: set[CodeType] = set()

        def note(frame: FrameType, event: str, _arg: object) -> None:
            if event == "call":
                codes.add(frame.f_code)

        sys.setprofile(note)
        try:
            passed = _passes(item)
        finally:
            sys.setprofile(None)
        if not passed:
            raise RuntimeError(f"{item.nodeid} fails without any mutant")
        return {code.co_qualname.partition(".<locals>")[0] for code in codes if code.co_filename == file}

    def _run(self, mutant: Mutant) -> int:
        """In a child: 0 when the quicker tests that call the changed function pass."""
        _swap(mutant)
        left_s = ENOUGH_S
        for name in sorted(self._calls.get(mutant.where, ()), key=self._took_s.__getitem__):
            left_s -= self._took_s[name]
            if left_s < 0:
                break  # it goes to the slow way, which runs everything
            if not _passes(self._items[name]):
                return 1
        return 0


def _passes(item: Any) -> bool:
    from _pytest.runner import runtestprotocol

    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def _swap(mutant: Mutant) -> None:
    """Give the function its changed code."""
    holder: Any = sys.modules[f"{PACKAGE}.{mutant.module}"]
    for name in mutant.where.split("."):
        holder = inspect.getattr_static(holder, name)
    function = holder.fget if isinstance(holder, property) else getattr(holder, "__wrapped__", holder)
    assert isinstance(function, FunctionType)
    if function is not holder and hasattr(holder, "cache_clear"):
        holder.cache_clear()
    module = compile(mutant.source, "mutant", "exec", flags=function.__code__.co_flags & 0x1000000)
    function.__code__ = next(code for code in _codes(module) if code.co_qualname == mutant.where)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def _alive_quickly(module: str, mutants: Sequence[Mutant], jobs: int) -> list[Mutant]:
    """Of mutants inside functions: which no test seems to notice."""
    if not mutants:
        return []
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _silence()
        code = 3
        try:
            code = _pytest(TESTS[module], _Quick(module, mutants, jobs, writing))
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as lines:
        alive = [mutants[int(line)] for line in lines]
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        raise RuntimeError(f"the tests of {module} cannot be run")
    return alive


def survivors(module: str, mutants: Sequence[Mutant], jobs: int) -> list[Mutant]:
    """Which mutants of the module no test notices. Raises RuntimeError when its tests fail without any."""
    if _alive(_run_afresh, [unchanged(_file(module))], 1) == []:
        raise RuntimeError(f"the tests of {module} fail without any mutant")
    inside = [mutant for mutant in mutants if mutant.in_body]
    doubtful = set(_alive_quickly(module, inside, jobs))
    return _alive(_run_afresh, [m for m in mutants if not m.in_body or m in doubtful], jobs)


def _give_way() -> None:
    """Whoever else needs the processor comes first."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--file", action="append", help="a module of protocol, such as data.py; all by default"
    )
    parser.add_argument("--sample", type=int, default=0, help="only so many mutants, chosen by --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="only say which mutants there are")
    given = parser.parse_args()
    given.modules = [Path(name).stem for name in given.file or TESTS]
    if unknown := set(given.modules) - TESTS.keys():
        parser.error(f"no module of protocol: {', '.join(sorted(unknown))}")
    return given


def _tell(mutants: Sequence[Mutant], alive: Sequence[Mutant], *, whole: bool) -> int:
    """Print what lives without a reason, and reasons nobody needs; the number of the former."""
    reasons = explained()
    unexplained = [mutant for mutant in alive if mutant.key not in reasons]
    for mutant in unexplained:
        print(f"lives: {mutant}")
    if whole:
        lives = {mutant.key for mutant in alive}
        for key in reasons:
            if key[0] in {m.module for m in mutants} and key not in lives:
                print(f"explained, but gone or noticed: {key[0]}.py - `{key[1]}` `{key[2]}`")
    print(
        f"{len(mutants)} mutants, {len(mutants) - len(alive)} noticed, "
        f"{len(alive) - len(unexplained)} explained, {len(unexplained)} live",
        flush=True,
    )
    return len(unexplained)


def main() -> int:
    """0 when every mutant that lives is explained."""
    given = _arguments()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    mutants = {module: mutants_of(_file(module)) for module in given.modules}
    if given.sample:
        everything = [mutant for found in mutants.values() for mutant in found]
        chosen = set(random.Random(given.seed).sample(everything, min(given.sample, len(everything))))
        mutants = {module: [m for m in found if m in chosen] for module, found in mutants.items()}
    if given.list:
        print(*(mutant for found in mutants.values() for mutant in found), sep="\n")
        return 0
    _give_way()
    # What every child needs is imported once, here; the package under test is not.
    import hypothesis.stateful  # noqa: F401
    import idna  # noqa: F401
    import pytest  # noqa: F401

    unexplained = 0
    for module, found in mutants.items():
        if found:
            print(f"{module}.py", flush=True)
            unexplained += _tell(found, survivors(module, found, given.jobs), whole=not given.sample)
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
