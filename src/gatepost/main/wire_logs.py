"""The protocol and connectivity logs of one worker, as [wire-logs] and the connectors say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from gatepost.adapters.csv_files import CsvFiles, Keep
from gatepost.config.settings import Settings
from gatepost.delivery.watch import OutgoingLogs
from gatepost.main.places import wire_log_directory
from gatepost.ports.world import Clock, Randomness
from gatepost.records.wire_log import CONNECTIVITY_FIELDS, PROTOCOL_FIELDS, Sink, header_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLogFiles:
    """The files that are written; none of a kind nobody asked for."""

    received: CsvFiles | None
    sent: CsvFiles | None
    connectivity: CsvFiles | None

    @property
    def protocol(self) -> Sink | None:
        """For the doors."""
        return self.received.write if self.received else None

    def outgoing(self, clock: Clock, randomness: Randomness) -> OutgoingLogs | None:
        """For the courier."""
        if self.sent is None and self.connectivity is None:
            return None
        return OutgoingLogs(
            now=clock.now,
            prefix=randomness.token_hex(4),
            protocol=self.sent.write if self.sent else None,
            connectivity=self.connectivity.write if self.connectivity else None,
        )

    def close(self) -> None:
        """Write what waits."""
        for files in (self.received, self.sent, self.connectivity):
            if files is not None:
                files.close()


def open_wire_logs(settings: Settings, worker: int, clock: Clock) -> WireLogFiles:
    """Those that somebody wants. Raises WorldFault when their directory cannot be made."""
    wanted = settings.wire_logs
    keep = Keep(file_bytes=wanted.file_bytes, directory_bytes=wanted.directory_bytes, age_s=wanted.age_s)

    def files(prefix: str, log_type: str, fields: tuple[str, ...], is_wanted: bool) -> CsvFiles | None:
        if not is_wanted:
            return None
        header = partial(header_lines, log_type, fields)
        return CsvFiles(wire_log_directory(settings, worker), prefix, keep, header=header, now=clock.now)

    doors = any(door.protocol_log for door in settings.receive_connectors.values())
    ways = any(way.protocol_log for way in settings.send_connectors.values())
    return WireLogFiles(
        received=files("RECV", "SMTP Receive Protocol Log", PROTOCOL_FIELDS, doors),
        sent=files("SEND", "SMTP Send Protocol Log", PROTOCOL_FIELDS, ways),
        connectivity=files(
            "CONNECTLOG", "Transport Connectivity Log", CONNECTIVITY_FIELDS, wanted.connectivity
        ),
    )
