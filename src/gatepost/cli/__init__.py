"""The terminal face of control: what an administrator types about a mail, and what is answered.

`build(world)` makes the command from the factories that `main` hands in. Commands are read
from their modules when they are called, so that `gatepost --help` does not load the gateway.
"""

from __future__ import annotations

from gatepost.cli.front import build

__all__ = ["build"]
