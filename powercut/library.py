"""The recorder's library: built with the system's C compiler, and the page by which a run commands it."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).with_name("recorder.c")
_PAGE_BYTES: Final = 4096
_WORD: Final = struct.Struct("<Q")


class NoCompiler(Exception):
    """There is no C compiler here, or it does not like the recorder; the text is for a person."""


def build(directory: Path) -> Path:
    """The library below `directory`, made again when its source is newer. Raises NoCompiler."""
    library = directory / "powercut-recorder.so"
    if library.exists() and library.stat().st_mtime > SOURCE.stat().st_mtime:
        return library
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise NoCompiler(
            "make powercut needs a C compiler (Debian: gcc and libc6-dev); there is none on the PATH"
        )
    fresh = library.with_name(f"{library.name}.{os.getpid()}")
    command = [
        compiler,
        "-O2",
        "-Wall",
        "-shared",
        "-fPIC",
        "-o",
        str(fresh),
        str(SOURCE),
        "-ldl",
        "-lpthread",
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise NoCompiler(f"{compiler} cannot build {SOURCE.name}:\n{made.stderr}")
    fresh.replace(library)
    return library


class Page:
    """What all processes under the recorder look at before each write and sync (struct page of recorder.c)."""

    def __init__(self, file: Path) -> None:
        """Makes the file."""
        file.write_bytes(bytes(_PAGE_BYTES))
        self._map = mapped(file)
        self.file = file

    @property
    def calls(self) -> int:
        """Write and sync calls so far."""
        return self._word(0)

    @property
    def failed(self) -> int:
        """Calls that were made to fail."""
        return self._word(5)

    def fail(self, first: int, error: int, *, count: int = 1) -> None:
        """Let `count` calls fail, from the first-th on (counted from the beginning). first 0: none."""
        self._put(1, 0)
        self._put(3, error)
        self._put(2, count)
        self._put(1, first)

    def die_in(self, calls: int) -> None:
        """Kill the process that makes the `calls`-th call from now on, instead of that call."""
        self._put(4, self.calls + calls)

    def close(self) -> None:
        """The file stays."""
        self._map.close()

    def _word(self, number: int) -> int:
        return int(_WORD.unpack_from(self._map, number * 8)[0])

    def _put(self, number: int, value: int) -> None:
        _WORD.pack_into(self._map, number * 8, value)


def mapped(file: Path) -> mmap.mmap:
    """The page in memory, shared with everybody who maps it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, _PAGE_BYTES)
    finally:
        os.close(descriptor)


def environment(library: Path, state: Path, page: Page, log: Path | None) -> dict[str, str]:
    """What a gateway below the recorder is started with."""
    return {
        "LD_PRELOAD": str(library),
        "POWERCUT_STATE": str(state),
        "POWERCUT_PAGE": str(page.file),
        "POWERCUT_LOG": str(log) if log else "",
    }
