"""Haraka, from npm, with a queue of the bench's own that keeps mail as safely as the others (decision 0324)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

from bench.measures import RECIPIENTS
from bench.server import SYSTEM_PATH, Server

HOME: Final = Path("build/peers/haraka/node_modules/Haraka")
PLUGINS: Final = Path(__file__).parent / "haraka" / "plugins"


class Haraka(Server):
    """A process for each core, as its manual advises, and its own level of logging."""

    name = "Haraka"
    can_relay = False

    @classmethod
    def why_not(cls) -> str:
        """It is node's."""
        if shutil.which("node") is None:
            return "node, which Haraka needs, is not installed"
        return "" if HOME.is_dir() else "Haraka is not installed (tools/peers.sh installs it)"

    def prepare(self) -> None:
        """Its configuration, with our one plugin."""
        config = self.directory / "config"
        config.mkdir(parents=True)
        (self.directory / "kept").mkdir()
        shutil.copytree(PLUGINS, self.directory / "plugins")
        shutil.copy(HOME / "config" / "connection.ini", config)  # it does not run without
        texts = {
            "smtp.ini": f"[main]\nlisten=127.0.0.1:{self.port}\nnodes=cpus\n",
            "log.ini": "[main]\nlevel=notice\n",  # its default, with a line for each mail
            "plugins": "keep\n",
            "recipients": "".join(f"{one}\n" for one in RECIPIENTS),
            "kept": f"{self.directory / 'kept'}\n",
            "me": "haraka.bench.test\n",
        }
        for name, text in texts.items():
            (config / name).write_text(text)

    def launch(self) -> subprocess.Popen[bytes]:
        """The master."""
        node = shutil.which("node") or "node"
        command = [node, str((HOME / "haraka.js").resolve()), "-c", str(self.directory)]
        environment = {"PATH": SYSTEM_PATH, "HARAKA": str(self.directory)}
        with (self.directory / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    def end(self) -> None:
        """SIGTERM."""
        if self._process is not None:
            self._process.terminate()

    def kept(self) -> int:
        """Files."""
        return sum(1 for _ in (self.directory / "kept").iterdir())

    @property
    def version(self) -> str:
        """With node's."""
        node = subprocess.run(["node", "--version"], capture_output=True, check=True).stdout.decode().strip()
        return f"{json.loads((HOME / 'package.json').read_text())['version']}, node {node}"
