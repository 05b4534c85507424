"""Break the code on purpose, one small change at a time, and see whether a test notices.

    python tools/mutate.py [--jobs N] [--list] [module ...]

Each mutant is one change to one module: a comparison turned, a number moved, a statement left out. A child
process imports the changed source instead of the file and runs the module's tests until one fails. Mutants that
live are printed; docs/mutants.md says of each that may live why.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]
PACKAGE = "gatepost.protocol"
TIMEOUT_S = 120.0

# The tests that must notice, quick and close ones first.
TESTS = {
    "data": ("test_data", "test_end_of_data_exhaustive", "test_chunks"),
    "addresses": ("test_addresses", "test_commands"),
    "xtext": ("test_parameters",),
    "esmtp_parameters": ("test_parameters",),
    "smtp_states": ("test_smtp_states",),
    "smtp_commands": (
        "test_commands",
        "test_order",
        "test_groups_and_rights",
        "test_chunks",
        "test_parameters",
    ),
    "smtp_server": (
        *("test_smtp_states", "test_order", "test_groups_and_rights", "test_chunks"),
        *("test_commands", "test_data", "test_parameters", "test_engine_machine"),
    ),
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
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.Pow: ast.Mult,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: where it is, what it does, and the changed source."""

    module: str
    line: int
    what: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line}: {self.what}"


def mutants_of(module: str) -> Iterator[Mutant]:
    """Every mutant of a module of the package."""
    path = ROOT / "src" / PACKAGE.replace(".", "/") / f"{module}.py"
    text = path.read_text()
    count = len(list(_changes(ast.parse(text))))
    for number in range(count):
        tree = ast.parse(text)
        change = list(_changes(tree))[number]
        yield Mutant(module, change.line, change.apply(), ast.unparse(ast.fix_missing_locations(tree)))


def unchanged(module: str) -> Mutant:
    """A module as it is, read the way a mutant is: its tests must pass."""
    text = (ROOT / "src" / PACKAGE.replace(".", "/") / f"{module}.py").read_text()
    return Mutant(module, 0, "nothing", ast.unparse(ast.parse(text)))


@dataclass(slots=True)
class _Change:
    """A change that can be made to a tree: puts `new` at a field of `parent`."""

    parent: ast.AST
    field: str
    index: int | None
    new: ast.AST
    line: int

    def apply(self) -> str:
        held = getattr(self.parent, self.field)
        old = held if self.index is None else held[self.index]
        what = f"{_shown(old)} -> {_shown(self.new)}"
        if self.index is None:
            setattr(self.parent, self.field, self.new)
        else:
            held[self.index] = self.new
        return what


def _shown(node: ast.AST) -> str:
    text = ast.unparse(node) or type(node).__name__
    return " ".join(text.split())[:90]


def _changes(tree: ast.Module) -> Iterator[_Change]:
    for parent, field, index, node in _places(tree):
        for new in _instead_of(node):
            yield _Change(parent, field, index, new, getattr(node, "lineno", getattr(parent, "lineno", 0)))


def _places(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node below, with the place it stands in. Annotations do nothing, so they are left alone."""
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns"):
            continue
        items = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        for index, node in items:
            if isinstance(node, ast.AST):
                yield parent, field, index, node
                yield from _places(node)


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
        case _:
            yield from _instead_of_statement(node)


def _instead_of_statement(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.If(test, body, orelse):
            yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Return(value) if value is not None and not _is_none(value):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Expr(ast.Call()):
            yield ast.Pass()
        case ast.Assign([ast.Attribute()] | [ast.Tuple()], _):
            yield ast.Pass()


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


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


def _run_tests(mutant: Mutant) -> int:
    """In a child: 0 when every test passes."""
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.meta_path.insert(0, _MutantFinder(mutant))
    files = [f"tests/protocol/{name}.py" for name in TESTS[mutant.module]]
    options = ["-x", "-q", "--noconftest", "-n0", "-p", "no:cacheprovider", "-m", "not slow"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # hypothesis is imported already
    return int(pytest.main([*options, *files]))


def _start(mutant: Mutant) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(_run_tests(mutant))
        except BaseException:  # noqa: BLE001  # a mutant that breaks even the import is noticed
            os._exit(3)
    return pid


def _survivors(mutants: Sequence[Mutant], jobs: int) -> list[Mutant]:
    waiting = list(reversed(mutants))
    running: dict[int, tuple[Mutant, float]] = {}
    alive: list[Mutant] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            mutant = waiting.pop()
            running[_start(mutant)] = (mutant, time.monotonic())
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in running:
            mutant, _ = running.pop(pid)
            if os.waitstatus_to_exitcode(status) == 0:
                alive.append(mutant)
                print(f"lives: {mutant}", flush=True)
            continue
        for late, (_, since) in running.items():
            if time.monotonic() - since > TIMEOUT_S:
                os.kill(late, signal.SIGKILL)
        time.sleep(0.02)
    return alive


def main() -> int:
    """0 when no mutant lives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="only say which mutants there are")
    wanted = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT / "src"), str(ROOT)]
    mutants = [mutant for module in wanted.modules for mutant in mutants_of(module)]
    if wanted.list:
        print(*mutants, sep="\n")
        return 0
    # What every child needs is imported once, here; the package under test is not.
    import hypothesis.stateful  # noqa: F401
    import idna  # noqa: F401
    import pytest  # noqa: F401

    for module in wanted.modules:
        pid = _start(unchanged(module))
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
            print(f"the tests of {module} fail without any mutant")
            return 2
    alive = _survivors(mutants, wanted.jobs)
    print(f"{len(mutants)} mutants, {len(mutants) - len(alive)} noticed, {len(alive)} live")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
