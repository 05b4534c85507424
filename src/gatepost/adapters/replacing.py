"""A file that is replaced as a whole: the old one or the new one is there, whatever happens, never half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from gatepost.adapters.bodies import sync_directory


def replace_file(path: str | Path, parts: Iterable[bytes]) -> None:
    """Beside, synced, renamed, its directory synced; mode 0600. Raises OSError, and the old file stays.

    It belongs to whom the old file belonged to; a new one that root writes, to the owner of its directory: so an
    administrator's command leaves nothing that the gateway cannot read.
    """
    directory = Path(path).parent
    beside = f"{path}.{secrets.token_hex(4)}"
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            if os.geteuid() == 0:
                owner = os.stat(path if os.path.exists(path) else directory)
                os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
            out.writelines(parts)
            out.flush()
            os.fsync(out.fileno())
        os.replace(beside, path)
    except BaseException:
        os.unlink(beside)
        raise
    sync_directory(directory)
