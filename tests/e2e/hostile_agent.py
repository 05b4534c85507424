"""An agent that does to its process what the subject of a mail says. Not a test: a file for policy.agents-directory."""

from __future__ import annotations

import ctypes
import locale
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from gatepost.config.agent_table import FilterTable
from gatepost.config.schema import setting
from gatepost.message.headers import HeaderIndex
from gatepost.model.known import Known, MailView
from gatepost.model.reply import Reply
from gatepost.model.site import Site
from gatepost.model.verdict import Action, AddHeader, Finding, Stage, Verdict

LEAKED: list[bytes] = []
DONE = Finding(name="did-it", means="What the subject says was possible.", points=0.5)


def idle(_secret: str) -> None:
    """Nothing."""


def spin(_secret: str) -> None:
    while True:
        pass


def leak(_secret: str) -> None:
    while True:
        LEAKED.append(b"x" * 10_000_000)


def fail(_secret: str) -> None:
    raise ValueError("a bug")


def write(secret: str) -> None:
    Path(secret).with_name("written").write_text("x")


def talk(_secret: str) -> None:
    print('{"level": "error", "event": "forged"}', flush=True)
    print('{"level": "error", "event": "forged"}', file=sys.stderr, flush=True)


def wander(_secret: str) -> None:
    locale.setlocale(locale.LC_ALL, "C")
    os.chdir("/usr/lib")


DEEDS: dict[str, Callable[[str], Any]] = {
    "spin": spin,
    "sleep": lambda _: time.sleep(3600),
    "leak": leak,
    "crash": lambda _: ctypes.string_at(0),
    "exit": lambda _: sys.exit(3),
    "leave": lambda _: os._exit(0),
    "raise": fail,
    "lie": lambda _: "\r\nX-Forged: yes",
    "connect": lambda _: socket.create_connection(("127.0.0.1", 9), 1),
    "fork": lambda _: os.fork(),
    "execute": lambda _: subprocess.run(["/bin/true"], check=True),
    "write": write,
    "read": lambda secret: Path(secret).read_text("ascii"),
    "kill": lambda _: os.kill(os.getppid(), signal.SIGKILL),
    "print": talk,
    "locale": wander,
}


class Settings(FilterTable):
    """[agents.obedient]"""

    secret: str = setting("A file that nobody should read here", default="")


class Agent:
    """Does what the subject says."""

    name = "obedient"
    settings_type = Settings
    needs: ClassVar[dict[Stage, Any]] = {Stage.END_OF_HEADERS: ()}
    when_unknown = Action.PASS
    is_filter = True
    findings = (DONE,)

    def __init__(self, settings: Settings, _site: Site) -> None:
        self._secret = settings.secret

    def examine(self, mail: MailView, _known: Known) -> Verdict:
        subject = (HeaderIndex.parse(mail.head).first(b"subject") or b"").decode().strip()
        try:
            seen = DEEDS.get(subject, idle)(self._secret) or "possible"
        except OSError as error:
            seen = f"not possible ({error.strerror})"
        if subject == "refuse":
            return Verdict.reject(self.name, Reply(550, "5.7.1", "Refused as it wished"), "it wished so")
        return Verdict(
            agent=self.name, findings=(DONE,), edits=(AddHeader("X-Seen", f"{os.getpid()} {seen}"),)
        )
