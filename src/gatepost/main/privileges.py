"""Giving up what only the start needs: root, capabilities, the way back, core files, a hostile environment."""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import signal
import struct
from collections.abc import MutableMapping
from typing import Final

from gatepost.model.fault import WorldFault

UMASK: Final = 0o077
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KEPT: Final = frozenset(
    {
        *("LANG", "TZ", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM"),
        *(
            "KRB5_CONFIG",
            "KRB5RCACHENAME",
        ),  # the extra `kerberos`: who sets these for us may change our service anyway
    }
)
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITY_VERSION: Final = 0x20080522  # capset(2): _LINUX_CAPABILITY_VERSION_3


def close_the_room(environment: MutableMapping[str, str]) -> None:
    """What a process that handles other people's mail starts with: umask 077, no core files, a plain environment.

    Loader, Python, locale and proxy variables go (threats T07): whatever set them, nothing we start reads them.
    """
    os.umask(UMASK)
    resource.setrlimit(
        resource.RLIMIT_CORE, (0, 0)
    )  # a core file would hold mail and passwords (threats S07)
    for name in [name for name in environment if name not in _KEPT]:
        del environment[name]
    environment["PATH"] = _PATH


def become(user: str) -> None:
    """Give up root for `user`, its groups and nothing else, for good; nothing when there is no user or we are not root.

    Raises WorldFault when the account does not exist, or a way back to root is left.
    """
    if user and os.getuid() == 0:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise WorldFault(f"server.user: there is no account {user!r}", user=user) from None
        os.initgroups(user, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        if account.pw_uid and _may_be_root():
            raise WorldFault(f"root could not be given up for {user}: something keeps a way back", user=user)
    drop_capabilities()


def drop_capabilities() -> None:
    """No capability, and none to be gained by any program we might start; root is left as it is."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if os.geteuid() == 0:
        return
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    capset = getattr(ctypes.CDLL(None, use_errno=True), "capset", None)
    if capset is not None:  # effective, permitted, inheritable, of 64 bits: none
        capset(struct.pack("Ii", _CAPABILITY_VERSION, 0), struct.pack("6I", *[0] * 6))


def call_process(name: str) -> None:
    """Shows in ps and top which of our processes this is (Linux): "gate:w0"; 15 octets are kept. Nothing elsewhere.

    Not by /proc/self/comm: after a change of account that file is root's.
    """
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_NAME, ctypes.c_char_p(f"gate:{name}".encode("ascii")), 0, 0, 0)


def die_with(supervisor: int) -> None:
    """SIGTERM for us when the supervisor dies, however it dies (Linux). supervisor: its process id."""
    _prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
    if os.getppid() != supervisor:
        os._exit(1)


def _may_be_root() -> bool:
    try:
        os.setuid(0)
    except PermissionError:
        return False
    return True


def _prctl(option: int, argument: int) -> None:
    prctl = getattr(ctypes.CDLL(None, use_errno=True), "prctl", None)
    if prctl is not None:
        prctl(option, argument, 0, 0, 0)
