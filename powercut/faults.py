"""`python -m powercut.faults [--calls 40]`: each of the first write and sync calls of a gateway fails, one a run.

A run is short: a gateway starts on an empty directory and takes small and large mails one by one until
the call has failed; then it must take mail again by itself, or have ended with a message. After
its stop the store is opened by the real recovery: what was answered 250 is there or was delivered,
what was refused is nowhere. Exit status 0 only when all of that held in every run.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import random
import re
import shutil
import smtplib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from crash.gateway import NAME, Gateway
from crash.message import USERS, Mail, digest_of
from crash.sink import Sink

from gatepost.lab.dns_server import LabDns
from powercut.library import NoCompiler, Page, build, environment
from powercut.recovery import recover

ERRORS: Final = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
_MEMORY: Final = Path("/dev/shm")
PRODUCT: Final = ("-m", "gatepost")
_PATIENCE_S: Final = 60.0
_MOST_MAILS: Final = 400
_QUEUE: Final = """\
reserve = "1MiB"
disk-low = "2MiB"
resume-margin = "0B"
allow-volatile = true
"""
_SAID: Final = re.compile(rb'"level":"error"|^gatepost: (?!a bug)', re.MULTILINE)
"""A line of the log, or the sentence of a command that could not begin; never an exception of ours."""


@dataclass(slots=True)
class Run:
    """One run and what it saw. call: which write or sync call fails, from 1."""

    call: int
    error: str
    directory: Path
    codes: Counter[int] = field(default_factory=Counter)
    """What the gateway answered to the ends of mails; 0: the connection was lost."""
    acknowledged: dict[str, Mail] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    has_failed: bool = False
    """The call came, and was made to fail."""


async def run_one(
    call: int, error: str, directory: Path, library: Path, arguments: tuple[str, ...] = PRODUCT
) -> Run:
    """The whole of one run; `failures` says what broke. arguments: of Python, the product or a mutant."""
    run = Run(call, error, directory)
    state = directory / "state"
    state.mkdir(mode=0o700, parents=True)
    page = Page(directory / "page")
    page.fail(call, ERRORS[error])
    sink, names = Sink("faults", random.Random(0)), LabDns("")
    sink.moods.calm()
    await sink.start()
    await names.start()
    wishes = environment(library, state, page, None)
    gateway = Gateway(
        directory, sink.port, names.port, arguments, workers_wanted=1, queue=_QUEUE, environment=wishes
    )
    gateway.prepare()
    gateway.start()
    try:
        await _play(run, gateway, page)
        status = await asyncio.to_thread(gateway.stop)
        if status != 0 and not _SAID.search(gateway.log.read_bytes()):
            run.failures.append(f"the gateway ended with {status} and said nothing")
    except Exception as bug:  # noqa: BLE001 - whatever it is, this run has failed and the others go on
        run.failures.append(repr(bug))
    finally:
        gateway.kill()
        await sink.stop()
        await names.stop()
        run.has_failed = page.failed > 0
        page.close()
    delivered = {copy.message: copy.digest for copy in sink.copies}
    run.failures += await asyncio.to_thread(lambda: list(_judge(run, state, delivered)))
    return run


async def _play(run: Run, gateway: Gateway, page: Page) -> None:
    """Mail until the call has failed and one more was taken, or the gateway has ended."""
    until = time.monotonic() + _PATIENCE_S
    for number in range(_MOST_MAILS):
        code = await asyncio.to_thread(_offer, run, gateway.port, _mail(run, number))
        run.codes[code] += 1
        if not gateway.pid:
            return
        if code == 250 and page.calls > run.call:
            return
        if code >= 500:
            run.failures.append(f"a mail was refused for good: {code}")
        if code != 250:
            await asyncio.sleep(0.05)
        if time.monotonic() > until:
            run.failures.append(f"no mail was taken within {_PATIENCE_S:.0f} s")
            return


def _mail(run: Run, number: int) -> Mail:
    """Every third one is too large for the database."""
    name = f"c{run.call}.{run.error}.{number}"
    head = f"X-Crash-Ledger: {name}\r\nMessage-ID: <{name}@crash.test>\r\nSubject: {name}\r\n\r\n"
    content = head.encode() + b"0123456789\r\n" * (7000 if number % 3 == 1 else 40)
    return Mail(name, (USERS[number % len(USERS)],), content, digest_of(content))


def _offer(run: Run, port: int, mail: Mail) -> int:
    """The code of the answer to the mail, or to the command that ended it earlier; 0: none came."""
    try:
        with smtplib.SMTP(timeout=30) as client:
            if NAME not in client.connect("127.0.0.1", port)[1].decode("utf-8", "replace"):
                return 0  # while the gateway did not listen, somebody else's server took its port
            client.ehlo("client.sender.test")
            for answer in (client.mail("ledger@sender.test"), client.rcpt(mail.recipients[0])):
                if answer[0] >= 400:
                    run.refused.add(mail.name)
                    return answer[0]
            code, _text = client.data(mail.content)
    except smtplib.SMTPDataError as refused:  # at DATA itself
        run.refused.add(mail.name)
        return refused.smtp_code
    except (OSError, smtplib.SMTPException):
        return 0
    if code == 250:
        run.acknowledged[mail.name] = mail
    else:
        run.refused.add(mail.name)
    return code


def _judge(run: Run, state: Path, delivered: dict[str, str]) -> Iterator[str]:
    with asyncio.Runner() as runner:
        found = recover(state, 1, runner.get_loop())
    yield from found.problems
    kept = {mail.name: mail.digest for mail in found.mails.values()}
    there = {**kept, **delivered}
    for name, mail in run.acknowledged.items():
        if name not in there:
            yield f"{name} was answered 250 and is lost"
        elif there[name] != mail.digest:
            yield f"{name} was altered"
    yield from (f"{name} was refused and is there" for name in run.refused & there.keys())


async def run_all(
    calls: Sequence[tuple[int, str]], place: Path, library: Path, arguments: tuple[str, ...] = PRODUCT
) -> list[Run]:
    """Two beside each other; in the order of `calls`."""
    gate = asyncio.Semaphore(2)

    async def one(call: int, error: str) -> Run:
        async with gate:
            directory = place / f"{call}-{error}"
            made = await run_one(call, error, directory, library, arguments)
            if not made.failures:
                shutil.rmtree(directory)
            return made

    return await asyncio.gather(*(one(call, error) for call, error in calls))


def chosen(calls: int, *, first: int = 1, every: int = 1, both: bool = False) -> list[tuple[int, str]]:
    """`calls` of them from the first-th on, every so many; each with one of the errors in turn, or with both."""
    kinds = tuple(ERRORS)
    numbers = range(first, first + calls * every, every)
    if both:
        return [(call, kind) for call in numbers for kind in kinds]
    return [(call, kinds[turn % 2]) for turn, call in enumerate(numbers)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs and prints. 0: nothing broke; 1: something did; 2: no compiler."""
    parser = argparse.ArgumentParser(prog="python -m powercut.faults", description=__doc__)
    parser.add_argument("--calls", type=int, default=40, help="how many calls fail, each in a run of its own")
    parser.add_argument("--first", type=int, default=1, help="the number of the first of them")
    parser.add_argument(
        "--every", type=int, default=1, help="leave out calls between them: 3 for every third"
    )
    parser.add_argument("--both", action="store_true", help="each call with EIO and with ENOSPC, not in turn")
    wishes = parser.parse_args(arguments)
    build_directory = Path("build").absolute()
    build_directory.mkdir(exist_ok=True)
    place = Path(
        tempfile.mkdtemp(prefix="powercut-faults-", dir=_MEMORY if _MEMORY.is_dir() else build_directory)
    )
    began_at = time.monotonic()
    try:
        library = build(build_directory)
    except NoCompiler as reason:
        print(reason)
        return 2
    runs = asyncio.run(
        run_all(
            chosen(wishes.calls, first=wishes.first, every=wishes.every, both=wishes.both), place, library
        )
    )
    codes = sum((run.codes for run in runs), Counter[int]())
    print(f"{len(runs)} runs, in {sum(run.has_failed for run in runs)} of them a call failed; ", end="")
    print(
        f"{sum(len(run.acknowledged) for run in runs)} mails answered 250; {time.monotonic() - began_at:.0f} s"
    )
    print(
        "  answers: "
        + ", ".join(f"{code or 'no connection'}: {count}" for code, count in sorted(codes.items()))
    )
    bad = [run for run in runs if run.failures]
    for run in bad:
        print(f"  call {run.call}, {run.error}: {'; '.join(run.failures)} (kept in {run.directory})")
    print("FAILED" if bad else "every promise was kept")
    with suppress(OSError):
        place.rmdir()  # stays when something is kept in it
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
