"""Files that the configuration names: there, readable, and not open to others (threats T03)."""

from __future__ import annotations

import os
import pwd
import ssl
import stat
from collections.abc import Collection
from typing import Final

from gatepost.config.credentials import is_elsewhere

Path = tuple[str | int, ...]

_READ: Final = 4
_SEARCH: Final = 1


def readable_problem(path: str) -> str:
    """Why a file cannot be read; "" when it can, or when it is a credential only the service sees."""
    if is_elsewhere(path):
        return ""
    try:
        with open(path, "rb"):
            return ""
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except ValueError:
        return "is not a path"


def appended_problem(path: str) -> str:
    """Why nothing could be appended to a file, which may have to be made; "" when it could."""
    try:
        directory = os.path.dirname(os.path.abspath(path))
        if not os.path.isdir(directory):
            return f"cannot be written: there is no directory {directory}"
        if os.path.islink(path):
            return "is a symbolic link, which is never followed to write a log"
        if os.path.isdir(path):
            return "is a directory"
    except ValueError:
        return "is not a path"
    return open_to_others(path)


def secret_problem(path: str) -> str:
    """Why a file with a key or password is not safe; "" when it is: mode 0600, or 0640 for a group of ours."""
    if is_elsewhere(path):
        return ""
    if problem := readable_problem(path):
        return problem
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o027:
        return f"can be read or changed by others (mode {mode:04o}): chmod 600 {path}"
    return ""


def authorities_problem(path: str) -> str:
    """Why a file of certificate authorities cannot be used; "" when it can."""
    if problem := readable_problem(path) or open_to_others(path):
        return problem
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError):
        return "is no PEM file with certificates"
    return ""


def closed_to_user(path: str, user: str) -> str:
    """Why the account we become could not read a file that root can read; "" when it can, or nobody is become."""
    if not user or os.geteuid() != 0:
        return ""
    try:
        account = pwd.getpwnam(user)
        groups = os.getgrouplist(user, account.pw_gid)
        places = [os.path.abspath(path)]
        while places[-1] != "/":
            places.append(os.path.dirname(places[-1]))
        shut = next(
            (p for p in places if not _may(p, account.pw_uid, groups, _SEARCH if p != places[0] else _READ)),
            "",
        )
    except (KeyError, OSError, ValueError):  # said elsewhere
        return ""
    return f"cannot be read by server.user {user}: {shut} is closed to that account" if shut else ""


def _may(path: str, uid: int, groups: Collection[int], wanted: int) -> bool:
    found = os.stat(path)
    if uid == 0:
        return True
    shift = 6 if found.st_uid == uid else 3 if found.st_gid in groups else 0
    return bool(found.st_mode >> shift & wanted)


def open_to_others(path: str) -> str:
    """Why others could replace what we read; "" when they cannot. A missing path is no problem of this kind."""
    try:
        mode = os.stat(path).st_mode
        above = os.stat(os.path.dirname(os.path.abspath(path))).st_mode
    except (OSError, ValueError):
        return ""
    if mode & stat.S_IWOTH:
        return "can be changed by every user of this machine: chmod o-w"
    if above & stat.S_IWOTH and not above & stat.S_ISVTX:
        return "its directory can be changed by every user of this machine: chmod o-w"
    return ""


def certificate_problem(certificate_file: str, key_file: str) -> str:
    """Why the certificate and the key cannot be used together; "" when they can."""
    if is_elsewhere(certificate_file) or is_elsewhere(key_file):
        return ""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate_file, key_file or None, password=lambda: b"")
    except ssl.SSLError as error:
        if "KEY_VALUES_MISMATCH" in str(error):
            return "the certificate and the key do not belong together"
        return "is not a PEM certificate with an unencrypted key that belongs to it"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return ""
