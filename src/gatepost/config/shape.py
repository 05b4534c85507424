"""Turns what pydantic says about the shape of a file into words for an administrator."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gatepost.config.errors import Complaint, closest, dotted, quoted
from gatepost.config.schema import Table, fields_of, file_name_of

Path = tuple[str | int, ...]

_WANTED: Final = {
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list in brackets",
    "dict_type": "must be a table",
    "model_type": "must be a table",
}
_LIMITS: Final = {
    "greater_than_equal": ("must be at least", "ge"),
    "less_than_equal": ("must be at most", "le"),
}
_SPANS: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SIZES: Final = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))


def complaints_of(
    error: ValidationError, data: Mapping[str, Any], table: type[Table], *, below: Path = ()
) -> list[Complaint]:
    """One complaint for each setting that has the wrong shape.

    data: the whole file; below: where in it the table stands.
    """
    found: dict[Path, Complaint] = {}
    for detail in error.errors(include_url=False):
        at = _at(detail, data, below)
        complaint = _complaint(detail, at, table, below)
        earlier = found.get(at)
        if earlier:  # one setting, several accepted types: each of them complained
            wanted = complaint.message.removeprefix("must be ").removesuffix(
                f", not {quoted(detail['input'])}"
            )
            accepted = (*earlier.accepted, *(complaint.accepted or (wanted,)))
            message = f"{quoted(detail['input'])} is not accepted"
            complaint = Complaint(at=at, message=message, accepted=accepted)
        found[at] = complaint
    return list(found.values())


def without(data: Mapping[str, Any], complaints: Sequence[Complaint]) -> dict[str, Any]:
    """The file without the settings complained about; without the whole table when one is missing from it."""
    rest: dict[str, Any] = copy.deepcopy(dict(data))
    for complaint in complaints:
        named = _up_to_array(complaint.at)
        holder = _holder(rest, named)
        if holder is not None and named[-1] in holder:
            del holder[named[-1]]
        elif len(named) > 2:
            above = _holder(rest, named[:-1])
            if above is not None:
                above.pop(named[-2], None)
    return rest


def _up_to_array(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for part in path:
        if isinstance(part, int):
            break
        names.append(part)
    return tuple(names)


def _holder(data: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    here: Any = data
    for name in path[:-1]:
        here = here.get(name) if isinstance(here, dict) else None
    return here if isinstance(here, dict) else None


def _at(detail: ErrorDetails, data: Mapping[str, Any], below: Path) -> Path:
    """Where the mistake stands: pydantic's path as far as the file knows it, plus the name that is missing."""
    path: list[str | int] = []
    here: Any = data
    parts = (*below, *detail["loc"])
    for part in parts:
        inside = (isinstance(here, Mapping) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        )
        if not inside:
            break
        here = here[part]
        path.append(part)
    if detail["type"] == "missing":
        return parts
    return tuple(path) or parts


def _complaint(detail: ErrorDetails, at: Path, table: type[Table], below: Path) -> Complaint:
    kind, context = detail["type"], detail.get("ctx") or {}
    value = quoted(detail["input"])
    if kind == "extra_forbidden":
        return _unknown(detail["input"], at, table, below)
    if kind == "missing":
        inside = _table_at(table, at[len(below) :])
        needs = [name for name, info in fields_of(inside).items() if info.is_required()] if inside else []
        return Complaint(at=at, message="must be given" + (f", with {', '.join(needs)}" if needs else ""))
    if kind == "literal_error":
        accepted = tuple(p.strip("' ") for p in str(context["expected"]).replace(" or ", ", ").split(", "))
        return Complaint(
            at=at,
            message=f"{value} is not accepted",
            accepted=accepted,
            did_you_mean=closest(str(detail["input"]), accepted),
        )
    if kind in _LIMITS:
        words, limit = _LIMITS[kind]
        unit = _unit_at(table, at[len(below) :])
        return Complaint(at=at, message=f"{words} {amount(context[limit], unit)}")
    if kind == "value_error":
        return Complaint(at=at, message=_printable(str(context["error"])))
    if kind in ("model_type", "dict_type") and (named := _named_table(at, table, below)):
        return Complaint(at=at, message=f"stands below a name of your choice: {named}")
    if kind in _WANTED:
        return Complaint(at=at, message=f"{_WANTED[kind]}, not {value}")
    return Complaint(at=at, message=_printable(detail["msg"]))


def _unknown(value: object, at: Path, table: type[Table], below: Path) -> Complaint:
    """A name that no table here has: misspelt, in the wrong table, or a name with dots that lacks its quotes."""
    known = _names_at(table, at[len(below) : -1])
    name = str(at[-1])
    if isinstance(value, Mapping) and len(at) > 2 and _is_named(table, at[len(below) : -2]):
        whole = ".".join(map(str, _dotted_end(at[-2:], value)))
        above = ".".join(map(str, at[:-2]))
        return Complaint(
            at=at, message=f'unknown setting; a name with dots stands in quotes: [{above}."{whole}"]'
        )
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", "-", name).lower()  # MaxHopCount, max_hop_count
    near = closest(name, known) or closest(plain, known)
    if not near and (elsewhere := _elsewhere(plain, at, table, below)):
        return Complaint(at=at, message="unknown setting here", did_you_mean=elsewhere)
    return Complaint(at=at, message="unknown setting", did_you_mean=near, accepted=_few(known))


def _dotted_end(start: Path, value: Mapping[str, Any]) -> Path:
    """example, co, uk of [accepted-domains.example.co.uk]: as long as a table holds one table and nothing else."""
    here: Any = value
    while isinstance(here, Mapping) and len(here) == 1:
        name, here = next(iter(here.items()))
        if not isinstance(here, Mapping):
            break
        start = (*start, name)
    return start


def _elsewhere(name: str, at: Path, table: type[Table], below: Path) -> str:
    """Where a setting of this name stands: in a table inside this one, else in one of the whole file's."""
    inside = _table_at(table, at[len(below) : -1])
    tables = [(dotted((*at[:-1], inner)), _inner_table(info.annotation)) for inner, info in _fields(inside)]
    tables += [] if below else [(inner, _inner_table(info.annotation)) for inner, info in _fields(table)]
    found = (
        (path, get_close_matches(name, fields_of(inner), n=1, cutoff=0.8)) for path, inner in tables if inner
    )
    return next((f"{path}.{near[0]}" for path, near in found if near), "")


def _fields(table: type[Table] | None) -> list[tuple[str, Any]]:
    return list(fields_of(table).items()) if table else []


def _inner_table(annotation: Any) -> type[Table] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, Table) else None


def _is_named(table: type[Table], path: Path) -> bool:
    """Whether there are tables below names of one's choice at this path: accepted-domains, ranges."""
    above = _table_at(table, path[:-1])
    info = fields_of(above).get(str(path[-1])) if above and path else None
    return info is not None and any(_inner_table(part) for part in get_args(info.annotation)[1:])


def _named_table(at: Path, table: type[Table], below: Path) -> str:
    """[receive-connectors.NAME], when a setting or a list stands where that belongs."""
    path = at[len(below) :]
    for length in (len(path), len(path) - 1):
        if length > 0 and _is_named(table, path[:length]):
            return f"[{dotted((*below, *path[:length]))}.NAME]"
    return ""


def _few(names: tuple[str, ...]) -> tuple[str, ...]:
    """Short lists of names help, long ones do not."""
    return names if len(names) <= 8 else ()


def amount(value: object, unit: str) -> str:
    """A number as the file would write it. unit: "s" (seconds), "bytes", or "" for none."""
    number = float(str(value))
    if unit == "s":
        fitting = [(n, f) for n, f in _SPANS if number >= f and number % f == 0]
        return f"{number / fitting[0][1]:g}{fitting[0][0]}" if fitting else f"{number:g}s"
    if unit == "bytes":
        sizes = [(n, f) for n, f in _SIZES if number >= f and number % f == 0]
        return f"{number / sizes[0][1]:g}{sizes[0][0]}" if sizes else f"{number:g}B"
    return f"{number:g}"


def unit_of(code_name: str) -> str:
    """The unit that the code's name of a setting says: "s", "bytes" or ""."""
    return next((unit for unit in ("s", "bytes") if code_name.endswith(f"_{unit}")), "")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:300]


def _names_at(table: type[Table], path: Path) -> tuple[str, ...]:
    """The names that a table below `table` knows; () when the path leads nowhere."""
    found = _table_at(table, path)
    return tuple(fields_of(found)) if found else ()


def _unit_at(table: type[Table], path: Path) -> str:
    found = _table_at(table, path[:-1])
    names = found.model_fields if found else ()
    return next((unit_of(name) for name in names if file_name_of(name) == path[-1]), "")


def _table_at(table: type[Table], path: Path) -> type[Table] | None:
    here: Any = table
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            info = fields_of(here).get(str(part)) if issubclass(here, Table) else None
            here = info.annotation if info else None
        else:  # dict[str, Something]
            here = next(iter(get_args(here)[1:]), None)
    return here if isinstance(here, type) and issubclass(here, Table) else None
