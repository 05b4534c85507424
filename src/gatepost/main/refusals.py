"""Why the gateway should not start here: what is wrong with the state directory, said before a port is bound."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import stat
from pathlib import Path

from gatepost.adapters.bodies import make_directory
from gatepost.adapters.disk import refuse_unsafe
from gatepost.adapters.sqlite_schema import SCHEMA_VERSION
from gatepost.config.settings import Settings
from gatepost.main.places import gateway_lock, state_directory, store_directories
from gatepost.model.fault import WorldFault

_GIVEN_AWAY = frozenset({"lock", "shared", "tls"})
"""What root makes at every start, and gives to server.user."""
_VERSION_AT = slice(60, 64)  # https://www.sqlite.org/fileformat.html, user_version, big-endian


def refuse_to_start(settings: Settings) -> None:
    """Raises WorldFault with what to do about it (threats O08, O14, T03, T06, T10)."""
    directory, account = state_directory(settings), _account(settings.server.user)
    if os.geteuid() == 0 and not settings.server.user and settings.policy.agents_directory:
        raise WorldFault(
            "policy.agents-directory: agents of your own are not run as root: name an account in server.user"
        )
    refuse_unsafe(directory, allow_volatile=settings.queue.allow_volatile)
    if not directory.exists():
        return
    _refuse_place(directory, account)
    for store in store_directories(settings).values():
        _refuse_newer(store / "store.db")
    _refuse_owners(directory, account)


def prepare_state(directory: Path, user: str) -> None:
    """Make the state directory and what workers share in it (0700), owned by the account that will use them.

    Raises WorldFault.
    """
    try:
        for place in (directory, directory / "shared"):
            make_directory(place)
            if user and os.getuid() == 0:
                account = pwd.getpwnam(user)
                os.chown(place, account.pw_uid, account.pw_gid)
    except (OSError, KeyError) as error:
        raise WorldFault(f"state directory {directory} cannot be used: {error}") from error


class GatewayLock:
    """One state directory, one gateway: held by the supervisor, dropped by the system when it ends (threats O11)."""

    def __init__(self, settings: Settings) -> None:
        """Raises WorldFault when another gateway has it, or the file cannot be made."""
        path, account = gateway_lock(settings), _account(settings.server.user)
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            if os.geteuid() == 0:
                os.fchown(self._descriptor, account.pw_uid, account.pw_gid)
        except OSError as error:
            raise WorldFault(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self.leave()
            raise WorldFault(
                f"{path.parent} is used by another gateway that runs (process {other or 'unknown'}): "
                "two gateways need two state directories"
            ) from error
        with contextlib.suppress(
            OSError
        ):  # who it is helps people; on a full disk the queue must drain all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def leave(self) -> None:
        """In a child: the lock is the supervisor's."""
        os.close(self._descriptor)


def _account(user: str) -> pwd.struct_passwd:
    """Who will use the directory: server.user when we are root, else we."""
    if user and os.geteuid() == 0:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(user)
        raise WorldFault(f"server.user: there is no account {user!r}", user=user)
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:  # a container's numbered account
        number = os.geteuid()
        return pwd.struct_passwd((str(number), "", number, os.getegid(), "", "/", ""))


def _refuse_place(directory: Path, account: pwd.struct_passwd) -> None:
    seen = directory.stat()
    if not stat.S_ISDIR(seen.st_mode):
        raise WorldFault(f"server.state-directory: {directory} is not a directory")
    if seen.st_mode & 0o007:
        raise WorldFault(
            f"{directory} is open to every user of this machine (mode {stat.S_IMODE(seen.st_mode):04o}): "
            f"chmod 700 {directory}"
        )
    if os.geteuid() != 0 or account.pw_uid == 0:  # as root we give it to server.user
        _refuse_owner(directory, account)


def _refuse_owners(directory: Path, account: pwd.struct_passwd) -> None:
    """What the gateway made and could not use any more: a worker would say so again and again instead of serving."""
    given_away = _GIVEN_AWAY if os.geteuid() == 0 else frozenset()
    try:
        places = [
            path for path in directory.iterdir() if path.name not in given_away and not path.is_symlink()
        ]
        within = [path for place in places if place.is_dir() for path in place.iterdir()]
    except OSError as error:
        raise WorldFault(f"{error.filename} cannot be read: {error.strerror}") from error
    for path in (*places, *within):
        if path.name != "lost+found" and not path.is_symlink():
            _refuse_owner(path, account)


def _refuse_owner(path: Path, account: pwd.struct_passwd) -> None:
    try:
        owner = path.stat().st_uid
    except FileNotFoundError:  # gone meanwhile: it was somebody's temporary file
        return
    if owner == account.pw_uid:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = str(owner)
    raise WorldFault(
        f"{path} belongs to {name}, and the gateway would run as {account.pw_name}: start it as {name} "
        f"(server.user), or chown -R {account.pw_name} {path}"
    )


def _refuse_newer(store: Path) -> None:
    try:
        with store.open("rb") as file:
            head = file.read(100)
    except FileNotFoundError:
        return
    except OSError as error:
        raise WorldFault(f"{store} cannot be read: {error.strerror}") from error
    version = int.from_bytes(head[_VERSION_AT], "big") if head.startswith(b"SQLite format 3\0") else 0
    if version > SCHEMA_VERSION:
        raise WorldFault(
            f"{store} has version {version}, this gatepost knows {SCHEMA_VERSION}: it was written by a newer "
            "gatepost; install that again"
        )
