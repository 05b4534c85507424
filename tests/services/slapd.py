"""OpenLDAP's slapd on loopback with a few people of Active Directory's shape, LDAPS and STARTTLS."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import trustme
from tests.services.foreground import wait_for_end
from tests.services.gateway import wait_until

from gatepost.lab.ports import free_port

BASE = "dc=ours,dc=example"
ADMIN, ADMIN_PASSWORD = f"cn=admin,{BASE}", "the secret of admin"

_CONF = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.4.7000.102.5061 NAME 'msExchRequireAuthToSendTo' EQUALITY booleanMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.7000.62.1 NAME 'exchangeRecipient' SUP top AUXILIARY
  MAY ( proxyAddresses $ msExchRequireAuthToSendTo $ mail ) )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/pid
TLSCACertificateFile {dir}/ca.pem
TLSCertificateFile {dir}/server.pem
TLSCertificateKeyFile {dir}/server.pem
sizelimit size.soft=unlimited size.hard=unlimited size.prtotal=unlimited
database mdb
maxsize 16777216
suffix "{base}"
rootdn "{admin}"
rootpw "{password}"
directory {dir}/db
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous none
"""
_PEOPLE = """\
dn: {base}
objectClass: dcObject
objectClass: organization
dc: ours
o: Ours

dn: cn=Ann,{base}
objectClass: inetOrgPerson
objectClass: exchangeRecipient
cn: Ann
sn: Ann
uid: ann
mail: ann@ours.example
userPassword: the secret of ann
proxyAddresses: SMTP:ann@ours.example
proxyAddresses: smtp:Ann.Other@ours.example
proxyAddresses: sip:ann@ours.example
proxyAddresses: X400:c=DE;a= ;p=Ours;o=Exchange;s=Ann

dn: cn=staff,{base}
objectClass: groupOfNames
objectClass: exchangeRecipient
cn: staff
member: cn=Ann,{base}
mail: staff@ours.example
msExchRequireAuthToSendTo: TRUE

"""
_PERSON = """\
dn: cn=p{n},{base}
objectClass: inetOrgPerson
cn: p{n}
sn: p{n}
mail: p{n}@ours.example

"""


class Slapd:
    """One directory. people: how many more entries, p0@ours.example and so on."""

    def __init__(self, *, people: int = 0) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gp-slapd-"))
        self.port, self.tls_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        ca = trustme.CA()
        self.ca_file = self.directory / "ca.pem"
        ca.cert_pem.write_to_path(self.ca_file)
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(self.directory / "server.pem")
        self.password_file = self.directory / "password"
        self.password_file.write_text(ADMIN_PASSWORD + "\n")
        self.password_file.chmod(0o600)
        (self.directory / "db").mkdir()
        words = {"dir": self.directory, "base": BASE, "admin": ADMIN, "password": ADMIN_PASSWORD}
        (self.directory / "slapd.conf").write_text(_CONF.format(**words))
        more = "".join(_PERSON.format(n=n, base=BASE) for n in range(people))
        (self.directory / "people.ldif").write_text(_PEOPLE.format(base=BASE) + more)
        self._run(
            "slapadd",
            "-q",
            "-f",
            str(self.directory / "slapd.conf"),
            "-l",
            str(self.directory / "people.ldif"),
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        urls = f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.tls_port}"
        self._process = subprocess.Popen(
            ["slapd", "-d", "0", "-f", str(self.directory / "slapd.conf"), "-h", urls],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: _listens(self.port) and _listens(self.tls_port), timeout_s=60)

    def remove(self, *names: str) -> None:
        """Delete entries by their cn."""
        self._run(
            "ldapdelete", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", ADMIN, "-w", ADMIN_PASSWORD,
            *(f"cn={name},{BASE}" for name in names),
        )  # fmt: skip

    def halt(self) -> None:
        """End it; start() brings it back."""
        if self._process is not None:
            self._process.terminate()
            wait_for_end(self._process)
            self._process = None

    def stop(self) -> None:
        """End it and remove everything."""
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True
