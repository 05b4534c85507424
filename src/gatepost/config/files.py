"""Files that the configuration names: there, readable, and not open to others (threats T03)."""

from __future__ import annotations

import os
import ssl
import stat

from gatepost.config.credentials import is_elsewhere

Path = tuple[str | int, ...]


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
