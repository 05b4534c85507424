"""The supervisor: binds ports, drops privileges, starts workers, restarts what dies, passes signals on.

It does as little as it can: no event loop, no store, no mail. What it forks has
everything already imported, so a dead worker is back within a few hundredths of a second.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gatepost.adapters.bodies import make_directory
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import Configuration
from gatepost.main.sockets import bind, bindings_of, in_use
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Log

_SIGNALS: Final = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGALRM}
)
TRACE_LIMIT_CHARACTERS: Final = 1000
_PR_SET_PDEATHSIG: Final = 1
_QUICK_DEATH_S: Final = 2.0
_RESTART_LIMIT_S: Final = 5.0
_STOP_MARGIN_S: Final = 5.0

_FORMER: Final = "server.workers is smaller now: its store still holds mail, which is delivered from there"

WorkerMain = Callable[[Configuration, int, "dict[str, socket.socket]"], int]
ControlMain = Callable[[Configuration], int]


@dataclass(slots=True)
class Child:
    """One process of ours. number: of the worker; -1 for the control process."""

    number: int
    pid: int = 0
    started_at: float = 0.0
    quick_deaths: int = 0
    restart_at: float = 0.0

    @property
    def name(self) -> str:
        """For the log."""
        return "control" if self.number < 0 else f"worker-{self.number}"


@dataclass(slots=True)
class Supervisor:
    """Runs the gateway until it is told to stop.

    load: reads the configuration again (SIGHUP). worker, control: what the children run.
    """

    configuration: Configuration
    load: Callable[[], Configuration]
    worker: WorkerMain
    control: ControlMain
    log: Log
    workers: int
    former: tuple[int, ...] = ()
    """Numbers of workers there are no more, whose stores still hold mail: they deliver, and listen to nobody."""
    reopen_log: Callable[[], None] = lambda: None
    """SIGUSR1: the log file was rotated."""
    _sockets: dict[str, list[socket.socket]] = field(default_factory=dict)
    _children: list[Child] = field(default_factory=list)
    _stopping_since: float | None = None

    def run(self) -> int:
        """Until SIGTERM or SIGINT. Returns the exit status; raises WorldFault when it cannot start."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._bind()
        become(self.configuration.settings.server.user)
        self._children = [Child(number) for number in (*range(self.workers), *self.former)]
        if self.configuration.settings.metrics.listen:
            self._children.append(Child(-1))
        for child in self._children:
            self._start(child)
        self.log.write("info", "started", workers=self.workers, listening=", ".join(self._sockets))
        for worker in self.former:
            self.log.write("warning", "former-worker", worker=worker, text=_FORMER)
        while self._children:
            self._wait()
        for copies in self._sockets.values():
            for listening in copies:
                listening.close()
        self.log.write("info", "stopped")
        return 0

    def _bind(self) -> None:
        bindings = bindings_of(self.configuration.settings.receive_connectors)
        for binding in bindings:
            if in_use(binding) and not self._wait_until_free(binding):
                raise WorldFault(f"cannot listen on {binding}: another program listens there")
        self._sockets = {binding: bind(binding, self.workers) for binding in bindings}

    def _wait_until_free(self, binding: str) -> bool:
        """A gateway that was killed leaves workers that finish: give them a moment."""
        deadline = time.monotonic() + _STOP_MARGIN_S
        while time.monotonic() < deadline:
            time.sleep(0.1)
            if not in_use(binding):
                return True
        return False

    def _start(self, child: Child) -> None:
        child.started_at = time.monotonic()
        child.restart_at = 0.0
        supervisor = os.getpid()
        child.pid = os.fork()
        if child.pid:
            return
        status = 1
        try:
            status = self._in_child(child, supervisor)
        except BaseException as error:  # noqa: BLE001  # the edge of a process: say why it ends
            trace = "".join(traceback.format_exception(error))[-TRACE_LIMIT_CHARACTERS:]
            self.log.write("error", "child-failed", child=child.name, error=repr(error), trace=trace)
        finally:
            os._exit(status)  # never back into the supervisor's code

    def _in_child(self, child: Child, supervisor: int) -> int:
        _die_with(supervisor)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; we pass on SIGTERM
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        if child.number < 0:
            for copies in self._sockets.values():
                for listening in copies:
                    listening.close()
            return self.control(self.configuration)
        mine: dict[str, socket.socket] = {}
        for binding, copies in self._sockets.items():
            for owner, listening in enumerate(copies):
                if owner == child.number:
                    mine[binding] = listening
                else:
                    listening.close()
        return self.worker(self.configuration, child.number, mine)

    def _wait(self) -> None:
        """One signal, or a second without."""
        got = signal.sigtimedwait(_SIGNALS, 1.0 if not self._due_soon() else 0.05)
        number = got.si_signo if got is not None else None
        if number in (signal.SIGTERM, signal.SIGINT):
            self._stop()
        elif number == signal.SIGHUP:
            self._reload()
        elif number == signal.SIGUSR1:
            self.reopen_log()
            self._tell(signal.SIGUSR1)
        self._reap()
        self._restart_due()
        self._lose_patience()

    def _due_soon(self) -> bool:
        return any(child.restart_at for child in self._children)

    def _stop(self) -> None:
        again = self._stopping_since is not None
        self._stopping_since = self._stopping_since or time.monotonic()
        self.log.write("info", "stopping", at_once=again)
        for child in list(self._children):
            if child.pid:
                os.kill(child.pid, signal.SIGKILL if again else signal.SIGTERM)
            else:
                self._children.remove(child)

    def _lose_patience(self) -> None:
        limit_s = self.configuration.settings.server.stop_timeout_s + _STOP_MARGIN_S
        if self._stopping_since is not None and time.monotonic() - self._stopping_since > limit_s:
            self._stop()

    def _reload(self) -> None:
        """Validate first; then each worker finishes its sessions and starts anew with the new file."""
        try:
            fresh = self.load()
        except ConfigurationErrors as errors:
            for error in errors.errors:
                self.log.write("error", "reload-refused", error=str(error))
            return
        if set(bindings_of(fresh.settings.receive_connectors)) != set(self._sockets):
            self.log.write("error", "reload-refused", error="other addresses to listen on need a restart")
            return
        self.configuration = fresh
        self.log.write("info", "reloading", revision=fresh.revision)
        self._tell(signal.SIGTERM)

    def _tell(self, number: signal.Signals) -> None:
        for child in self._children:
            if child.pid:
                os.kill(child.pid, number)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = next((c for c in self._children if c.pid == pid), None)
            if child is not None:
                self._bury(child, status)

    def _bury(self, child: Child, status: int) -> None:
        lived_s = time.monotonic() - child.started_at
        child.pid = 0
        if self._stopping_since is not None:
            self._children.remove(child)
            return
        code = os.waitstatus_to_exitcode(status)
        child.quick_deaths = child.quick_deaths + 1 if lived_s < _QUICK_DEATH_S and code else 0
        delay_s = min(_RESTART_LIMIT_S, 0.05 * 2**child.quick_deaths) if code > 0 else 0.0
        child.restart_at = time.monotonic() + delay_s
        level = "error" if code else "info"
        self.log.write(level, "child-ended", child=child.name, status=code, restart_in_s=delay_s)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.restart_at and not child.pid and now >= child.restart_at:
                self._start(child)


def become(user: str) -> None:
    """Give up root for `user` for good; nothing when there is no user or we are not root.

    Raises WorldFault when the account does not exist.
    """
    if not user or os.getuid() != 0:
        return
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise WorldFault(f"server.user: there is no account {user!r}", user=user) from None
    os.initgroups(user, account.pw_gid)
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


def prepare_state(directory: Path, user: str) -> None:
    """Make the state directory (0700), owned by the account that will use it. Raises WorldFault."""
    try:
        make_directory(directory)
        if user and os.getuid() == 0:
            account = pwd.getpwnam(user)
            os.chown(directory, account.pw_uid, account.pw_gid)
    except (OSError, KeyError) as error:
        raise WorldFault(f"state directory {directory} cannot be used: {error}") from error


def _die_with(supervisor: int) -> None:
    """SIGTERM for us when the supervisor dies, however it dies (Linux)."""
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = getattr(libc, "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != supervisor:
        os._exit(1)
