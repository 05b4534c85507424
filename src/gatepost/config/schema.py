"""The words settings are written in: `setting(...)`, durations, sizes, names, and the table they stand in.

One name everywhere: file `lookup-timeout`, code `lookup_timeout_s`. The unit at the end of
the code's name is not part of the file's: the value itself says it ("3s", "36MiB").
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from gatepost.config.errors import quoted

_UNIT_SUFFIX: Final = re.compile(r"_(s|bytes|ms|days|points)$")
_DURATION_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE_UNITS_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE: Final = re.compile(r"(\d+)(B|KiB|MiB|GiB)")
_ROUGHLY_A_DURATION: Final = re.compile(
    r"(\d{1,9}) *(s|m|h|d|sec|second|min|minute|hour|day)s?", re.IGNORECASE | re.ASCII
)
_ROUGHLY_A_SIZE: Final = re.compile(r"(\d{1,9}) *([kmg])(?:i?b?|bytes?)", re.IGNORECASE | re.ASCII)
_MEANT_UNITS: Final = {"k": "KiB", "m": "MiB", "g": "GiB"}


def file_name_of(code_name: str) -> str:
    """`lookup_timeout_s` -> `lookup-timeout`: how a setting is called in the file and the manual."""
    return _UNIT_SUFFIX.sub("", code_name).replace("_", "-")


def parse_duration(value: object) -> object:
    """'90s' -> 90.0 seconds. A float with the default's type passes only from code. Raises ValueError."""
    if isinstance(value, float) and not isinstance(value, _FileFloat):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        meant = _meant(value, _ROUGHLY_A_DURATION)
        raise ValueError(f"{_written(value)} is not a duration such as 90s, 5m, 2h or 4d{meant}")
    return float(match[1]) * _DURATION_UNITS_S[match[2]]


def parse_size(value: object) -> object:
    """'36MiB' -> octets. An int with the default's type passes only from code. Raises ValueError."""
    if isinstance(value, _CodeSize):
        return int(value)
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        meant = _meant(value, _ROUGHLY_A_SIZE)
        raise ValueError(f"{_written(value)} is not a size such as 512B, 64KiB, 36MiB or 1GiB{meant}")
    return int(match[1]) * _SIZE_UNITS_BYTES[match[2]]


def _meant(value: object, roughly: re.Pattern[str]) -> str:
    """The same in our units, when it is clear."""
    match = roughly.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return ""
    unit = match[2][0].lower()
    return f", did you mean {match[1]}{_MEANT_UNITS[unit] if roughly is _ROUGHLY_A_SIZE else unit}?"


def _written(value: object) -> str:
    """As the file has it."""
    return repr(value) if isinstance(value, str) else quoted(value)


class _FileFloat(float):
    """A number of the file, where a duration must say its unit."""


class _CodeSize(int):
    """A size written in the code, where a bare number is clear."""


def size(number: int, unit: str = "B") -> int:
    """A default size: size(36, "MiB")."""
    return _CodeSize(number * _SIZE_UNITS_BYTES[unit])


Duration = Annotated[float, BeforeValidator(parse_duration)]
"""Seconds in the code, '90s' in the file."""
Size = Annotated[int, BeforeValidator(parse_size)]
"""Octets in the code, '36MiB' in the file."""


def setting(
    text: str,
    *,
    default: Any = ...,
    low: float | None = None,
    high: float | None = None,
    example: str = "",
) -> Any:
    """One setting: its text for the manual, its default, its limits (inclusive), an example.

    A setting without a default must be given. Tables and lists take a default value too;
    they are frozen, so one object may serve for all.
    """
    extra: dict[str, Any] = {"example": example} if example else {}
    return Field(default, description=text, ge=low, le=high, json_schema_extra=extra or None)


class Table(BaseModel):
    """A table of the configuration file. Unknown names are refused, values cannot be changed."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=file_name_of,
        populate_by_name=False,
        validate_by_name=False,
        validate_by_alias=True,
        validate_default=True,
        strict=True,
        arbitrary_types_allowed=False,
        allow_inf_nan=False,
    )


def fields_of(table: type[Table]) -> dict[str, FieldInfo]:
    """File name -> field, in the order of the code: what the manual lists."""
    return {file_name_of(name): info for name, info in table.model_fields.items()}


def frozen(value: object) -> object:
    """What TOML gave, with lists as tuples, as the tables want it."""
    if isinstance(value, dict):
        return {name: frozen(item) for name, item in value.items()}
    if isinstance(value, list):
        return tuple(frozen(item) for item in value)
    return _FileFloat(value) if type(value) is float else value
