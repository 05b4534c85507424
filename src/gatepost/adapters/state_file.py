"""A small file of ours that is replaced as a whole: the old one or the new one is there, never half of one."""

from __future__ import annotations

from pathlib import Path

from gatepost.adapters.replacing import replace_file
from gatepost.model.fault import WorldFault


class StateFile:
    """Octets at a path, mode 0600. limit_bytes: a longer file is not read."""

    def __init__(self, path: Path, *, limit_bytes: int) -> None:
        self.path = path
        self._limit_bytes = limit_bytes

    def read(self) -> bytes | None:
        """None when there is none. Raises WorldFault."""
        try:
            with open(self.path, "rb") as file:
                data = file.read(self._limit_bytes + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise WorldFault(f"cannot read {self.path}: {error.strerror}") from error
        if len(data) > self._limit_bytes:
            raise WorldFault(f"{self.path} is larger than {self._limit_bytes} octets")
        return data

    def write(self, data: bytes) -> None:
        """Replace it. Raises WorldFault; the old one stays then."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            replace_file(self.path, [data])
        except OSError as error:
            raise WorldFault(f"cannot write {self.path}: {error.strerror}") from error

    def remove(self) -> None:
        """Raises WorldFault."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise WorldFault(f"cannot remove {self.path}: {error.strerror}") from error
