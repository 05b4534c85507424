"""Dovecot's LMTP server with its own configuration, on a port and on a Unix socket: mailboxes with quotas."""

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

_CONF = """\
base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = lmtp
ssl = no
default_internal_user = nobody
default_login_user = nobody
default_internal_group = {group}
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 1
mail_home = {dir}/mail/%n
mail_location = maildir:{dir}/mail/%n
mail_plugins = quota
auth_username_chars =
lmtp_save_to_detail_mailbox = no
plugin {{
  quota = maildir:User quota
  quota_exceeded_message = The mailbox is full
}}
passdb {{
  driver = passwd-file
  args = username_format=%n {dir}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {dir}/users
}}
protocol lmtp {{
  postmaster_address = postmaster@dovecot.example
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener {dir}/lmtp.sock {{
    mode = 0666
  }}
}}
service auth {{
  user = root
}}
service stats {{
  client_limit = 100
}}
"""


class DovecotServer:
    """One Dovecot that takes mail by LMTP. Needs root, as Dovecot does."""

    def __init__(self, *, mailboxes: dict[str, str]) -> None:
        """mailboxes: the part before the @ -> a quota rule such as "*:storage=1M", or "" for none."""
        self.directory = Path(tempfile.mkdtemp(prefix="gp-dove-", dir="/tmp"))
        self.port = free_port()
        self.socket = self.directory / "lmtp.sock"
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._write(mailboxes)

    def start(self) -> None:
        """Start it in the foreground and wait until both doors greet."""
        self._process = subprocess.Popen(
            ["dovecot", "-F", "-c", str(self.directory / "dovecot.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: greets(self.port))

    def stop(self) -> None:
        """Stop it and remove everything."""
        if self._process is not None:
            self._process.terminate()
        wait_for_end(self._process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def mails(self, mailbox: str) -> list[bytes]:
        """What lies in a mailbox: the part before the @."""
        new = self.directory / "mail" / mailbox / "new"
        return [file.read_bytes() for file in sorted(new.iterdir())] if new.is_dir() else []

    def _write(self, mailboxes: dict[str, str]) -> None:
        base, nobody = self.directory, pwd.getpwnam("nobody")
        base.chmod(0o755)
        for name in ("run", "state", "mail"):
            (base / name).mkdir()
        os.chown(base / "mail", nobody.pw_uid, nobody.pw_gid)
        lines = []
        for name, quota in mailboxes.items():
            rule = f"userdb_quota_rule={quota}" if quota else ""
            lines.append(f"{name}:{{PLAIN}}x:{nobody.pw_uid}:{nobody.pw_gid}::{base}/mail/{name}::{rule}\n")
        (base / "users").write_text("".join(lines), "utf-8")
        (base / "dovecot.conf").write_text(
            _CONF.format(dir=base, port=self.port, uid=nobody.pw_uid, gid=nobody.pw_gid, group="nogroup")
        )
