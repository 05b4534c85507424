"""What can still be said of a file that is no configuration: where its gateway keeps things."""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from gatepost.config.settings import Server

DEFAULT_STATE_DIRECTORY: Final[str] = Server.model_fields["state_directory"].default
_LINE: Final = re.compile(
    r"""^[^#\n]{0,200}\bstate-directory["']?[ \t]*=[ \t]*(?:"([^"\\\n]{1,4096})"|'([^'\n]{1,4096})')""",
    re.MULTILINE,
)


def stated_directory(text: str) -> str:
    """server.state-directory as the file has it, or as a line of it says that is no TOML; the default else."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except (ValueError, RecursionError):
        found = _LINE.search(text)
        return (found[1] or found[2]) if found else DEFAULT_STATE_DIRECTORY
    server = data.get("server")
    stated = server.get("state-directory") if isinstance(server, dict) else None
    return stated if isinstance(stated, str) and stated else DEFAULT_STATE_DIRECTORY
