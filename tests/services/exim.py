"""Exim with two doors: what comes in by one goes on to the gateway, what comes in by the other lies in maildirs."""

from __future__ import annotations

from typing import Final

from tests.certificates import in_file, leaf
from tests.services.apart import ServerApart

from gatepost.lab.ports import free_port

_CONF = """\
primary_hostname = exim.there.example
spool_directory = {dir}/spool
log_file_path = {dir}/spool/%slog
log_selector = +smtp_protocol_error +tls_cipher
pid_file_path = {dir}/spool/pid
daemon_smtp_ports = {inbound} : {outbound}
local_interfaces = 127.0.0.1
tls_advertise_hosts = *
tls_certificate = {dir}/certificate.pem
tls_privatekey = {dir}/certificate.pem
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
chunking_advertise_hosts = *
keep_environment =
deliver_drop_privilege = true
acl_smtp_rcpt = recipients
acl_smtp_data = contents
begin acl
recipients:
  deny condition = ${{if eq{{$received_port}}{{{inbound}}}}}
       local_parts = nobody
       message = 5.1.1 no such mailbox
  accept
contents:
  deny condition = ${{if match{{$h_subject:}}{{refuse}}}}
       message = 5.7.1 not this one
  accept
begin routers
gateway:
  driver = manualroute
  condition = ${{if eq{{$received_port}}{{{outbound}}}}}
  route_list = * 127.0.0.1::{gateway}
  transport = gateway
  self = send
mailbox:
  driver = accept
  local_parts = ann : bob : postmaster : you
  transport = maildir
begin transports
gateway:
  driver = smtp
  allow_localhost
  tls_verify_certificates =
  message_linelength_limit = 100000
maildir:
  driver = appendfile
  directory = {dir}/mail/$local_part_data
  create_directory
  maildir_format
begin retry
* * F,1h,2s
"""


class EximServer(ServerApart):
    """Exim 4. port: its mailboxes. outbound: everything that comes in there goes to the gateway."""

    PACKAGE: Final = "exim4-daemon-light"
    SERVES_TLS: Final = True

    def __init__(self) -> None:
        super().__init__(self.PACKAGE, accounts=("Debian-exim",))
        self.port, self.outbound = free_port(), free_port()

    def start(self, *, gateway: int) -> None:
        """gateway: a port of loopback."""
        in_file(self.directory / "certificate.pem", leaf("exim.there.example"), mode=0o644)
        for name in ("spool", "mail"):
            (self.directory / name).mkdir(mode=0o777)
            (self.directory / name).chmod(0o777)
        text = _CONF.format(dir=self.directory, inbound=self.port, outbound=self.outbound, gateway=gateway)
        (self.directory / "exim.conf").write_text(text, "utf-8")
        self.run("/usr/sbin/exim4", "-C", str(self.directory / "exim.conf"), "-bdf", "-q5s", port=self.port)
