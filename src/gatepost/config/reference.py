"""Every setting as the manual lists it: name, type, default, limits, text, example. Made from the tables themselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from gatepost.config.schema import Duration, Size, Table, file_name_of
from gatepost.config.shape import amount, unit_of


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingText:
    """One setting in words."""

    name: str
    """As in the file."""
    kind: str
    """ "text", "duration", "one of a, b"."""
    default: str
    """As the file would write it; "" when it must be given."""
    limits: str
    text: str
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableText:
    """One table in words. path: "[receive-connectors.NAME.limits]"."""

    path: str
    text: str
    settings: tuple[SettingText, ...]


def tables_of(table: type[Table], *, path: str = "") -> Iterator[TableText]:
    """A table's own settings, then the tables inside it, in the order of the code."""
    own = [
        describe(name, info) for name, info in table.model_fields.items() if _inner(info.annotation) is None
    ]
    if path and own:
        yield TableText(path=f"[{path}]", text=_doc(table), settings=tuple(own))
    for name, info in table.model_fields.items():
        inner = _inner(info.annotation)
        if inner is not None:
            named, below = inner
            here = f"{path}.{file_name_of(name)}" if path else file_name_of(name)
            yield from tables_of(below, path=f"{here}.NAME" if named else here)


def describe(code_name: str, info: FieldInfo) -> SettingText:
    """One setting of a table."""
    extra = info.json_schema_extra
    example = extra.get("example", "") if isinstance(extra, dict) else ""
    return SettingText(
        name=file_name_of(code_name),
        kind=_kind(info.annotation, code_name),
        default="" if info.default is PydanticUndefined else written(info.default, unit_of(code_name)),
        limits=_limits(info, unit_of(code_name)),
        text=info.description or "",
        example=str(example),
    )


def written(value: object, unit: str = "") -> str:
    """A value as the file writes it: TOML, with durations and sizes in their units."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, int | float):
        return (
            f'"{amount(value, unit)}"' if unit else f"{value:g}" if isinstance(value, float) else str(value)
        )
    if isinstance(value, tuple | list):
        return "[" + ", ".join(written(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(k)} = {written(v)}" for k, v in value.items()) + "}"
    return str(value)


def _inner(annotation: Any) -> tuple[bool, type[Table]] | None:
    """(is it a table of named tables, the table) for a setting that is a table; None for a plain setting."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return False, annotation
    if get_origin(annotation) is dict:
        below = get_args(annotation)[1]
        if isinstance(below, type) and issubclass(below, Table):
            return True, below
    return None


def _doc(table: type[Table]) -> str:
    text = (table.__doc__ or "").strip().split("\n")[0]
    return text.split("]: ", 1)[-1] if text.startswith("[") else text


def _kind(annotation: Any, code_name: str = "") -> str:
    if unit := unit_of(code_name):
        return {"s": "duration", "bytes": "size"}[unit]
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in (Duration, Size):
        return "duration" if annotation is Duration else "size"
    if origin is Annotated:
        return _kind(args[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}" if len(args) > 1 else f'"{args[0]}"'
    if origin in (Union, UnionType):
        return " or ".join(_kind(a) for a in args if a is not NoneType)
    if origin is tuple:
        return f"list of {_plural(_kind(args[0]))}"
    if origin is dict:
        return f"table: name = {_kind(args[1])}"
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(annotation, "table")


def _plural(kind: str) -> str:
    return {"text": "texts", "whole number": "whole numbers", "number": "numbers"}.get(kind, kind)


def _limits(info: FieldInfo, unit: str) -> str:
    found = [*info.metadata, *_inside(info.annotation)]
    low = next((m.ge for m in found if getattr(m, "ge", None) is not None), None)
    high = next((m.le for m in found if getattr(m, "le", None) is not None), None)
    if low is not None and high is not None:
        return f"{amount(low, unit)} to {amount(high, unit)}"
    if low is not None:
        return f"at least {amount(low, unit)}"
    return f"at most {amount(high, unit)}" if high is not None else ""


def _inside(annotation: Any) -> Iterator[Any]:
    """Limits that stand at one of several types, as at the number of `"auto" or a number`."""
    for one in get_args(annotation):
        if get_origin(one) is Annotated:
            for field in get_args(one)[1:]:
                yield from getattr(field, "metadata", ())
