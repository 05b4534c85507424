"""Turns what pydantic says about the shape of a file into words for an administrator."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gatepost.config.errors import Complaint, closest, quoted
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
            accepted = (*earlier.accepted, *(complaint.accepted or (complaint.message,)))
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
        known = _names_at(table, at[len(below) : -1])
        return Complaint(
            at=at, message="unknown setting", did_you_mean=closest(str(at[-1]), known), accepted=_few(known)
        )
    if kind == "missing":
        return Complaint(at=at, message="must be given")
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
    if kind in _WANTED:
        return Complaint(at=at, message=f"{_WANTED[kind]}, not {value}")
    return Complaint(at=at, message=_printable(detail["msg"]))


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
