"""OpenDKIM as a program that signs or checks a message in a file, with keys from a file instead of the DNS."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from gatepost.standards.dkim_sign import SigningKey, pem_of


class OpenDkim:
    """opendkim -t in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def results(self, content: bytes, keys: Mapping[str, bytes]) -> list[str]:
        """What it says of each signature, from the top down."""
        (self._directory / "keys").write_text("".join(f"{n} {r.decode()}\n" for n, r in keys.items()))
        said = self._run(content, ("Mode v", f"TestPublicKeys {self._directory}/keys"), "-vvv")
        return [
            line.strip().split()[0].removeprefix("dkim=") for line in said.splitlines() if "\tdkim=" in line
        ]

    def signed(self, content: bytes, key: SigningKey, *, canonical: str) -> bytes:
        """The message with its signature on top."""
        file = self._directory / "key.pem"
        file.write_bytes(pem_of(key.key))
        file.chmod(0o600)
        how = ("Mode s", f"Domain {key.domain}", f"Selector {key.selector}", f"KeyFile {file}")
        more = (
            f"Canonicalization {canonical}",
            "InternalHosts 0.0.0.0/0",
            f"SignatureAlgorithm {key.algorithm}",
        )
        said = self._run(content, (*how, *more), "-v")
        said = said.replace("\r\n", "\n")
        field = said[said.index("DKIM-Signature:") :].partition("\nopendkim:")[0].rstrip("\n")
        return field.replace("\n", "\r\n").encode() + b"\r\n" + content

    def _run(self, content: bytes, lines: Sequence[str], loud: str) -> str:
        configuration, mail = self._directory / "opendkim.conf", self._directory / "mail.eml"
        configuration.write_text("\n".join((*lines, "Syslog no", "RequireSafeKeys no")) + "\n")
        mail.write_bytes(content)
        done = subprocess.run(
            ["/usr/sbin/opendkim", "-x", str(configuration), "-t", str(mail), loud],
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.stdout.decode() + done.stderr.decode()
