"""Walls around a process that looks at hostile mail with code of others: no network, no writing, little to read.

Landlock (Linux 5.13) leaves it the folders that Python is made of; a seccomp filter takes away sockets, other
programs, new processes, signals to others and whatever changes a file system. What the kernel lacks is said,
and the rest is done. Numbers: landlock(7), seccomp(2), the kernel's tables of system calls.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

# -- seccomp ----------------------------------------------------------------------------------------

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_SECCOMP: Final = 22
_SECCOMP_MODE_FILTER: Final = 2
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_KILL: Final = 0x80000000
_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_IF_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_IF_NOT_BELOW: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_IF_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06
_NR, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_X32: Final = 0x40000000
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CLONE_THREAD: Final = 0x00010000

_COMMON: Final = (
    *(424, 425, 426, 427, 428, 429, 430, 431, 432, 433, 434, 438, 440, 442, 452),
    # pidfd_send_signal, io_uring_*, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, pidfd_open,
    # pidfd_getfd, process_madvise, mount_setattr, fchmodat2
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Machine:
    """One processor's numbers. Each call in `refused` fails with EPERM."""

    audit_arch: int
    refused: tuple[int, ...]
    opens: tuple[tuple[int, int], ...]
    """(call, which argument has the flags): refused for writing."""
    clone: int
    tgkill: int
    absent: tuple[int, ...] = (435, 437)
    """clone3, openat2: their arguments cannot be seen; the C library then uses the older ones."""


_MACHINES: Final = {
    "x86_64": _Machine(
        audit_arch=0xC000003E,
        refused=(
            *(41, 42, 49, 50, 53),  # socket, connect, bind, listen, socketpair
            *(57, 58, 59, 322),  # fork, vfork, execve, execveat
            *(
                62,
                200,
                129,
                297,
                101,
                310,
                311,
            ),  # kill, tkill, sigqueue, ptrace, process_vm_readv, process_vm_writev
            *(76, 82, 83, 84, 85, 86, 87, 88, 90, 91, 92, 93, 94),  # truncate ... lchown
            *(133, 165, 166, 161, 155, 188, 189, 190, 197, 198, 199),  # mknod, mount, chroot, xattr
            *(258, 259, 260, 263, 264, 265, 266, 268, 316),  # the same with "at"
            *(272, 308, 304, 298, 321, 323, 300),  # unshare, setns, open_by_handle_at, perf, bpf, ...
            *(29, 64, 68, 240, 248, 249, 250),  # shmget, semget, msgget, mq_open, keys
            *(105, 106, 113, 114, 117, 119, 160, 302),  # setuid ..., setrlimit, prlimit64
            *(167, 169, 175, 176, 246, 313, 320),  # swapon, reboot, modules, kexec
            *_COMMON,
        ),
        opens=((2, 1), (257, 2)),
        clone=56,
        tgkill=234,
    ),
    "aarch64": _Machine(
        audit_arch=0xC00000B7,
        refused=(
            *(198, 199, 200, 201, 203),
            *(221, 281),
            *(129, 130, 138, 240, 117, 270, 271),
            *(33, 34, 35, 36, 37, 38, 45, 52, 53, 54, 55, 276),
            *(39, 40, 41, 51, 5, 6, 7, 14, 15, 16),
            *(97, 268, 265, 241, 280, 282, 262),
            *(194, 190, 186, 180, 217, 218, 219),
            *(143, 144, 145, 146, 147, 149, 164, 261),
            *(104, 105, 106, 142, 224, 273, 294),
            *_COMMON,
        ),
        opens=((56, 2),),
        clone=220,
        tgkill=131,
    ),
}

# -- Landlock ---------------------------------------------------------------------------------------

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_CREATE_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS_BY_VERSION: Final = (13, 14, 15, 15, 16)
"""How many of the rights to files the kernel knows, by Landlock's version less one; later ones know as many."""
_NETWORK_FROM, _SCOPES_FROM = 4, 6
_ALL_TCP: Final = 0b11
_ALL_SCOPES: Final = 0b11
_SYSTEM_FOLDERS: Final = ("/usr/lib", "/lib", "/lib64", "/usr/lib64", "/usr/share/zoneinfo")
_SYSTEM_FILES: Final = ("/dev/null", "/dev/urandom", "/etc/localtime", "/etc/ld.so.cache")


def enclose(readable: Iterable[str], *, memory_bytes: int) -> Sequence[str]:
    """Put this process behind walls, for good. Returns what this machine could not do, for the log.

    readable: folders it may read files of, beside the system's libraries. memory_bytes: beyond what it has now.
    """
    problems = []
    with open("/proc/self/statm", "rb") as statm:
        now_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now_bytes + memory_bytes, now_bytes + memory_bytes))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if why_not := _landlock(libc, readable):
        problems.append(f"files cannot be walled off (Landlock: {why_not})")
    if why_not := _seccomp(libc):
        problems.append(f"system calls cannot be refused (seccomp: {why_not})")
    return problems


def _landlock(libc: ctypes.CDLL, readable: Iterable[str]) -> str:
    """Why not; "" when it is done."""
    version = libc.syscall(_LANDLOCK_CREATE, None, 0, _CREATE_VERSION)
    if version < 1:
        return os.strerror(ctypes.get_errno())
    rights = _FILE_RIGHTS_BY_VERSION[min(version, len(_FILE_RIGHTS_BY_VERSION)) - 1]
    handled = struct.pack(
        "=QQQ",
        (1 << rights) - 1,
        _ALL_TCP if version >= _NETWORK_FROM else 0,
        _ALL_SCOPES if version >= _SCOPES_FROM else 0,
    )
    size = 24 if version >= _SCOPES_FROM else 16 if version >= _NETWORK_FROM else 8
    ruleset = libc.syscall(_LANDLOCK_CREATE, handled[:size], size, 0)
    if ruleset < 0:
        return os.strerror(ctypes.get_errno())
    try:
        for path in (*_SYSTEM_FOLDERS, *readable):
            _allow(libc, ruleset, path, _READ_FILE | _READ_DIR)
        for path in _SYSTEM_FILES:
            _allow(libc, ruleset, path, _READ_FILE)
        if libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) < 0:
            return os.strerror(ctypes.get_errno())
    finally:
        os.close(ruleset)
    return ""


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """A path that is not there needs no right."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= ~_READ_DIR
        libc.syscall(_LANDLOCK_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _seccomp(libc: ctypes.CDLL) -> str:
    """Why not; "" when it is done."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return f"not known on {platform.machine()}"
    program = _filter(machine, os.getpid())
    octets = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(octets)))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) < 0:
        return os.strerror(ctypes.get_errno())
    return ""


def _filter(machine: _Machine, process_id: int) -> bytes:
    """The program, eight octets an instruction. process_id: ours, the only one that may be signalled."""
    refuse = _step(_RETURN, _ERRNO | errno.EPERM)
    steps = [
        _step(_LOAD, _ARCH),
        _step(_IF_EQUAL, machine.audit_arch, yes=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NR),
        _step(_IF_NOT_BELOW, _X32, no=1),
        _step(_RETURN, _KILL),
    ]
    for call in machine.refused:
        steps += [_step(_IF_EQUAL, call, no=1), refuse]
    for call in machine.absent:
        steps += [_step(_IF_EQUAL, call, no=1), _step(_RETURN, _ERRNO | errno.ENOSYS)]
    for call, argument in machine.opens:
        steps += [
            _step(_IF_EQUAL, call, no=4),
            _step(_LOAD, _ARGUMENTS + 8 * argument),
            _step(_IF_ANY_BIT, _WRITING, no=1),
            refuse,
            _step(_LOAD, _NR),
        ]
    steps += [  # threads are made, processes are not
        _step(_IF_EQUAL, machine.clone, no=4),
        _step(_LOAD, _ARGUMENTS),
        _step(_IF_ANY_BIT, _CLONE_THREAD, yes=1),
        refuse,
        _step(_LOAD, _NR),
        _step(_IF_EQUAL, machine.tgkill, no=4),
        _step(_LOAD, _ARGUMENTS),
        _step(_IF_EQUAL, process_id, yes=1),
        refuse,
        _step(_LOAD, _NR),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def _step(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    """One instruction; yes, no: how many to skip after a comparison."""
    return struct.pack("=HBBI", code, yes, no, value)
