"""curl as a mail client that logs in."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

MAIL = "From: ann@ours.example\r\nTo: x@elsewhere.example\r\nSubject: by curl\r\n\r\nhello\r\n"


def send(
    port: int,
    *how: str,
    host: str = "127.0.0.1",
    sender: str = "ann@ours.example",
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """One mail under STARTTLS, whoever the certificate is from. how: options that say who we are."""
    envelope = ("--mail-from", sender, "--mail-rcpt", "x@elsewhere.example", "--upload-file", "-")
    return subprocess.run(
        [
            "curl",
            "-sS",
            "-v",
            "--insecure",
            "--ssl-reqd",
            *envelope,
            *how,
            f"smtp://{host}:{port}/client.example",
        ],
        input=MAIL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **(environment or {})},
    )
