"""`python -m bench.calls [--work accept] [--sessions 10] [--each] [--messages 3000]`: what a mail costs a worker.

A worker with the benchmark's configuration runs in this process, under a load from another. First its CPU time is taken
(the lowest of three rounds), then its Python and C calls are counted by cProfile, which no other work on the machine
disturbs.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, TypeVar

from bench.gatepost_server import Gatepost, ListingGatepost
from bench.load import load_command
from bench.measures import MESSAGE_BYTES, REFUSALS, Scenario, Work
from bench.sink import MailSink
from gatepost.config.load import Configuration, load
from gatepost.main import worker_life as worker
from gatepost.main.children import Birth
from gatepost.main.sockets import bind, bindings_of
from gatepost.policy import order

T = TypeVar("T")
ROUNDS: Final = 3
_ROOT: Final = f"{Path(worker.__file__).parents[1]}/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one message, or of one refused session."""

    cpu_us: float
    system_us: float
    """Of cpu_us, the kernel's."""
    store_us: float
    """Of cpu_us, that of threads beside the loop's: nearly all of it waits for the disk with COMMIT."""
    calls: float
    python_calls: float


@dataclass(frozen=True, slots=True)
class Line:
    """One function. room: the folder of gatepost it belongs to; what is no part of it, by kind."""

    room: str
    function: str
    calls: int
    own_s: float
    cumulated_s: float


def line_of(entry: Any) -> Line:
    """entry: of cProfile's getstats(). (pstats merges what dataclasses generate, and loses most of it.)"""
    code, calls = entry.code, entry.callcount
    if isinstance(code, str):
        return Line("C", code, calls, entry.inlinetime, entry.totaltime)
    file = code.co_filename
    inside = file.removeprefix(_ROOT)
    room = inside.partition("/")[0] if inside != file else "generated" if file[0] == "<" else "libraries"
    name = f"{inside}:{code.co_firstlineno} {code.co_qualname}"
    return Line(room, name, calls, entry.inlinetime, entry.totaltime)


class Worker:
    """run_worker in this process's main thread, and in another thread what loads and watches it."""

    def __init__(self, server: Gatepost) -> None:
        self._server = server
        server.prepare()
        self._configuration: Configuration = load(
            str(server.directory / "gatepost.toml"),
            agent_settings=order.agent_settings,
            finding_names=order.finding_names,
        )
        self._ours, self._its = socket.socketpair()
        self._loop = worker.loop_factory(self._configuration.settings)()
        self._failure: BaseException | None = None
        self.profile = cProfile.Profile()

    def run(self, scenario: Scenario, *, warm_up: int) -> Cost:
        """Both measurements. Raises RuntimeError when the load fails."""
        found: list[Cost] = []

        def watch() -> None:
            try:
                while not self._ours.recv(1):
                    time.sleep(0.01)
                found.append(self._measure(scenario, warm_up))
            except BaseException as error:  # noqa: BLE001 - told to the main thread, which must not wait for ever
                self._failure = error
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        bindings = bindings_of(self._configuration.settings.receive_connectors)
        birth = Birth(sockets={b: bind(b, 1)[0] for b in bindings}, held={}, line=self._its)
        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        worker.loop_factory = lambda settings: lambda: self._loop  # noqa: ARG005 - the signature of what it replaces
        worker.run_worker(self._configuration, 0, birth)
        watching.join()
        self._server.stop_names()
        if self._failure is not None:
            raise RuntimeError(f"no figures: {self._failure}") from self._failure
        return found[0]

    def _measure(self, scenario: Scenario, warm_up: int) -> Cost:
        self._offer(scenario, warm_up)
        spent = min((self._spent(scenario) for _ in range(ROUNDS)), key=lambda one: one[0])
        self._on_the_loop(self.profile.enable)
        self._offer(scenario, scenario.messages)
        self._on_the_loop(self.profile.disable)
        return Cost(
            cpu_us=1e6 * spent[0] / scenario.messages,
            system_us=1e6 * spent[1] / scenario.messages,
            store_us=1e6 * spent[2] / scenario.messages,
            calls=sum(line.calls for line in self.lines) / scenario.messages,
            python_calls=sum(line.calls for line in self.lines if line.room != "C") / scenario.messages,
        )

    @property
    def lines(self) -> list[Line]:
        """Every function that was called."""
        return [line_of(entry) for entry in self.profile.getstats()]

    def _spent(self, scenario: Scenario) -> tuple[float, float, float]:
        """CPU seconds of one round: all, the kernel's, those of threads beside the loop's."""
        before, loop_before_s = os.times(), self._on_the_loop(time.thread_time)
        self._offer(scenario, scenario.messages)
        after, loop_after_s = os.times(), self._on_the_loop(time.thread_time)
        system_s = after.system - before.system
        all_s = after.user - before.user + system_s
        return all_s, system_s, all_s - (loop_after_s - loop_before_s)

    def _offer(self, scenario: Scenario, messages: int) -> None:
        sink = self._server.sink
        delivered = sink.mails if sink is not None else 0
        part = Scenario(scenario.sessions, scenario.kept, messages, scenario.work, scenario.size_bytes)
        command = load_command(part, self._server.port)
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr.decode("utf-8", "replace")[-300:])
        if sink is not None:
            sink.wait_for(delivered + messages)
        time.sleep(0.3)  # what is put off

    def _on_the_loop(self, what: Callable[[], T]) -> T:
        told: Future[T] = Future()
        self._loop.call_soon_threadsafe(lambda: told.set_result(what()))
        return told.result(10)


def main(arguments: Sequence[str] | None = None) -> int:
    """As the module says."""
    wishes = _parser().parse_args(arguments)
    work = Work(wishes.work)
    scenario = Scenario(wishes.sessions, not wishes.each, wishes.messages, work, wishes.size)
    with tempfile.TemporaryDirectory(prefix="gatepost-calls-", dir=wishes.directory) as directory:
        place = Path(directory)
        with MailSink(place) if work is Work.RELAY else nullcontext() as sink:
            is_listing = work in REFUSALS - {Work.REFUSED}
            running = Worker(ListingGatepost(place) if is_listing else Gatepost(place, sink))
            cost = running.run(scenario, warm_up=max(scenario.sessions * 2, scenario.messages // 5))
    _tell(running, scenario, cost, wishes.top)
    return 0


def _tell(running: Worker, scenario: Scenario, cost: Cost, top: int) -> None:
    lines = running.lines
    rooms: dict[str, list[float]] = {}
    for line in lines:
        room = rooms.setdefault(line.room, [0.0, 0.0])
        room[0] += line.calls
        room[1] += line.own_s
    for key in ("own_s", "cumulated_s", "calls") if top else ():
        print(f"{'calls':>8} {'own us':>8} {'all us':>8}  by {key}")
        for line in sorted(lines, key=attrgetter(key), reverse=True)[:top]:
            each = 1e6 / scenario.messages
            figures = f"{line.calls / scenario.messages:8.1f} {line.own_s * each:8.2f} {line.cumulated_s * each:8.2f}"
            print(f"{figures}  {line.function}")
    for name, (calls, own_s) in sorted(rooms.items(), key=lambda item: -item[1][1]):
        print(
            f"{name:12} {calls / scenario.messages:8.1f} calls {1e6 * own_s / scenario.messages:8.1f} us profiled"
        )
    print(
        f"{scenario.title}: {cost.cpu_us:.0f} us CPU (kernel {cost.system_us:.0f}, store's thread "
        f"{cost.store_us:.0f}), {cost.calls:.1f} calls, {cost.python_calls:.1f} of them Python's"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description=__doc__)
    parser.add_argument("--work", choices=[work.value for work in Work], default="accept")
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--each", action="store_true", help="a connection for each message")
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--size", type=int, default=MESSAGE_BYTES, help="octets of a message")
    parser.add_argument("--top", type=int, default=0, help="so many functions by own time, and by calls")
    parser.add_argument("--directory", default=os.environ.get("BENCH_DIRECTORY", "/var/tmp"))
    return parser


if __name__ == "__main__":
    sys.exit(main())
