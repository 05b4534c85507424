"""A zone signed by Knot and Unbound validating it, on loopback: what DNSSEC looks like to a mail server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
from tests.services.foreground import wait_for_end
from tests.services.gateway import wait_until

from gatepost.lab.ports import free_port

_KNOT = """\
server:
  listen: 127.0.0.1@{port}
  rundir: {dir}
  user: root
database:
  storage: {dir}/db
policy:
  - id: quick
    algorithm: ecdsap256sha256
    single-type-signing: on
template:
  - id: default
    storage: {dir}/zones
    zonefile-sync: -1
zone:
"""
_ZONE = """\
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
@ MX 10 mail
ns A 127.0.0.1
"""
_UNBOUND = """\
server:
  interface: 127.0.0.1@{port}
  port: {port}
  do-ip6: no
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: "{dir}/unbound.pid"
  use-syslog: no
  logfile: "{dir}/unbound.log"
  do-not-query-localhost: no
  module-config: "validator iterator"
  val-log-level: 2
remote-control:
  control-enable: no
"""


class ValidatingDns:
    """Knot with some zones, and a resolver that knows the keys of the signed ones. `port` is the resolver's.

    zones:    name -> lines "owner type data", relative names allowed.
    signed:   those that are signed.
    spoiled:  those whose key the resolver knows wrongly, so that nothing in them validates.
    """

    def __init__(
        self, zones: dict[str, str], *, signed: tuple[str, ...] = (), spoiled: tuple[str, ...] = ()
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gp-dnssec-"))
        self.port, self._zone_port = free_port(), free_port()
        self._zones, self._signed, self._spoiled = zones, (*signed, *spoiled), spoiled
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start both and wait until they answer."""
        base = self.directory
        (base / "zones").mkdir()
        (base / "db").mkdir()
        knot = _KNOT.format(port=self._zone_port, dir=base)
        for name, lines in self._zones.items():
            knot += f"  - domain: {name}\n"
            if name in self._signed:
                knot += "    dnssec-signing: on\n    dnssec-policy: quick\n"
            (base / "zones" / f"{name}.zone").write_text(f"$ORIGIN {name}.\n{_ZONE}{lines}")
        (base / "knot.conf").write_text(knot)
        self._run("knotd", "-c", str(base / "knot.conf"))
        anchors = "".join(self._anchor(name) for name in self._signed)
        stubs = "".join(
            f"stub-zone:\n  name: {name}\n  stub-addr: 127.0.0.1@{self._zone_port}\n" for name in self._zones
        )
        words = _UNBOUND.format(port=self.port, dir=base).replace(
            "remote-control", f"{anchors}remote-control"
        )
        (base / "unbound.conf").write_text(words + stubs)
        self._run("unbound", "-d", "-c", str(base / "unbound.conf"))
        for name in self._zones:
            wait_until(lambda name=name: bool(_answer(self.port, name, "SOA")) or name in self._spoiled)  # type: ignore[misc]

    def stop(self) -> None:
        """Stop both and remove everything."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            wait_for_end(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _anchor(self, name: str) -> str:
        """The zone's key as a line of unbound.conf; a spoiled one is of another zone."""
        wait_until(lambda: bool(_answer(self._zone_port, name, "DNSKEY")))
        key = _answer(self._zone_port, name, "DNSKEY")[0]
        if name in self._spoiled:
            key = key[:-8] + ("AAAAAA==" if key[-8:] != "AAAAAA==" else "BBBBBB==")
        return f'  trust-anchor: "{name}. DNSKEY {key}"\n'

    def _run(self, *command: str) -> None:
        log = (self.directory / f"{command[0]}.out").open("wb")
        self._processes.append(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        )
        log.close()


def _answer(port: int, name: str, kind: str) -> list[str]:
    """The records of a name as text; none when there is no answer yet."""
    try:
        reply = dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", port=port, timeout=1)
    except (OSError, dns.exception.DNSException):
        time.sleep(0.05)
        return []
    return [record.to_text() for rrset in reply.answer for record in rrset]
