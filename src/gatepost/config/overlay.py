"""Tables of a configuration laid over another one's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """What is above wins, name by name; tables are joined."""
    result = dict(below)
    for name, value in above.items():
        here = result.get(name)
        both = isinstance(here, Mapping) and isinstance(value, Mapping)
        result[name] = laid_over(here, value) if both else value  # type: ignore[arg-type]  # both says so
    return result
