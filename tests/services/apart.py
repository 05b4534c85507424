"""Debian's mail servers that cannot be installed beside Postfix: unpacked, and run above this machine's files.

tools/services.sh unpacks each into a folder of its own. The server runs in a mount namespace where that folder lies
above everything else, with the accounts its package would have made. What it writes is gone with it.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.services.foreground import greets, wait_for_end
from tests.services.gateway import wait_until

UNPACKED = Path("/usr/local/lib/gatepost-services")
FIRST_ID = 64990
"""Accounts have numbers from here on: Debian gives them to nobody."""

_ABOVE = """\
set -e
package=$1 shared=$2 accounts=$3 at=$4
shift 4
mount -t tmpfs none "$at"
mkdir "$at/above" "$at/work" "$at/all"
if [ -d "$package" ]; then cp -a "$package/." "$at/above"; fi
for merged in bin lib sbin; do  # links to the folders in /usr, which a folder of that name would hide
    if [ -d "$at/above/$merged" ]; then
        mkdir -p "$at/above/usr/$merged"
        cp -a "$at/above/$merged/." "$at/above/usr/$merged"
        rm -r "$at/above/$merged"
    fi
done
mkdir -p "$at/above/etc"
cp /etc/passwd /etc/group "$at/above/etc"
number={first}
for account in $accounts; do
    echo "$account:x:$number:$number::/:/usr/sbin/nologin" >> "$at/above/etc/passwd"
    echo "$account:x:$number:" >> "$at/above/etc/group"
    number=$((number + 1))
done
mount -t overlay overlay -o "lowerdir=/,upperdir=$at/above,workdir=$at/work" "$at/all"
mount --rbind /dev "$at/all/dev"
mount -t proc proc "$at/all/proc"
mkdir -p "$at/all$shared"
mount --bind "$shared" "$at/all$shared"
exec chroot "$at/all" "$@"
"""


class ServerApart:
    """One such server in the foreground. `directory` is the same folder for it and for us."""

    def __init__(self, package: str, *, accounts: Sequence[str]) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"gp-{package}-"))
        self.directory.chmod(0o755)
        self.log = self.directory / "log"
        self._package, self._accounts = package, tuple(accounts)
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, *words: str, port: int) -> None:
        """Start it and wait for its port."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command(self._package, self.directory, self._accounts, words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(lambda: greets(port))
        except AssertionError as error:
            raise AssertionError(self.log.read_text("utf-8", "replace")) from error

    def stop(self) -> None:
        """Stop it and remove everything."""
        if self._process is not None:
            self._process.terminate()
        wait_for_end(self._process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def mails(self, mailbox: str) -> list[bytes]:
        """What lies in a maildir of ours."""
        new = self.directory / "mail" / mailbox / "new"
        return [file.read_bytes() for file in sorted(new.iterdir())] if new.is_dir() else []


def command(package: str, shared: Path, accounts: Sequence[str], words: Sequence[str]) -> list[str]:
    """The words of a command above the package's files, for subprocess."""
    at = shared / "above"
    at.mkdir(exist_ok=True)
    script = _ABOVE.format(first=FIRST_ID)
    inside = ("sh", "-c", script, "sh", str(UNPACKED / package), str(shared), " ".join(accounts), str(at))
    return ["unshare", "--mount", "--propagation", "private", *inside, *words]


def why_not(package: str) -> str:
    """Why such a server cannot be used here; "" when it can."""
    if not (UNPACKED / package).is_dir():
        return f"{package} is not unpacked (tools/services.sh does it)"
    return "" if _may_mount() else f"{package} needs root and overlay mounts"


@functools.cache
def _may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="gp-mount-") as place:
        tried = command("no-package", Path(place), (), ("true",))
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
