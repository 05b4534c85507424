"""One source copied into its index: by one process at a time, and never when the copy looks like an accident."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gatepost.adapters.directory_sources import Listed
from gatepost.adapters.recipient_index import (
    NEEDS_AUTHENTICATION,
    digest_of,
    open_index,
    read_key,
    write_index,
)
from gatepost.model.address import Address
from gatepost.model.fault import PeerFault, WorldFault

REPORTED: Final = 20
"""Values that are no address and are named one by one; the others are counted."""

GIVE_WAY_ENTRIES: Final = 256


class Busy(Exception):
    """Another process copies this source just now, or has tried to a moment ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What a copy brought. skipped: values that are no mail address, the first of them in `examples`."""

    entries: int
    added: int
    dropped: int
    skipped: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncRules:
    """When a copy is not taken over. drop_percent: of the recipients known before; 100: always taken."""

    entries: int
    drop_percent: int
    duration_limit_s: float
    rest_s: float = 0.0
    """Not again before that long after the last try, of whichever process; 0: at once."""


def index_path(folder: str, name: str) -> str:
    """The index of a source."""
    return os.path.join(folder, f"{name}.index")


def key_path(folder: str) -> str:
    """The key of all indexes."""
    return os.path.join(folder, "key")


def sync(
    folder: str,
    name: str,
    read: Callable[[], Iterator[Listed]],
    *,
    rules: SyncRules,
    parse_mailbox: Callable[[str], Address],
    now: Callable[[], float],
    monotonic: Callable[[], float],
) -> SyncResult:
    """Copy a source. Takes as long as the source does: call it in a thread.

    Raises Busy, and WorldFault for a source that cannot be read to its end, is empty, has too many entries or lacks
    too many that were there: the last index stays in force then.
    """
    with _alone(folder, name, rest_s=rules.rest_s, now=now()):
        _clear(folder, name)
        key = read_key(key_path(folder), make=True)
        found, skipped, examples = _read(read, rules, key, parse_mailbox, monotonic)
        before = _before(folder, name, key)
        dropped = sum(1 for digest in before if digest not in found)
        if not found:
            raise WorldFault("the source lists nobody")
        if dropped * 100 > rules.drop_percent * len(before):
            raise WorldFault(
                f"the source lacks {dropped} of {len(before)} recipients, more than drop-percent = "
                f"{rules.drop_percent}; if that is right: gatepost directory sync {name} --accept-loss"
            )
        write_index(index_path(folder, name), found, key, now=now())
    added = len(found) - (len(before) - dropped)
    return SyncResult(
        entries=len(found), added=added, dropped=dropped, skipped=skipped, examples=tuple(examples)
    )


def _read(
    read: Callable[[], Iterator[Listed]],
    rules: SyncRules,
    key: bytes,
    parse_mailbox: Callable[[str], Address],
    monotonic: Callable[[], float],
) -> tuple[dict[bytes, int], int, list[str]]:
    found: dict[bytes, int] = {}
    skipped, examples, until = 0, list[str](), monotonic() + rules.duration_limit_s
    for number, listed in enumerate(read()):
        if not number % GIVE_WAY_ENTRIES:
            time.sleep(0)  # the thread that takes mail goes first
        try:
            digest = digest_of(_key_of(listed.text, parse_mailbox), key)
        except (PeerFault, ValueError):
            skipped += 1
            if len(examples) < REPORTED:
                examples.append(listed.text[:100])
            continue
        # Listed twice: whoever may be reached by everybody in one place is not closed by the other.
        flags = NEEDS_AUTHENTICATION if listed.needs_authentication else 0
        found[digest] = found.get(digest, flags) & flags
        if len(found) > rules.entries:
            raise WorldFault(f"the source has more than {rules.entries} recipients (entries)")
        if monotonic() > until:
            raise WorldFault(f"the source took longer than {rules.duration_limit_s:.0f} s (duration-limit)")
    return found, skipped, examples


def _key_of(text: str, parse_mailbox: Callable[[str], Address]) -> str:
    if text.startswith("@"):
        return f"@{parse_mailbox(f'postmaster{text}').domain}"
    return parse_mailbox(text).key


def _before(folder: str, name: str, key: bytes) -> set[bytes]:
    """A damaged index protects nobody: it is replaced."""
    try:
        return open_index(name, index_path(folder, name), key).digests()
    except (FileNotFoundError, WorldFault):
        return set()


@contextmanager
def _alone(folder: str, name: str, *, rest_s: float, now: float) -> Iterator[None]:
    """Raises Busy, WorldFault."""
    try:
        if not os.path.isdir(folder):
            os.makedirs(folder, mode=0o700, exist_ok=True)
            above = os.stat(os.path.dirname(folder))
            if os.geteuid() == 0:  # an administrator's command, on behalf of the gateway's account
                os.chown(folder, above.st_uid, above.st_gid)
        path = os.path.join(folder, f"{name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        if os.geteuid() == 0:
            owner = os.stat(folder)
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except OSError as error:
        raise WorldFault(f"cannot write in {folder}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(name) from None
        if 0 <= now - _tried_at(descriptor) < rest_s:
            raise Busy(name)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{now:.3f}\n".encode(), 0)
        yield
    except OSError as error:
        raise WorldFault(f"cannot write in {folder}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _tried_at(descriptor: int) -> float:
    try:
        return float(os.pread(descriptor, 64, 0))
    except ValueError:
        return 0.0


def _clear(folder: str, name: str) -> None:
    """What a process that died while it wrote has left."""
    for entry in os.scandir(folder):
        if entry.name.startswith(f"{name}.index."):
            os.unlink(entry.path)
