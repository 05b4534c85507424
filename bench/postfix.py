"""Debian's Postfix as the one to compare with: its defaults, but for what the comparison asks."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final

from bench.measures import DOMAIN, RECIPIENTS
from bench.server import SYSTEM_PATH, Server, run_quietly
from gatepost.adapters.tls import self_signed

# Durable as it comes: the queue file is synced before the 250. HOLD puts accepted mail aside before the
# queue manager sees it: the least work Postfix can have with a mail that is not delivered.
_MAIN: Final = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.bench.test
mydestination =
alias_maps =
local_recipient_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relay_domains = {domain}
relay_recipient_maps = hash:{dir}/etc/recipients
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {certificate}
"""
_HOLD: Final = "smtpd_data_restrictions = check_client_access static:HOLD\n"
_RELAY: Final = "relay_transport = smtp:[127.0.0.1]:{port}\n"
_SERVICE_WORDS: Final = 8
_CHROOT_WORD: Final = 4


class Postfix(Server):
    """One instance below `directory`. Needs root, as Postfix does."""

    name = "Postfix"

    def prepare(self) -> None:
        """Writes its configuration from Debian's master.cf."""
        postfix = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data"):
            (self.directory / name).mkdir(parents=True)
        os.chown(self.directory / "data", postfix.pw_uid, postfix.pw_gid)
        etc = self.directory / "etc"
        certificate = self_signed(self.directory / "tls", "postfix.bench.test", now=time.time())
        text = _MAIN.format(dir=self.directory, domain=DOMAIN, certificate=certificate)
        text += _HOLD if self.sink is None else _RELAY.format(port=self.sink.port)
        text += self.more_settings()
        (etc / "main.cf").write_text(text)
        (etc / "master.cf").write_text(_master(self.port))
        (etc / "recipients").write_text("".join(f"{one} OK\n" for one in RECIPIENTS))
        run_quietly("postmap", "-c", str(etc), f"hash:{etc / 'recipients'}")

    def more_settings(self) -> str:
        """Further lines of main.cf."""
        return ""

    def launch(self) -> subprocess.Popen[bytes]:
        """In the foreground."""
        quiet = subprocess.DEVNULL
        command = ["postfix", "-c", str(self.directory / "etc"), "start-fg"]
        return subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet)

    def end(self) -> None:
        """As its manual says."""
        run_quietly("postfix", "-c", str(self.directory / "etc"), "stop")

    def kept(self) -> int:
        """Mails in the hold queue."""
        return sum(1 for _ in (self.directory / "queue" / "hold").rglob("*") if _.is_file())

    @classmethod
    def why_not(cls) -> str:
        """It is Debian's, and wants root."""
        if shutil.which("postfix", path=SYSTEM_PATH) is None:
            return "Postfix is not installed (tools/services.sh installs it)"
        return "Postfix needs root" if os.geteuid() else ""

    @property
    def version(self) -> str:
        """As postconf says."""
        done = subprocess.run(["postconf", "-h", "-d", "mail_version"], capture_output=True, check=True)
        return done.stdout.decode().strip()

    @property
    def pid(self) -> int:
        """Of master, which start-fg becomes."""
        return int((self.directory / "queue" / "pid" / "master.pid").read_text().strip())


def _master(port: int) -> str:
    """Debian's master.cf, with our port and without chroot, for which the queue directory has no files."""
    lines = Path("/etc/postfix/master.cf").read_text().splitlines()
    return "".join(f"{_service(line, port)}\n" for line in lines)


def _service(line: str, port: int) -> str:
    words = line.split()
    if len(words) < _SERVICE_WORDS or line.startswith(("#", " ", "\t")):
        return line
    if words[:2] == ["smtp", "inet"]:
        words[0] = f"127.0.0.1:{port}"
    words[_CHROOT_WORD] = "n"
    return " ".join(words)
