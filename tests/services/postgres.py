"""PostgreSQL on loopback in a directory of its own, run as the account `postgres` when we are root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.services.foreground import wait_for_end
from tests.services.gateway import wait_until

from gatepost.lab.ports import free_port

PASSWORD = "the secret of gatepost"


class PostgresServer:
    """One server with the role `gatepost`, which logs in by password."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="gp-postgres-"))
        self.port = free_port()
        self.url = f"postgresql://gatepost@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self._account is not None:
            os.chown(self.directory, self._account.pw_uid, self._account.pw_gid)
        self._bin = Path(os.path.realpath(shutil.which("postgres") or "postgres")).parent
        (self.directory / "pw").write_text(PASSWORD)
        (self.directory / "pw").chmod(0o644)
        self._run(
            str(self._bin / "initdb"), "-D", f"{self.directory}/db", "-U", "gatepost",
            "-A", "scram-sha-256", "--pwfile", f"{self.directory}/pw", "-N",
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = (
            "-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off",
            "-c", f"unix_socket_directories={self.directory}",
        )  # fmt: skip
        self._process = subprocess.Popen(
            [str(self._bin / "postgres"), "-D", f"{self.directory}/db", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as_account(),
        )
        wait_until(self._answers, timeout_s=60)

    def execute(self, statement: str) -> None:
        """Change something."""
        import psycopg

        with psycopg.connect(self.url, password=PASSWORD) as connection:
            connection.execute(statement.encode())

    def halt(self) -> None:
        """End it; start() brings it back."""
        if self._process is not None:
            self._process.send_signal(2)  # fast: connections are closed
            wait_for_end(self._process)
            self._process = None

    def stop(self) -> None:
        """End it and remove everything."""
        self.halt()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url, password=PASSWORD, connect_timeout=5).close()
        except psycopg.Error:
            return False
        return True

    def _run(self, *words: str) -> None:
        done = subprocess.run(words, capture_output=True, check=False, **self._as_account())
        assert done.returncode == 0, done.stderr.decode()

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid}
