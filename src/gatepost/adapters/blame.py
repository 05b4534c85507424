"""The name of the plug-in a worker is in, in a mapped file that outlives the process."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Final

_SIZE_BYTES: Final = 512


class MappedBlame:
    """Keeps the promise of ports.blame.Blame: a length and a name, never synced, as adapters.inflight."""

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be made."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.ftruncate(descriptor, _SIZE_BYTES)
            self._map = mmap.mmap(descriptor, _SIZE_BYTES)
        finally:
            os.close(descriptor)
        length = min(int.from_bytes(self._map[:2], "little"), _SIZE_BYTES - 2)
        self.left_over = self._map[2 : 2 + length].decode("utf-8", "replace")
        """The plug-in that the last owner died in; "" for none."""
        self.leave()

    def enter(self, plug_in: str) -> None:
        """As Blame."""
        name = plug_in.encode("utf-8", "replace")[: _SIZE_BYTES - 2]
        self._map[2 : 2 + len(name)] = name
        self._map[:2] = len(name).to_bytes(2, "little")

    def leave(self) -> None:
        """As Blame."""
        self._map[:2] = b"\0\0"
