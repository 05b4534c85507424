"""Break the code on purpose, one small change at a time, and see whether a test notices.

    python tools/mutate.py [--file NAME ...] [--sample N --seed S] [--jobs N] [--list]

Each mutant is one change to one module of `protocol`: a comparison turned, a number moved, a statement left out.
Nothing is written into the tree: a child process runs the module's tests with the change in memory until one fails.
A mutant no test notices must stand in docs/mutants.md with the reason why it may live; otherwise the exit code is 1.

Two ways, for speed. Changes inside a function are tried in a child of a process that has collected the tests already:
it gives the function its changed code and runs the tests that call it, quickest first. What lives there, and every
change outside functions, is tried in a child that imports the changed module afresh. Only that verdict counts.
"""

from __future__ import annotations

import argparse
import ast
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
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "gatepost.protocol"
FOLDER = ROOT / "src" / PACKAGE.replace(".", "/")
EXPLAINED = ROOT / "docs" / "mutants.md"
CPU_LIMIT_S = 40
"""Of one mutant: a change that makes a loop endless is noticed by this."""
MEMORY_LIMIT_BYTES = 2 << 30
SHOWN = 80
"""Characters of code in the name of a mutant, before and after."""
EXAMPLES = 25
"""Of hypothesis, a test; always the same ones."""

_SERVER = ("test_smtp_states", "test_order", "test_groups_and_rights", "test_chunks", "test_commands")
_CLIENT = ("test_client_engine", "test_client_replies", "test_client_server")

# The tests that must notice, close ones first.
TESTS = {
    "addresses": ("test_addresses", "test_commands"),
    "data": ("test_data", "test_end_of_data_exhaustive", "test_chunks"),
    "esmtp_parameters": ("test_parameters", "test_commands"),
    "events": ("test_values", *_SERVER, "test_data", "test_parameters"),
    "outgoing": ("test_client_outgoing",),
    "refusals": (*_SERVER, "test_addresses", "test_data", "test_parameters"),
    "replies": ("test_client_replies", "test_client_engine"),
    "smtp_client": ("test_values", *_CLIENT),
    "smtp_client_commands": ("test_values", *_CLIENT),
    "smtp_commands": ("test_commands", "test_parameters", *_SERVER),
    "smtp_server": (*_SERVER, "test_data", "test_parameters", "test_engine_machine"),
    "smtp_states": ("test_smtp_states", "test_order"),
    "xtext": ("test_parameters",),
}

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.Pow: ast.Mult,
}
_WORDING = {
    "PeerFault": 1,
    "BrokenFraming": 1,
    "_violation": 1,
    "Violation": 1,
    "Reply": 2,
    "_invalid": 0,
    "broken": 0,
    "WorldFault": 0,
    "ValueError": 0,
}
"""Calls whose argument from this place on is prose for a log or a person: left alone."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where it is, what it does, and the changed source. where: the outermost function, or ""."""

    module: str
    where: str
    what: str
    line: int
    source: str
    in_body: bool = False
    """The change is inside the function's body: new code for the function is enough."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What docs/mutants.md calls it. Lines move, so they are no part of it."""
        return self.module, self.where, self.what

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line}: - `{self.where or 'the module'}` `{self.what}`"


def mutants_of(module: str) -> list[Mutant]:
    """Every mutant of a module of the package."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    seen: Counter[str] = Counter()
    found = []
    for change in _changes(tree):
        what = change.make()
        source = ast.unparse(ast.fix_missing_locations(tree))
        change.undo()
        seen[change.place.where + what] += 1
        if (count := seen[change.place.where + what]) > 1:
            what = f"{what} ({count})"
        found.append(
            Mutant(module, change.place.where, what, change.line, source, in_body=change.place.in_body)
        )
    return found


def unchanged(module: str) -> Mutant:
    """A module as it is, read the way a mutant is: its tests must pass."""
    return Mutant(module, "", "nothing", 0, ast.unparse(ast.parse((FOLDER / f"{module}.py").read_text())))


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


# Changes.


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node stands in the tree: what may be shown of it, and the function around it."""

    parent: ast.AST
    field: str
    index: int | None
    where: str
    in_body: bool
    shown: ast.AST
    """The smallest whole expression or statement around: a change is told by it."""

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


@dataclass(frozen=True, slots=True)
class _Change:
    place: _Place
    old: ast.AST
    new: ast.AST
    line: int

    def make(self) -> str:
        """Change the tree; says what was changed. `undo` must follow before the next one."""
        before = _shown(self.place.shown)
        self.place.put(self.new)
        after = _shown(self.new if self.place.shown is self.old else self.place.shown)
        return " -> ".join(_around_the_difference(before, after))

    def undo(self) -> None:
        self.place.put(self.old)


def _shown(node: ast.AST) -> str:
    if isinstance(node, ast.If):
        return f"if {_shown(node.test)}"
    return " ".join(ast.unparse(node).replace("`", "'").split())


def _around_the_difference(before: str, after: str) -> tuple[str, str]:
    """Both, or where they are long the part that differs with a little around it."""
    if max(len(before), len(after)) <= SHOWN:
        return before, after
    start = len(os.path.commonprefix([before, after]))
    if start >= SHOWN // 2:
        before, after = "..." + before[start - SHOWN // 2 :], "..." + after[start - SHOWN // 2 :]
    return tuple(text if len(text) <= SHOWN else text[:SHOWN] + "..." for text in (before, after))  # type: ignore[return-value]  # two


def _changes(tree: ast.Module) -> Iterator[_Change]:
    for node, place in list(_places(tree, _Place(tree, "", None, "", in_body=False, shown=tree), "")):
        for new in _instead_of(node):
            ast.copy_location(new, node)
            line = getattr(node, "lineno", 0) or getattr(place.shown, "lineno", 0)
            yield _Change(place, node, new, line)


def _places(parent: ast.AST, above: _Place, names: str) -> Iterator[tuple[ast.AST, _Place]]:
    """Every node below that matters. Annotations, docstrings and wording do nothing, so they are left alone."""
    for name, value in ast.iter_fields(parent):
        if name in ("annotation", "returns"):
            continue
        for index, node in list(enumerate(value)) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_prose(parent, name, index, node):
                continue
            shown = (
                node
                if isinstance(node, (ast.stmt, ast.expr)) and not isinstance(node, ast.Slice)
                else above.shown
            )
            if isinstance(node, ast.Constant) and isinstance(above.shown, ast.expr):
                shown = above.shown
            where, in_body = above.where, above.in_body
            if isinstance(parent, ast.FunctionDef) and not where:
                where, in_body = names, name == "body"
            place = _Place(parent, name, index, where, in_body, shown)
            yield node, place
            deeper = f"{names}.{node.name}".lstrip(".") if _is_named(node) and not where else names  # type: ignore[attr-defined]  # _is_named
            yield from _places(node, place, deeper)


def _is_named(node: ast.AST) -> bool:
    return isinstance(node, (ast.ClassDef, ast.FunctionDef))


def _is_prose(parent: ast.AST, name: str, index: int | None, node: ast.AST) -> bool:
    if isinstance(parent, ast.Expr) and isinstance(node, ast.Constant):
        return True
    if isinstance(parent, ast.Assign) and any(
        isinstance(t, ast.Name) and t.id == "__slots__" for t in parent.targets
    ):
        return True
    if isinstance(parent, ast.Call) and name == "args" and index is not None:
        called = ast.unparse(parent.func).rpartition(".")[2]
        return index >= _WORDING.get(called, 99) and isinstance(node, (ast.Constant, ast.JoinedStr))
    return isinstance(parent, ast.keyword) and parent.arg == "kw_only"


def _instead_of(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.cmpop() if type(node) in _COMPARISONS:
            yield _COMPARISONS[type(node)]()
        case ast.operator() if type(node) in _ARITHMETIC:
            yield _ARITHMETIC[type(node)]()
        case ast.And():
            yield ast.Or()
        case ast.Or():
            yield ast.And()
        case ast.UnaryOp(ast.Not(), operand):
            yield operand
        case ast.Constant(bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(bytes() as value):
            yield ast.Constant(value + b"X")
        case ast.Constant(str() as value):
            yield ast.Constant(value + "X")
        case _:
            yield from _instead_of_statement(node)


def _instead_of_statement(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Return(value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Expr(ast.Call()) | ast.Delete():
            yield ast.Pass()
        case ast.Assign([ast.Attribute()] | [ast.Tuple()], _):
            yield ast.Pass()


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


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


def _pytest(module: str, plugins: list[object]) -> int:
    import hypothesis
    import pytest

    hypothesis.settings.register_profile(
        "mutate", max_examples=EXAMPLES, derandomize=True, database=None, deadline=None
    )
    hypothesis.settings.load_profile("mutate")
    options = ["-x", "-q", "--noconftest", "-n0", "--tb=no", "--assert=plain", "-m", "not slow"]
    options += ["-p", "no:cacheprovider", "-p", "no:warnings", "-o", "timeout=0"]
    files = [f"tests/protocol/{name}.py" for name in TESTS[module]]
    return int(pytest.main([*options, *files], plugins=plugins))


def _silence() -> None:
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)


def _run_afresh(mutant: Mutant) -> int:
    """In a child: 0 when every test passes."""
    _silence()
    sys.meta_path.insert(0, _MutantFinder(mutant))
    return _pytest(mutant.module, [])


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
        file = str(FOLDER / f"{self.module}.py")
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
        """In a child: 0 when every test that calls the changed function passes."""
        _swap(mutant)
        tests = sorted(self._calls.get(mutant.where, ()), key=self._took_s.__getitem__)
        return 0 if all(_passes(self._items[name]) for name in tests) else 1


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
            code = _pytest(module, [_Quick(module, mutants, jobs, writing)])
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
    if _alive(_run_afresh, [unchanged(module)], 1) == []:
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
    mutants = {module: mutants_of(module) for module in given.modules}
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
