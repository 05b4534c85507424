"""What is written when one of our own parts has a bug: the edge between opinions and everything else."""

from __future__ import annotations

import traceback
from typing import Final

from gatepost.ports.log import Counters, Log

TRACE_LIMIT_CHARS: Final = 900


class Alarm:
    """Writes bugs of agents and gatherers to the log, and counts them. Never raises."""

    def __init__(self, log: Log, counters: Counters) -> None:
        self._log = log
        self._counters = counters

    def bug_in_agent(self, agent: str, stage: str, error: BaseException) -> None:
        """The mail is answered 451; somebody has to repair the agent."""
        self._write("agent-bug", agent, error, stage=stage)
        self._counters.add("agent_bugs", agent=agent)

    def bug_elsewhere(self, agent: str, stage: str, error: str, trace: str) -> None:
        """The same, from a scan worker: the error's name and the end of its trace."""
        self._log.write(
            "error", "agent-bug", name=agent, error=error, trace=trace[-TRACE_LIMIT_CHARS:], stage=stage
        )
        self._counters.add("agent_bugs", agent=agent)

    def scan_died(self, agent: str, stage: str, session_id: str, deaths: int) -> None:
        """A scan worker did not live to give its opinion. deaths: by this mail, so far."""
        self._log.write("error", "scan-died", name=agent, stage=stage, session=session_id, deaths=deaths)
        self._counters.add("scan_deaths", agent=agent)

    def bug_in_fact(self, fact: str, error: BaseException) -> None:
        """The fact is unknown; what that means each agent has said beforehand."""
        self._write("fact-bug", fact, error)
        self._counters.add("fact_bugs", fact=fact)

    def _write(self, event: str, who: str, error: BaseException, **fields: object) -> None:
        trace = "".join(traceback.format_exception(error))[-TRACE_LIMIT_CHARS:]
        self._log.write("error", event, name=who, error=type(error).__name__, trace=trace, **fields)
