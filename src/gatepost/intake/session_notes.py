"""Log lines of a session that are about who the client is."""

from __future__ import annotations

from typing import Final

from gatepost.intake.counter import Counter
from gatepost.model.certificate import PeerCertificate
from gatepost.model.session import Session
from gatepost.ports.log import Counters, Log

SUBJECT_LIMIT_CHARACTERS: Final = 500


def note_early_talker(counter: Counter, session: Session, greet_delay_s: float) -> None:
    """The client did not wait for the greeting."""
    counter.counters.add("early_talkers")
    counter.log.write(
        "info",
        "early-talker",
        connector=session.connector,
        session=session.session_id,
        client_ip=session.client_ip,
        limit="greet-delay",
        value=greet_delay_s,
        actual=round(counter.clock.now() - session.started_at, 3),
    )


def note_certificate(counter: Counter, session: Session, shown: PeerCertificate, identity: str) -> None:
    """A certificate the door's authorities vouch for. identity: "" for a stranger's."""
    counter.counters.add("client_certificates", connector=session.connector, identity=identity)
    counter.log.write(
        "info",
        "client-certificate",
        session=session.session_id,
        client_ip=session.client_ip,
        identity=identity,
        subject=shown.subject[:SUBJECT_LIMIT_CHARACTERS],
        fingerprints=" ".join(sorted(shown.fingerprints)),
    )


def note_tls_failure(counters: Counters, log: Log, session: Session, reason: str) -> None:
    """No handshake, or a record that is none."""
    counters.add("tls_failures")
    log.write(
        "info",
        "tls-failed",
        session=session.session_id,
        client_ip=session.client_ip,
        connector=session.connector,
        reason=reason,
    )
