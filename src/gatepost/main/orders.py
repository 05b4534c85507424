"""What administrators want of a running gateway: another configuration, connectors that pause; told to every worker."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gatepost.adapters.control_socket import FRAME_LIMIT_BYTES, WaitingSocket
from gatepost.config.errors import ConfigurationErrors, closest
from gatepost.config.load import Configuration
from gatepost.config.log_settings import Log as LogSettings
from gatepost.control.commands import AnyCommand, Refused, SetConnector, TakeConfiguration
from gatepost.control.gateway import (
    STATE_AFTER,
    AnyGatewayReply,
    AskConfiguration,
    AskWorkers,
    Held,
    HoldConnector,
    InForce,
    Life,
    Mistakes,
    RefusedReload,
    Reload,
    Reloaded,
    Restarted,
    Workers,
    decode_command,
    encode,
    mistakes_of,
)
from gatepost.main.children import Child
from gatepost.main.lasting import needs_restart
from gatepost.main.systemd import Notifier
from gatepost.model.connector_state import ConnectorState
from gatepost.model.fault import WorldFault
from gatepost.ports.log import Log

_TEXT_LIMIT_BYTES: Final = FRAME_LIMIT_BYTES - 65536

START_PATIENCE_S: Final = 5.0
"""How long an order waits for a worker that was just started."""

AskWorker = Callable[[int, AnyCommand], str]
"""(worker, command) -> why it was not done, "" when it was. Raises WorldFault when there is no answer."""


@dataclass(slots=True, kw_only=True)
class Orders:
    """The configuration in force and the connectors that do not run; how both are changed.

    load: reads the file again, raising ConfigurationErrors or WorldFault. change_log: the log as other
    settings want it, raising WorldFault. now: seconds since the epoch.
    """

    configuration: Configuration
    load: Callable[[], Configuration]
    ask: AskWorker
    log: Log
    change_log: Callable[[LogSettings, LogSettings], None]
    notifier: Notifier
    now: Callable[[], float]
    children: Sequence[Child] = ()
    is_announced: bool = False
    """systemd knows that every worker serves."""
    held: dict[str, ConnectorState] = field(default_factory=dict)
    """Connectors that do not run; kept over reloads and deaths of workers, forgotten when the gateway stops."""
    ended: dict[str, int] = field(default_factory=dict)
    """How often a process of each name ended without having been told to."""
    _refused_last: RefusedReload | None = None

    @property
    def status(self) -> str:
        """One line for `systemctl status`."""
        workers = sum(child.is_worker for child in self.children)
        return f"{workers} worker{'s' if workers != 1 else ''}, configuration {self.configuration.revision}"

    def take(self, desk: WaitingSocket) -> None:
        """Answer the administrator who waits at the socket."""
        desk.converse(self._answer)

    def reload(self) -> AnyGatewayReply:
        """Validate first; then every worker goes on with the new file, and keeps its sessions."""
        if not self.is_announced:  # systemd is told of a start still
            return self._reload()
        self.notifier.reloading()
        try:
            return self._reload()
        finally:
            self.notifier.ready(self.status)

    def _answer(self, request: bytes) -> bytes:
        try:
            command = decode_command(request)
        except ValueError as error:
            return encode(Refused(str(error)))
        match command:
            case Reload():
                return encode(self.reload())
            case HoldConnector():
                return encode(self._hold(command))
            case AskWorkers():
                lives = (Life(c.number, c.is_ready, c.quick_deaths) for c in self.children if c.is_worker)
                down = {c.name: c.quick_deaths for c in self.children if not c.is_worker and not c.pid}
                return encode(
                    Workers(lives=tuple(lives), refused=self._refused_last, ended=self.ended, down=down)
                )
            case AskConfiguration():
                now = self.configuration
                return encode(InForce(path=os.path.abspath(now.path), text=now.text))

    def _reload(self) -> Reloaded | Mistakes | Refused:
        before = self.configuration
        try:
            fresh = self.load()
        except ConfigurationErrors as errors:
            for error in errors.errors:
                self.log.write("error", "reload-refused", error=str(error))
            self._goes_on(str(errors.errors[0]), others=len(errors.errors) - 1)
            return mistakes_of(errors)
        except WorldFault as fault:
            return self._refused(fault.reason)
        if why_not := needs_restart(before.settings, fresh.settings):
            return self._refused(why_not)
        if bool(before.settings.metrics.listen) != bool(fresh.settings.metrics.listen):
            return self._refused("metrics.listen was or is empty: that needs a restart")
        try:
            self.change_log(before.settings.log, fresh.settings.log)
        except WorldFault as fault:
            return self._refused(fault.reason)
        self.configuration, self._refused_last = fresh, None
        doors = fresh.settings.receive_connectors
        self.held = {n: state for n, state in self.held.items() if n in doors and doors[n].enabled}
        self.log.write("info", "reloading", revision=fresh.revision)
        return self._pass_on(before, fresh)

    def _refused(self, reason: str) -> Refused:
        self.log.write("error", "reload-refused", error=reason)
        self._goes_on(reason)
        return Refused(reason)

    def _goes_on(self, reason: str, *, others: int = 0) -> None:
        """Remember why the older configuration is still in force: `gatepost status` and the metrics say so."""
        more = f" (and {others} more)" if others else ""
        self._refused_last = RefusedReload(self.now(), f"{reason}{more}")
        self.log.write("warning", "old-configuration-goes-on", revision=self.configuration.revision)

    def _pass_on(self, before: Configuration, fresh: Configuration) -> Reloaded:
        command = TakeConfiguration(path=fresh.path, text=fresh.text)
        went_on, restarted = [], []
        for child in self.children:
            if not child.pid:
                continue  # it is started with the new configuration
            if child.scan_number >= 0:
                continue  # the supervisor starts them anew
            if not child.is_worker:
                if (before.settings.metrics, before.settings.log) != (
                    fresh.settings.metrics,
                    fresh.settings.log,
                ):
                    os.kill(child.pid, signal.SIGTERM)
            elif why_not := self._why_not(child, command):
                self.log.write("warning", "worker-restarts", worker=child.number, reason=why_not)
                os.kill(child.pid, signal.SIGTERM)
                restarted.append(Restarted(child.number, why_not))
            else:
                went_on.append(child.number)
        warnings = tuple(str(warning) for warning in fresh.warnings)
        return Reloaded(
            revision=fresh.revision, workers=tuple(went_on), restarted=tuple(restarted), warnings=warnings
        )

    def _why_not(self, child: Child, command: TakeConfiguration | SetConnector) -> str:
        if not child.becomes_ready(START_PATIENCE_S):
            return "it is starting"
        if isinstance(command, TakeConfiguration) and len(command.text.encode()) > _TEXT_LIMIT_BYTES:
            return "the file is too large to be handed over"
        try:
            return self.ask(child.number, command)
        except WorldFault as fault:
            return fault.reason

    def _hold(self, command: HoldConnector) -> Held | Refused:
        doors = [n for n, door in self.configuration.settings.receive_connectors.items() if door.enabled]
        if command.name not in doors:
            near = closest(command.name, doors)
            hint = f", did you mean {near}?" if near else f" (there are: {', '.join(doors) or 'none'})"
            return Refused(f"there is no enabled receive connector {command.name!r}{hint}")
        now, state = self.held.get(command.name, ConnectorState.RUNNING), STATE_AFTER[command.verb]
        if command.verb == "resume" and now is ConnectorState.STOPPED:
            return Refused(f"{command.name} is stopped: `gatepost connector start {command.name}` starts it")
        self.held = {n: s for n, s in self.held.items() if n != command.name}
        if state is not ConnectorState.RUNNING:
            self.held[command.name] = state
        self.log.write("warning", "connector-state", connector=command.name, state=state.value, by=command.by)
        order = SetConnector(name=command.name, state=state)
        for child in self.children:
            if child.pid and child.is_worker and (why_not := self._why_not(child, order)):
                self.log.write("warning", "worker-restarts", worker=child.number, reason=why_not)
                os.kill(child.pid, signal.SIGTERM)  # its successor is told at its birth
        return Held(state)
