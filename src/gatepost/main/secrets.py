"""Passwords and tokens that stand in files of their own."""

from __future__ import annotations

from pathlib import Path

from gatepost.model.fault import WorldFault


def secret_in(path: str, setting: str) -> str:
    """The text of a file without its line's end. Raises WorldFault that names the setting."""
    try:
        return Path(path).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WorldFault(f"{setting} cannot be read: {error}", file=path) from error
