"""Which mails are in work, in a mapped file that outlives the process: who is to blame for a crash."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path
from typing import Final

SLOTS: Final = 4096
_ID: Final = struct.Struct("<Q")
NO_SLOT: Final = -1


class MappedInFlight:
    """Keeps the promise of ports.in_flight.InFlight: 8 octets a mail, never synced.

    The page cache survives the death of the process, which is all that is needed: a power cut
    is nobody's fault. When every slot is taken (SLOTS) a mail goes unnoted, with NO_SLOT.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError when the file cannot be made."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(descriptor, SLOTS * _ID.size)
            self._map = mmap.mmap(descriptor, SLOTS * _ID.size)
        finally:
            os.close(descriptor)
        self._left_over = sorted({i for (i,) in _ID.iter_unpack(self._map[:]) if 0 < i < 1 << 63})
        self._map[:] = bytes(len(self._map))
        self._free = list(range(SLOTS - 1, -1, -1))

    def left_over(self) -> list[int]:
        """The mails that were in work when the last owner died; the same at every call."""
        return self._left_over

    def enter(self, mail_id: int) -> int:
        """Note the mail before work on it begins; the slot to leave."""
        if not self._free:
            return NO_SLOT
        slot = self._free.pop()
        _ID.pack_into(self._map, slot * _ID.size, mail_id)
        return slot

    def leave(self, slot: int) -> None:
        """The work is over, and what came of it is stored."""
        if slot == NO_SLOT or _ID.unpack_from(self._map, slot * _ID.size) == (0,):
            return
        _ID.pack_into(self._map, slot * _ID.size, 0)
        self._free.append(slot)

    def close(self) -> None:
        """A clean stop: nobody is to blame."""
        self._map[:] = bytes(len(self._map))
        self._map.close()
