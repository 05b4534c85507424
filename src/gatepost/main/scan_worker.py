"""A scan worker: behind walls, one question after the other, until it is stopped or a mail kills it.

It has third parties' agents and nothing of ours that is worth having: no store, no keys, no network. Whoever
asked learns of its death by the end of the connection; the supervisor starts the next one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import select
import signal
import socket
import sys
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from gatepost.adapters.sandbox import enclose
from gatepost.adapters.scan_socket import read_question, write_answer
from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.main.children import ALIVE, BUSY, READY, Birth
from gatepost.main.logs import open_log
from gatepost.main.places import state_directory
from gatepost.model.verdict import Verdict
from gatepost.policy.agent import Agent
from gatepost.policy.assembly import third_party_agents
from gatepost.policy.scan_question import decode_question, encode_bug, encode_verdict
from gatepost.policy.third_party import find_third_party
from gatepost.routing.accepted import accepted_domains

_TRACE_LIMIT_CHARACTERS: Final = 900
_HIGHEST_DESCRIPTOR: Final = 65536
_FULL_AT: Final = 0.5
"""Of scan-workers.memory: beyond it a scan worker ends after its answer, and the next begins empty."""


def scan_workers_of(configuration: Configuration) -> int:
    """How many a configuration wants: none where there is no agent of a third party."""
    settings = configuration.settings
    if not settings.scan_workers.processes:
        return 0
    third_party = find_third_party(settings.policy.agents_directory)
    return settings.scan_workers.processes if third_party.agents else 0


def run_scan(configuration: Configuration, number: int, birth: Birth, listening: socket.socket) -> int:
    """A scan worker's whole life; returns its exit status."""
    settings = configuration.settings
    log = open_log(settings.log, f"scan-{number}")
    accepted = accepted_domains(settings)
    third_party = find_third_party(settings.policy.agents_directory)
    agents = third_party_agents(settings, configuration.agents, third_party, accepted)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the log was rotated: we have none from now on
    memory = os.open("/proc/self/statm", os.O_RDONLY)
    gc.freeze()
    problems = enclose(_readable(settings), memory_bytes=settings.scan_workers.memory_bytes)
    if number == 0:  # the others would say the same
        for problem in problems:
            log.write("warning", "scan-walls", text=problem)
    log.close()
    _let_go_of_everything_but(listening.fileno(), birth.line.fileno(), memory)
    _serve(_Desk(settings, agents, memory), listening, birth.line)
    return 0


class _Desk:
    """Answers one question at a time, within its time."""

    def __init__(self, settings: Settings, agents: Mapping[tuple[str, str], Agent], memory: int) -> None:
        """memory: /proc/self/statm, opened while that was possible."""
        self._time_s = settings.scan_workers.time_s
        self._cpu_time_s = settings.scan_workers.cpu_time_s
        self._memory_bytes = settings.scan_workers.memory_bytes
        self._agents = agents
        self._memory = memory
        self._began_bytes = self._resident_bytes()

    @property
    def is_full(self) -> bool:
        """What agents have left lying takes too much memory."""
        return self._resident_bytes() - self._began_bytes > self._memory_bytes * _FULL_AT

    def answer(self, octets: bytes) -> bytes:
        """SIGALRM or SIGPROF, which nobody handles, end the process when it takes too long."""
        signal.setitimer(signal.ITIMER_REAL, self._time_s)
        signal.setitimer(signal.ITIMER_PROF, self._cpu_time_s)
        try:
            question = decode_question(octets)
            agent = self._agents[question.connector, question.agent]
            verdict = agent.examine(question.view, question.known)
            if type(verdict) is not Verdict or verdict.agent != agent.name:
                raise TypeError(
                    f"examine() must give a Verdict in the agent's own name, not {verdict!r:.100}"
                )
            return encode_verdict(verdict, question)
        # An edge: a bug in an agent is told to whoever asked, and puts the mail off there.
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a documented edge
            trace = "".join(traceback.format_exception(error))[-_TRACE_LIMIT_CHARACTERS:]
            return encode_bug(type(error).__name__, trace)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            signal.setitimer(signal.ITIMER_PROF, 0.0)

    def _resident_bytes(self) -> int:
        return int(os.pread(self._memory, 200, 0).split()[1]) * resource.getpagesize()


def _serve(desk: _Desk, listening: socket.socket, line: socket.socket) -> None:
    """Stops between two questions only: SIGTERM waits while one is being answered."""
    line.setblocking(False)
    _say(line, READY)
    while not desk.is_full:
        select.select([listening], [], [])
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        if (wire := _accepted(listening)) is not None:
            _say(line, BUSY)
            with wire, contextlib.suppress(OSError, EOFError):  # whoever asked may be gone
                write_answer(wire, desk.answer(read_question(wire)))
            _say(line, ALIVE)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


def _accepted(listening: socket.socket) -> socket.socket | None:
    """None when another scan worker was quicker."""
    try:
        wire, _ = listening.accept()
    except OSError:
        return None
    return wire


def _say(line: socket.socket, word: bytes) -> None:
    with contextlib.suppress(OSError):  # the supervisor does not listen, or is gone
        line.send(word)


def _readable(settings: Settings) -> Iterable[str]:
    """The folders Python and the agents are in; never one that mail or keys are kept in."""
    state = Path(os.path.realpath(state_directory(settings)))
    found = {sys.prefix, sys.base_prefix, *sys.path, settings.policy.agents_directory}
    for name in sorted(filter(None, found)):
        place = Path(os.path.realpath(name))
        if place != state and place not in state.parents:
            yield str(place)


def _let_go_of_everything_but(*kept: int) -> None:
    """Descriptors of the supervisor: its log, its lines to others. Standard input and output lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    first = 3
    for number in sorted(kept):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, _HIGHEST_DESCRIPTOR)
