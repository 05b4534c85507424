"""Codecs are imported before root is given up: afterwards the interpreter's own files may be out of reach."""

from __future__ import annotations

import codecs
import contextlib
import re
from pathlib import Path

from gatepost.main.preload import CODECS

SOURCES = Path(__file__).parents[2] / "src" / "gatepost"
_NAMED = re.compile(r"""(?:encoding=|\.encode\(|\.decode\()["']([\w-]+)["']""")


def test_every_codec_that_the_code_names_is_imported_early() -> None:
    early = set()
    for name in CODECS:
        with contextlib.suppress(LookupError):  # as it is imported
            early.add(codecs.lookup(name).name)
    named = {name for file in SOURCES.rglob("*.py") for name in _NAMED.findall(file.read_text("utf-8"))}
    assert {name for name in named if codecs.lookup(name).name not in early} == set()
    assert "utf-8-sig" in named, "the expression finds them"
