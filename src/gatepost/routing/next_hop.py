"""The next hop of a recipient: a connector and, with DNS routing, a domain; and the key the queue keeps of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from gatepost.config.settings import SendConnector, Settings
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.model.queued import MailState, QueuedMail, QueuedRecipient
from gatepost.protocol.addresses import parse_mailbox
from gatepost.routing.connectors import ConnectorChoice

UNREACHABLE_KEY: Final = "unreachable"
REPORTS_KEY: Final = "reports"
_REMEMBERED: Final = 4096
SMTP_SOURCE: Final = "SMTP:"
"""What the source of a mail begins with that came in by a receive connector; its name follows."""
_READING: Final = SendConnector.model_validate(
    {"address-spaces": ("*",), "delivery": "maildir", "maildir": "/", "connections": 1}
)
"""What stands for a send connector where reports are read: one at a time."""


class HopKind(Enum):
    """How the hosts behind a next hop are found."""

    DNS = "dns"
    """The domain's MX or addresses: one queue a domain."""
    SMART_HOST = "smart"
    """The connector's smart hosts: one queue for all its domains."""
    MAILDIR = "maildir"
    """No host at all: a directory."""
    REPORTS = "reports"
    """Our own reading of reports, from where mail may go on."""
    UNREACHABLE = "unreachable"
    """No send connector carries the domain: the mail waits for a change of the configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHop:
    """Where a recipient's mail goes next.

    connector: the send connector's name; "" when unreachable.
    domain:    what DNS is asked for (DNS routing only), else "".
    key:       what the queue keeps: stable across restarts, the same for mails that may share a connection.
    Raises ValueError when a reachable hop has no connector settings.
    """

    key: str
    connector: str = ""
    kind: HopKind = HopKind.UNREACHABLE
    domain: str = ""
    send_connector: SendConnector | None = None

    def __post_init__(self) -> None:
        if (self.kind is HopKind.UNREACHABLE) != (self.send_connector is None):
            raise ValueError(f"{self.key}: a next hop that can be reached has a send connector, another none")

    @property
    def settings(self) -> SendConnector:
        """The connector's settings. Raises ValueError when unreachable."""
        if self.send_connector is None:
            raise ValueError(f"{self.key}: no send connector carries it")
        return self.send_connector

    @property
    def first_state(self) -> MailState:
        """The state in which a recipient with this next hop enters the queue."""
        return MailState.UNREACHABLE if self.kind is HopKind.UNREACHABLE else MailState.READY


_REPORTS: Final = NextHop(
    key=REPORTS_KEY, connector=REPORTS_KEY, kind=HopKind.REPORTS, send_connector=_READING
)


class Router:
    """Answers where a recipient goes, and what a stored key means. One for each configuration."""

    def __init__(self, settings: Settings, accepted: AcceptedDomains) -> None:
        """Raises ValueError for an address space nobody can read, PeerFault for such a report address."""
        self._connectors = settings.send_connectors
        self._accepted = accepted
        self._choice = ConnectorChoice(settings.send_connectors, accepted)
        self._reports = frozenset(parse_mailbox(text).key for text in settings.reports.addresses)
        # Every mail asks both several times.
        self._hop_of_domain = lru_cache(maxsize=_REMEMBERED)(self._find_hop)
        self._hop_of_key = lru_cache(maxsize=_REMEMBERED)(self._read_key)
        hops = [_hop(name, way, "") for name, way in settings.send_connectors.items()]
        reports = [REPORTS_KEY] if self._reports else []
        self.own_keys = frozenset([*reports, *[hop.key for hop in hops if hop.kind is not HopKind.DNS]])
        """Keys of next hops that are no domain's: nobody but the configuration makes them."""
        ways = {name for name, way in settings.send_connectors.items() if way.enabled}
        self._linked = {
            f"{SMTP_SOURCE}{name}": door.send_connector
            for name, door in settings.receive_connectors.items()
            if door.send_connector in ways
        }

    def next_hop_for(
        self, address: Address, *, size_bytes: int = 0, source: str = "", was_read: bool = False
    ) -> NextHop:
        """The next hop of a recipient; <postmaster> without a domain goes to our default domain.

        size_bytes, source: of the mail (QueuedMail), which may decide about the connector.
        was_read: its mail was looked into for reports, and goes on.
        """
        if self._reports and not was_read and address.key in self._reports:
            return _REPORTS
        return self._hop_of_domain(
            address.domain or self._accepted.default_domain,
            size_bytes if self._choice.weighs else 0,
            source if self._linked else "",
        )

    def _find_hop(self, domain: str, size_bytes: int, source: str) -> NextHop:
        name = self._linked.get(source)
        if name is None and domain:
            name = self._choice.connector_for(domain, size_bytes)
        if name is None:
            return NextHop(key=UNREACHABLE_KEY)
        return _hop(name, self._connectors[name], domain)

    def next_hop_of(self, mail: QueuedMail, recipient: QueuedRecipient, *, was_read: bool = False) -> NextHop:
        """The next hop of a recipient of a mail in the queue. was_read: as above."""
        return self.next_hop_for(
            recipient.recipient.address, size_bytes=mail.size_bytes, source=mail.source, was_read=was_read
        )

    def key_for(self, mail: QueuedMail, recipient: QueuedRecipient, via: str = "") -> str:
        """The key of its next hop; via: of a send connector somebody chose. Raises WorldFault when there is none."""
        if not via:
            return self.next_hop_of(mail, recipient).key
        connector = self._connectors.get(via)
        if connector is None or not connector.enabled:
            raise WorldFault(f"there is no enabled send connector {via!r} in the configuration in force")
        domain = recipient.recipient.address.domain or self._accepted.default_domain
        return _hop(via, connector, domain).key

    def by_key(self, key: str) -> NextHop:
        """What a key in the queue means today.

        Of kind UNREACHABLE when the connector has gone, is disabled or goes another way
        now: the caller asks next_hop_for again and settles the recipient with the new key.
        """
        return self._hop_of_key(key)

    def _read_key(self, key: str) -> NextHop:
        if key == REPORTS_KEY and self._reports:
            return _REPORTS
        name, kind, domain = _parts(key)
        connector = self._connectors.get(name)
        if connector is None or not connector.enabled:
            return NextHop(key=key)
        hop = _hop(name, connector, domain)
        matches = hop.key == key and (bool(domain) or hop.kind is not HopKind.DNS)
        return hop if matches and kind else NextHop(key=key)


def _hop(name: str, connector: SendConnector, domain: str) -> NextHop:
    if connector.delivery == "maildir":
        kind, middle, domain = HopKind.MAILDIR, "maildir", ""
    elif connector.smart_hosts:
        kind, middle, domain = HopKind.SMART_HOST, "smart", ""
    else:
        kind, middle = HopKind.DNS, f"{connector.delivery}:{domain}"
    return NextHop(
        key=f"{_escaped(name)}:{middle}", connector=name, kind=kind, domain=domain, send_connector=connector
    )


def _parts(key: str) -> tuple[str, str, str]:
    """Connector, kind word, domain: "internet:smtp:[IPv6:2001:db8::1]" has colons in its domain."""
    name, _, rest = key.partition(":")
    kind, _, domain = rest.partition(":")
    return name.replace("%3A", ":").replace("%25", "%"), kind, domain


def _escaped(name: str) -> str:
    return name.replace("%", "%25").replace(":", "%3A")
