"""Postfix with its own configuration, queue and port: as a next hop that keeps mail, or as a sender."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.services.foreground import greets, wait_for_end
from tests.services.gateway import wait_until

from gatepost.lab.ports import free_port

_MAIN = """\
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
mail_owner = postfix
setgid_group = postdrop
myhostname = {hostname}
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = {relayhost}
disable_dns_lookups = yes
alias_maps =
local_recipient_maps =
smtputf8_enable = yes
biff = no
minimal_backoff_time = 2s
queue_run_delay = 2s
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {dir}/mail
virtual_mailbox_maps = texthash:{dir}/etc/mailboxes
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
"""
_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class PostfixServer:
    """One Postfix instance. Needs root, as Postfix does."""

    def __init__(
        self,
        *,
        mailboxes: tuple[str, ...] = (),
        relayhost: str = "",
        hostname: str = "postfix.example",
        more: tuple[str, ...] = (),
    ) -> None:
        """mailboxes: addresses it keeps mail for. relayhost: where everything else goes. more: lines of main.cf."""
        self.directory = Path(tempfile.mkdtemp(prefix="gp-postfix-"))
        self.port = free_port()
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._write(mailboxes=mailboxes, relayhost=relayhost, hostname=hostname, more=more)

    def start(self) -> None:
        """Start it in the foreground and wait for its port."""
        self._process = subprocess.Popen(
            ["postfix", "-c", str(self.directory / "etc"), "start-fg"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: greets(self.port))

    def stop(self) -> None:
        """Stop it and remove everything."""
        subprocess.run(
            ["postfix", "-c", str(self.directory / "etc"), "stop"], capture_output=True, check=False
        )
        wait_for_end(self._process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def sendmail(
        self, message: bytes, *, sender: str, recipients: tuple[str, ...], options: tuple[str, ...] = ()
    ) -> None:
        """Hand a message to its queue as a local program would. options: of sendmail(1)."""
        subprocess.run(
            [
                "/usr/sbin/sendmail",
                "-C",
                str(self.directory / "etc"),
                "-i",
                *options,
                "-f",
                sender,
                *recipients,
            ],
            input=message,
            check=True,
            capture_output=True,
            env={**os.environ, "MAIL_CONFIG": str(self.directory / "etc")},
        )

    def mails(self, mailbox: str) -> list[bytes]:
        """What has been delivered to a mailbox: the part before the @."""
        new = self.directory / "mail" / mailbox / "new"
        return [file.read_bytes() for file in sorted(new.iterdir())] if new.is_dir() else []

    def queue_is_empty(self) -> bool:
        """Nothing waits any more."""
        done = subprocess.run(
            ["postqueue", "-c", str(self.directory / "etc"), "-j"], capture_output=True, check=False
        )
        return done.returncode == 0 and not done.stdout.strip()

    def _write(
        self, *, mailboxes: tuple[str, ...], relayhost: str, hostname: str, more: tuple[str, ...]
    ) -> None:
        base = self.directory
        base.chmod(0o755)
        nobody = pwd.getpwnam("nobody")
        postfix = pwd.getpwnam("postfix")
        for name in ("etc", "queue", "data", "mail"):
            (base / name).mkdir()
        os.chown(base / "data", postfix.pw_uid, postfix.pw_gid)
        os.chown(base / "mail", nobody.pw_uid, nobody.pw_gid)
        main = _MAIN.format(
            dir=base,
            hostname=hostname,
            relayhost=relayhost,
            domains=" ".join(sorted({one.partition("@")[2] for one in mailboxes})),
            uid=nobody.pw_uid,
            gid=nobody.pw_gid,
        )
        (base / "etc" / "main.cf").write_text(main + "".join(f"{line}\n" for line in more))
        (base / "etc" / "master.cf").write_text(_MASTER.format(port=self.port))
        (base / "etc" / "mailboxes").write_text(
            "".join(f"{one} {one.partition('@')[0]}/\n" for one in mailboxes)
        )
