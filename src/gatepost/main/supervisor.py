"""The supervisor: binds ports, drops privileges, starts workers, restarts what dies, reloads, passes orders on.

It does as little as it can: no event loop, no store, no mail. What it forks has
everything already imported, so a dead worker is back within a few hundredths of a second.
"""

from __future__ import annotations

import os
import signal
import socket
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from gatepost.adapters.control_socket import WaitingSocket
from gatepost.adapters.neighbours import MappedCounts
from gatepost.adapters.scan_socket import listening_socket
from gatepost.config.load import Configuration
from gatepost.main.children import Birth, Child
from gatepost.main.ears import Ears
from gatepost.main.orders import Orders
from gatepost.main.places import gateway_socket, scan_socket
from gatepost.main.privileges import become, call_process, die_with
from gatepost.main.sockets import bind, bindings_of, in_use
from gatepost.main.systemd import Notifier
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Log

_SIGNALS: Final = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGCHLD,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
    }
)
TRACE_LIMIT_CHARACTERS: Final = 1000
_QUICK_DEATH_S: Final = 2.0
_RESTART_LIMIT_S: Final = 5.0
_STOP_MARGIN_S: Final = 5.0

_FORMER: Final = "server.workers is smaller now: its store still holds mail, which is delivered from there"

_SCAN_MARGIN_S: Final = 5.0
"""Beyond scan-workers.time, after which a scan worker should have killed itself."""
_ABORT_MARGIN_S: Final = 5.0
"""For a worker to say where it stands."""
_LISTENED_LIMIT_S: Final = 2.0
"""What one look adds to a child's silence at most: a machine that stood still is no child's fault."""

WorkerMain = Callable[[Configuration, int, Birth], int]
ControlMain = Callable[[Configuration], int]
ScanMain = Callable[[Configuration, int, Birth, socket.socket], int]


@dataclass(slots=True)
class Supervisor:
    """Runs the gateway until it is told to stop.

    orders: what administrators want. worker, control: what the children run. handed: listening
    sockets that systemd opened, by listen address.
    """

    orders: Orders
    worker: WorkerMain
    control: ControlMain
    log: Log
    workers: int
    notifier: Notifier
    scan: ScanMain | None = None
    """What scan workers run; None: there are none."""
    scan_workers: Callable[[Configuration], int] = lambda _: 0
    """How many a configuration wants."""
    former: tuple[int, ...] = ()
    """Numbers of workers there are no more, whose stores still hold mail: they deliver, and listen to nobody."""
    handed: dict[str, socket.socket] = field(default_factory=dict)
    reopen_log: Callable[[], None] = lambda: None
    """SIGUSR1: the log file was rotated."""
    leave: Callable[[], None] = lambda: None
    """In a child: let go of what only the supervisor holds."""
    _sockets: dict[str, list[socket.socket]] = field(default_factory=dict)
    _children: list[Child] = field(default_factory=list)
    _stopping_since: float | None = None
    _scan_socket: socket.socket | None = None
    _scan_wanted: int = 0
    _scanned_for: Configuration | None = None
    """The configuration that the scan workers were last started for: each reload makes one, also of the same text."""
    _looked_at: float = 0.0
    _counts: MappedCounts | None = None
    """Of clients, in memory of all workers; None: there is one."""
    _ears: Ears = field(init=False, repr=False)
    _desk: WaitingSocket = field(init=False, repr=False)

    @property
    def configuration(self) -> Configuration:
        """In force."""
        return self.orders.configuration

    def run(self) -> int:
        """Until SIGTERM or SIGINT. Returns the exit status; raises WorldFault when it cannot start."""
        self._ears = Ears(_SIGNALS)
        settings = self.configuration.settings
        self._bind()
        if self.workers > 1:
            self._counts = MappedCounts(self.workers)
        become(settings.server.user)
        self._desk = self._open_desk()
        self._children = [Child(number) for number in (*range(self.workers), *self.former)]
        if settings.metrics.listen:
            self._children.append(Child(-1))
        self.orders.children = self._children
        self._fit_scan_workers()
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
        self._desk.close()
        self._close_scan_socket()
        self.log.write("info", "stopped")
        return 0

    def _bind(self) -> None:
        bindings = bindings_of(self.configuration.settings.receive_connectors)
        for binding in bindings:
            if binding not in self.handed and in_use(binding) and not self._wait_until_free(binding):
                raise WorldFault(
                    f"cannot listen on {binding}: another program listens there: `ss -ltnp` says which"
                )
        # A socket that was handed over is one for all workers: whoever is free takes the next connection.
        self._sockets = {
            binding: [self.handed[binding]] * self.workers
            if binding in self.handed
            else bind(binding, self.workers)
            for binding in bindings
        }

    def _wait_until_free(self, binding: str) -> bool:
        """A gateway that was killed leaves workers that finish: give them a moment."""
        deadline = time.monotonic() + _STOP_MARGIN_S
        while time.monotonic() < deadline:
            time.sleep(0.1)
            if not in_use(binding):
                return True
        return False

    def _open_desk(self) -> WaitingSocket:
        path = gateway_socket(self.configuration.settings)
        try:
            return WaitingSocket(str(path))
        except OSError as error:
            raise WorldFault(f"{path} cannot be made: {error.strerror}") from error

    def _start(self, child: Child) -> None:
        child.started_at = child.heard_at = time.monotonic()
        child.restart_at = 0.0
        child.hang_up()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        supervisor = os.getpid()
        self._ears.block()
        child.pid = os.fork()
        if child.pid:
            self._ears.unblock()
            theirs.close()
            child.line, child.was_started = ours, True
            return
        status = 1
        try:
            ours.close()
            status = self._in_child(child, supervisor, theirs)
        except BaseException as error:  # noqa: BLE001  # the edge of a process: say why it ends
            trace = "".join(traceback.format_exception(error))[-TRACE_LIMIT_CHARACTERS:]
            self.log.write("error", "child-failed", child=child.name, error=repr(error), trace=trace)
        finally:
            os._exit(status)  # never back into the supervisor's code

    def _in_child(self, child: Child, supervisor: int, line: socket.socket) -> int:
        die_with(supervisor)
        call_process(child.short_name)
        self._ears.close()
        # A terminal's reach the whole group, and so may others: we pass on what children should hear.
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        self._ears.unblock()
        self._desk.leave()
        self.leave()
        for other in self._children:
            other.hang_up()
        mine: dict[str, socket.socket] = {}
        for binding, copies in self._sockets.items():
            for owner, listening in enumerate(copies):
                if owner == child.number:
                    mine[binding] = listening
                else:
                    listening.close()
        if child.scan_number >= 0:
            assert self.scan is not None
            assert self._scan_socket is not None
            birth = Birth(sockets={}, held={}, line=line)
            return self.scan(self.configuration, child.scan_number, birth, self._scan_socket)
        if self._scan_socket is not None:
            self._scan_socket.close()
        if not child.is_worker:
            line.close()
            return self.control(self.configuration)
        counts = self._counts if child.number < self.workers else None
        birth = Birth(
            sockets=mine,
            held=dict(self.orders.held),
            line=line,
            neighbours=counts.of_worker(child.number) if counts is not None else None,
            is_first=not child.was_started,
        )
        return self.worker(self.configuration, child.number, birth)

    def _wait(self) -> None:
        """Signals, orders and signs of life, or a second without."""
        ears: list[Child | WaitingSocket] = [child for child in self._children if child.line is not None]
        numbers, heard = self._ears.listen(
            [*ears, self._desk], 0.05 if self._due_soon() else self._patience_s()
        )
        for number in numbers:
            self._obey(number)
        now = time.monotonic()
        for one in heard:
            if isinstance(one, Child):
                one.hear(now)
            elif self._stopping_since is None:
                self.orders.take(one)
        self._end_silence(now)
        self._reap()
        self._refit_scan_workers()
        self._restart_due()
        self._lose_patience()
        self._tell_systemd(now)

    def _patience_s(self) -> float:
        return min(1.0, self.notifier.watchdog_s / 4) if self.notifier.watchdog_s else 1.0

    def _obey(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            self._stop()
        elif number == signal.SIGUSR2:
            self.log.write(
                "warning", "signal-ignored", signal="SIGUSR2", means="nothing here; SIGUSR1 reopens logs"
            )
        elif number == signal.SIGHUP and self._stopping_since is None:
            self.orders.reload()
        elif number == signal.SIGUSR1:
            self.reopen_log()
            for child in self._children:
                if child.pid:
                    os.kill(child.pid, signal.SIGUSR1)

    def _tell_systemd(self, now: float) -> None:
        """READY once every worker serves; WATCHDOG while none of those that serve is silent for too long."""
        workers = [child for child in self._children if child.is_worker]
        if not self.orders.is_announced and workers and all(child.is_ready for child in workers):
            self.orders.is_announced = True
            self.notifier.ready(self.orders.status)
        if self.notifier.watchdog_s and all(
            now - child.heard_at < self.notifier.watchdog_s for child in workers if child.is_ready
        ):
            self.notifier.alive()

    def _due_soon(self) -> bool:
        return any(child.restart_at for child in self._children)

    def _stop(self) -> None:
        again = self._stopping_since is not None
        self._stopping_since = self._stopping_since or time.monotonic()
        self.log.write("info", "stopping", at_once=again)
        self.notifier.stopping()
        for child in list(self._children):
            if not child.pid:
                self._children.remove(child)
            elif (
                child.scan_number < 0 or again
            ):  # scan workers go last: mail that is being taken in needs them
                os.kill(child.pid, signal.SIGKILL if again else signal.SIGTERM)
        self._stop_scan_workers_when_alone()

    def _stop_scan_workers_when_alone(self) -> None:
        if self._stopping_since is not None and all(child.scan_number >= 0 for child in self._children):
            for child in self._children:
                os.kill(child.pid, signal.SIGTERM)

    def _lose_patience(self) -> None:
        limit_s = self.configuration.settings.server.stop_timeout_s + _STOP_MARGIN_S
        if self._stopping_since is not None and time.monotonic() - self._stopping_since > limit_s:
            self._stop()

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
        child.hang_up()
        if self._stopping_since is not None:
            self._children.remove(child)
            self._stop_scan_workers_when_alone()
            return
        if child.scan_number >= self._scan_wanted:
            self._children.remove(child)
            return
        code = os.waitstatus_to_exitcode(status)
        child.quick_deaths = child.quick_deaths + 1 if lived_s < _QUICK_DEATH_S and code else 0
        delay_s = min(_RESTART_LIMIT_S, 0.05 * 2**child.quick_deaths) if code > 0 else 0.0
        child.restart_at = time.monotonic() + delay_s
        if code:
            self.orders.ended[child.name] = self.orders.ended.get(child.name, 0) + 1
        level = "error" if code else "info"
        self.log.write(level, "child-ended", child=child.name, status=code, restart_in_s=delay_s)

    def _restart_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.restart_at and not child.pid and now >= child.restart_at:
                self._start(child)

    # -- scan workers, and processes that stand still ------------------------------------------------

    def _fit_scan_workers(self) -> None:
        """As many as the configuration in force wants, each of them started with it."""
        if self.scan is None or self._scanned_for is self.configuration:
            return
        if self._stopping_since is not None:
            return
        self._scanned_for = self.configuration
        self._scan_wanted = self.scan_workers(self.configuration)
        if self._scan_wanted and self._scan_socket is None:
            self._scan_socket = self._open_scan_socket()
        there = [child for child in self._children if child.scan_number >= 0]
        for child in there:
            if child.pid:
                os.kill(
                    child.pid, signal.SIGTERM
                )  # after the question it is with; its successor has the new file
        now = time.monotonic()
        for number in range(len(there), self._scan_wanted):
            self._children.append(Child(-2 - number, restart_at=now))

    def _refit_scan_workers(self) -> None:
        """After a reload: what fails now costs opinions of third parties, not the gateway."""
        try:
            self._fit_scan_workers()
        except (WorldFault, ValueError) as error:
            self.log.write("error", "scan-workers-failed", reason=str(error))

    def _open_scan_socket(self) -> socket.socket:
        path = scan_socket(self.configuration.settings)
        try:
            return listening_socket(str(path))
        except OSError as error:
            raise WorldFault(f"{path} cannot be made: {error.strerror}") from error

    def _close_scan_socket(self) -> None:
        if self._scan_socket is not None:
            self._scan_socket.close()
            scan_socket(self.configuration.settings).unlink(missing_ok=True)

    def _end_silence(self, now: float) -> None:
        """Kill a worker whose loop does not turn, and a scan worker that sits over a question for too long."""
        listened_s, self._looked_at = min(now - self._looked_at, _LISTENED_LIMIT_S), now
        settings = self.configuration.settings
        scan_limit_s = settings.scan_workers.time_s + _SCAN_MARGIN_S
        for child in self._children:
            if not child.pid or not ((child.is_ready and child.is_worker) or child.is_busy):
                continue
            child.silent_s += listened_s
            limit_s = settings.server.silence_limit_s if child.is_worker else scan_limit_s
            if not limit_s or child.silent_s <= limit_s:
                continue
            if child.is_worker and not child.was_warned:
                child.was_warned = True
                self.log.write("error", "child-silent", child=child.name, silent_s=round(child.silent_s))
                os.kill(child.pid, signal.SIGABRT)  # its stack goes to standard error (faulthandler)
            elif not child.is_worker or child.silent_s > limit_s + _ABORT_MARGIN_S:
                self.log.write("error", "child-killed", child=child.name, silent_s=round(child.silent_s))
                os.kill(child.pid, signal.SIGKILL)
