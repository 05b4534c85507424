"""OpenSMTPD with two doors: one leads to the gateway, behind the other are maildirs."""

from __future__ import annotations

from typing import Final

from tests.services.apart import ServerApart

from gatepost.lab.ports import free_port

_CONF = """\
table everybody {{ "@" = nobody }}
queue ttl 1h
listen on 127.0.0.1 port {inbound} hostname osmtpd.there.example tag IN
listen on 127.0.0.1 port {outbound} hostname osmtpd.there.example tag OUT
action "keep" maildir "{dir}/mail/%{{dest.user}}" virtual <everybody>
action "gateway" relay host "smtp://127.0.0.1:{gateway}" helo "osmtpd.there.example"
match tag OUT from any for any action "gateway"
match tag IN from any for rcpt-to "nobody@elsewhere.example" reject
match tag IN from any for any action "keep"
match from local for any action "keep"
"""


class OpensmtpdServer(ServerApart):
    """OpenSMTPD. port: its mailboxes. outbound: everything that comes in there goes to the gateway."""

    PACKAGE: Final = "opensmtpd"
    SERVES_TLS: Final = False
    """Debian 12 builds it with OpenSSL 3, with which 6.8 cannot sign: every handshake fails, whoever the client is."""

    def __init__(self) -> None:
        super().__init__(self.PACKAGE, accounts=("opensmtpd", "opensmtpq"))
        self.port, self.outbound = free_port(), free_port()

    def start(self, *, gateway: int) -> None:
        """gateway: a port of loopback."""
        (self.directory / "mail").mkdir()
        (self.directory / "mail").chmod(0o777)
        text = _CONF.format(dir=self.directory, inbound=self.port, outbound=self.outbound, gateway=gateway)
        (self.directory / "smtpd.conf").write_text(text, "utf-8")
        self.run("/usr/sbin/smtpd", "-d", "-f", str(self.directory / "smtpd.conf"), port=self.port)
