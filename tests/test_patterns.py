"""Every pattern of ours on pumped texts: none goes back over what it has read, or it says why that costs nothing."""

from __future__ import annotations

import importlib
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import gatepost

SMALL: Final = 750
FACTOR: Final = 4
QUADRATIC: Final = 10.0
"""Times the small one's cost: linear is 4, quadratic 16."""
NOTICED_S: Final = 0.002
PUMPS: Final = (
    " ", "\t", "a", "0", "A", ".", "-", "(", ")", "<", "@", ":", ";", "=", '"', "\\", "/", "[", "%", "*", "+", "_",
    "\r", "\n", "\r\n", "\r\n ", "a.", "a ", "=?", "?=", "a@", "a=", "by ", "from ", "\\a", "1.", "a:", "--",
)  # fmt: skip
BOUNDED: Final = {"gatepost.message.parameters._ONE": "what ends in blanks and semicolons loses them before"}
"""Patterns that take long over a long text and never get one: what keeps it from them."""
_SEARCHING: Final = re.compile(r"\b(_?[A-Z][A-Z_]*)\.(?:search|subn?|findall|finditer|split)\(")


def patterns() -> Iterator[tuple[str, re.Pattern[Any]]]:
    """Those that look for something anywhere in a text: they may begin anew at each of its characters."""
    for found in pkgutil.walk_packages(gatepost.__path__, "gatepost."):
        if found.name.startswith(("gatepost.lab", "gatepost.__main__")):
            continue
        module = importlib.import_module(found.name)
        searching = set(_SEARCHING.findall(Path(str(module.__file__)).read_text("utf-8")))
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern) and name in searching:
                yield f"{found.name}.{name}", value


def seconds(pattern: re.Pattern[Any], text: str) -> float:
    subject: Any = text.encode("latin-1") if isinstance(pattern.pattern, bytes) else text
    before = time.process_time()
    for _ in pattern.finditer(subject):
        pass
    return time.process_time() - before


def is_quadratic(pattern: re.Pattern[Any], before: str, pump: str, behind: str) -> bool:
    small, large = (before + pump * (size // len(pump)) + behind for size in (SMALL, SMALL * FACTOR))
    if seconds(pattern, large) < NOTICED_S:
        return False
    small_s = min(seconds(pattern, small) for _ in range(5))
    large_s = min(seconds(pattern, large) for _ in range(5))
    return large_s >= NOTICED_S and large_s > QUADRATIC * max(small_s, 1e-5)


@pytest.mark.threat("J05")
def test_no_pattern_goes_back_over_what_it_has_read() -> None:
    slow = {}
    for name, pattern in dict(patterns()).items():
        for before, behind in (("", "\0"), ("x", "x")):
            pump = next((one for one in PUMPS if is_quadratic(pattern, before, one, behind)), "")
            if pump:
                slow[name] = f"{pattern.pattern!r:.80} on {before!r} {pump!r} ... {behind!r}"
                break
    assert {name: why for name, why in slow.items() if name not in BOUNDED} == {}
