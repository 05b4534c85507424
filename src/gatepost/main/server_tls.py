"""TLS of the receive connectors, from their settings."""

from __future__ import annotations

from collections.abc import Mapping

from gatepost.adapters.certificate_watch import CertificateWatch, WatchedTls
from gatepost.adapters.certificates import Pair, ServerOptions
from gatepost.adapters.tls import ServerTls, self_signed
from gatepost.config.settings import ReceiveConnector, Settings
from gatepost.main.places import tls_directory
from gatepost.ports.log import Counters, Log


def server_tls(settings: Settings, now: float) -> dict[str, ServerTls]:
    """By connector; those without TLS are not there. now: seconds since the epoch. Raises WorldFault."""
    return {
        name: _of(settings, connector, now)
        for name, connector in settings.receive_connectors.items()
        if connector.enabled and connector.tls != "none"
    }


def certificate_watch(
    settings: Settings, doors: Mapping[str, WatchedTls], *, log: Log, counters: Counters
) -> CertificateWatch:
    """Of everything our connectors show."""
    ways = {
        name: way.certificate_file
        for name, way in settings.send_connectors.items()
        if way.enabled and way.certificate_file
    }
    return CertificateWatch(
        doors, ways, warning_s=settings.server.certificate_warning_s, log=log, counters=counters
    )


def _of(settings: Settings, connector: ReceiveConnector, now: float) -> ServerTls:
    certificate_file = connector.certificate_file
    if not certificate_file:
        hostname = connector.hostname or settings.server.hostname
        certificate_file = str(self_signed(tls_directory(settings), hostname, now=now))
    clients = connector.client_certificates
    return ServerTls(
        certificate_file,
        connector.key_file,
        more=[Pair(more.certificate_file, more.key_file) for more in connector.certificates.values()],
        options=ServerOptions(minimum=connector.tls_minimum, ask=clients.ask, ca_file=clients.ca_file),
    )
