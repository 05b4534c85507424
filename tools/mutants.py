"""Small changes of Python code, one at a time: what can be changed, and what a change is called."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SHOWN = 80
"""Characters of code in the name of a mutant, before and after."""

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


def mutants_of(file: Path) -> list[Mutant]:
    """Every mutant of a module."""
    tree = ast.parse(file.read_text())
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
            Mutant(file.stem, change.place.where, what, change.line, source, in_body=change.place.in_body)
        )
    return found


def unchanged(file: Path) -> Mutant:
    """A module as it is, read the way a mutant is: its tests must pass."""
    return Mutant(file.stem, "", "nothing", 0, ast.unparse(ast.parse(file.read_text())))


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
    start = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
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
            if isinstance(node, ast.Constant) and isinstance(
                above.shown, (ast.expr, ast.Assign, ast.AnnAssign)
            ):
                shown = above.shown
            where, in_body = above.where, above.in_body
            if isinstance(parent, ast.FunctionDef) and not where:
                where, in_body = names, name == "body"
            place = _Place(parent, name, index, where, in_body, shown)
            yield node, place
            deeper = f"{names}.{node.name}".lstrip(".") if _is_named(node) and not where else names
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
        return index >= _WORDING.get(called, 99) and isinstance(
            node, (ast.Constant, ast.JoinedStr, ast.IfExp)
        )
    return isinstance(parent, ast.keyword) and parent.arg in ("kw_only", "gc")


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
