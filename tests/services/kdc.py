"""An MIT Kerberos key distribution centre on loopback, with its own realm and files."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.services.gateway import wait_until

from gatepost.lab.ports import free_port

REALM = "OURS.EXAMPLE"

_KRB5 = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}
[domain_realm]
    .ours.example = {realm}
"""
_KDC = """\
[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = 127.0.0.1:{port}
[realms]
    {realm} = {{
        database_name = {dir}/principal
        key_stash_file = {dir}/stash
        acl_file = {dir}/acl
        master_key_type = aes256-cts
        supported_enctypes = aes256-cts:normal
    }}
[logging]
    kdc = FILE:{dir}/log
"""


class Kdc:
    """One key distribution centre. `environment` is what its clients and services need to see."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gp-kdc-"))
        self.port = free_port()
        words = {"realm": REALM, "port": self.port, "dir": self.directory}
        (self.directory / "krb5.conf").write_text(_KRB5.format(**words))
        (self.directory / "kdc.conf").write_text(_KDC.format(**words))
        self.environment: Mapping[str, str] = {
            "KRB5_CONFIG": str(self.directory / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(self.directory / "kdc.conf"),
            "KRB5RCACHENAME": f"file2:{self.directory}/replays",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the realm and wait until somebody gets a ticket of it."""
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        self.add("probe", "probe")
        self._process = subprocess.Popen(
            ["krb5kdc", "-n", "-P", str(self.directory / "pid")],
            env={**os.environ, **self.environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: self.log_in("probe", "probe", "probe") is not None, timeout_s=60)

    def stop(self) -> None:
        """End it and remove everything."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(15)
        shutil.rmtree(self.directory, ignore_errors=True)

    def add(self, user: str, password: str) -> None:
        """A person."""
        self._admin(f"add_principal -pw {password} {user}")

    def keytab(self, *services: str) -> Path:
        """The keys of services, such as smtp/mx.ours.example."""
        path = self.directory / "keytab"
        for service in services:
            self._admin(f"add_principal -randkey {service}", f"ktadd -k {path} {service}")
        path.chmod(0o600)
        return path

    def log_in(self, user: str, password: str, cache: str) -> dict[str, str] | None:
        """The environment of somebody who has a ticket; None when there was none."""
        seen = {**self.environment, "KRB5CCNAME": f"FILE:{self.directory}/cache-{cache}"}
        done = subprocess.run(
            ["kinit", user],
            input=f"{password}\n".encode(),
            capture_output=True,
            env={**os.environ, **seen},
            timeout=30,
            check=False,
        )
        return seen if done.returncode == 0 else None

    def _admin(self, *commands: str) -> None:
        for command in commands:
            self._run("kadmin.local", "-r", REALM, "-q", command)

    def _run(self, *words: str) -> None:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            env={**os.environ, **self.environment},
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
