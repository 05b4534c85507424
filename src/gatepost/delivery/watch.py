"""What is written down of connections to next hops: the protocol log of a connector, the connectivity log of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gatepost.records.tracking import iso_time
from gatepost.records.wire_log import Sink, Transcript, csv_line


@dataclass(slots=True, kw_only=True)
class Watch:
    """One connection: its lines, and its end, said once."""

    transcript: Transcript | None
    ended: Callable[[int], None]
    _is_over: bool = False

    def commanded(self, octets: bytes) -> None:
        """We said this."""
        if self.transcript is not None:
            self.transcript.commanded(octets)

    def heard(self, octets: bytes) -> None:
        """The next hop said this."""
        if self.transcript is not None:
            self.transcript.heard(octets)

    def note(self, text: str) -> None:
        """TLS began, or content went out."""
        if self.transcript is not None:
            self.transcript.note(text)

    def closed(self, mails_sent: int) -> None:
        """The connection is gone."""
        if self._is_over:
            return
        self._is_over = True
        if self.transcript is not None:
            self.transcript.disconnected()
        self.ended(mails_sent)


@dataclass(slots=True, kw_only=True)
class OutgoingLogs:
    """The sinks, None where nothing is written. now: seconds since the epoch.  prefix: makes session ids unique."""

    now: Callable[[], float]
    prefix: str
    protocol: Sink | None = None
    connectivity: Sink | None = None
    _count: int = field(default=0)

    def opened(self, *, connector: str, host: str, local: str, remote: str, with_protocol: bool) -> Watch:
        """A connection to a host is there. local, remote: address and port; with_protocol: as its connector says."""
        self._count += 1
        session_id = f"{self.prefix}{self._count:08x}"
        transcript = None
        if with_protocol and self.protocol is not None:
            transcript = Transcript(
                sink=self.protocol,
                now=self.now,
                connector=connector,
                session_id=session_id,
                local=local,
                remote=remote,
            )
            transcript.connected()
        self._connectivity(session_id, connector, host, "+", f"connected to {remote}")
        return Watch(
            transcript=transcript,
            ended=lambda mails: self._connectivity(session_id, connector, host, "-", f"mails={mails}"),
        )

    def failed(self, *, connector: str, host: str, why: str) -> None:
        """A host could not be spoken to, or could not be found."""
        self._connectivity("", connector, host, ">", why)

    def _connectivity(
        self, session_id: str, source: str, host: str, direction: str, description: str
    ) -> None:
        if self.connectivity is not None:
            self.connectivity(
                csv_line(iso_time(self.now()), session_id, source, host, direction, description)
            )
