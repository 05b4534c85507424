"""Gateways with one wrong line: a simulation that lets one of them pass proves nothing.

`python -m sim.mutants [NAME ...]` copies the sources, changes the line, and plays seeds until one finds it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEEDS: Final = 400
_ROOT: Final = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Mutant:
    """One line of one file below src/gatepost, and what stands there instead.

    says: a word of the finding; "": any will do.
    seed: where one that is rarely or slowly seen was seen last, looked at first; 0: none.
    """

    name: str
    file: str
    line: str
    instead: str
    says: str
    seed: int = 0


MUTANTS: Final = (
    Mutant(
        "4xx is taken for delivered",
        "delivery/outcome.py",
        "    if answer.reply.is_positive:",
        "    if answer.reply.code < 500:",
        "delivered",
    ),
    Mutant(
        "settled before the answer",
        "delivery/outcome.py",
        "        Outcome(recipient, Fate.DEFERRED, safe_text(unknown), is_glitch=is_glitch)",
        "        Outcome(recipient, Fate.DELIVERED, safe_text(unknown), is_glitch=is_glitch)",
        "delivered, and no next hop said so",
    ),
    Mutant(
        "a retry forgets a recipient",
        "queue/active.py",
        "        if recipient.state in _WAITING:",
        "        if recipient.state in _WAITING and (recipient.number != 1 or not recipient.attempts):",
        "stuck",
        seed=9,
    ),
    Mutant(
        "the expiry is not looked at",
        "queue/schedule.py",
        "        return now >= expires_at + self.credit_s",
        "        return now >= expires_at * 2",
        "after its expiry",
    ),
    Mutant(
        "a notice does not say that it is one",
        "notices/compose.py",
        "            is_notice=True,",
        "            authenticated=True,",
        "invented",
    ),
    Mutant(
        "held after one death",
        "adapters/sqlite_recovery.py",
        "        if any(crashes >= crash_limit for (crashes,) in counted):",
        "        if any(crashes >= 1 for (crashes,) in counted):",
        "is held after",
    ),
    Mutant(
        "RSET keeps the transaction",
        "intake/conversation.py",
        "        if event.verb is Verb.RSET:",
        "        if event.verb is Verb.NOOP:",
        "still has a transaction",
    ),
    Mutant(
        "the second recipient's reply is used for the first",
        "delivery/outcome.py",
        "        for recipient, answer in zip(recipients, padded, strict=True)",
        "        for recipient, answer in zip(recipients, padded[::-1], strict=True)",
        "settled by the reply",
    ),
    Mutant(
        "a settlement comes too late for a reload",
        "delivery/owed.py",
        "        self._store.commit(one.changes, done)",
        "        asyncio.get_running_loop().call_later(60.0, self._store.commit, one.changes, done)",
        "was heard",
    ),
    Mutant(
        "one session too many",
        "intake/admission.py",
        "        if sessions >= limits.connections_per_source:",
        "        if sessions > limits.connections_per_source:",
        "are allowed",
    ),
    Mutant(
        "a reload leases what is in work",
        "delivery/scheduler.py",
        "        excluding = self._active.mail_ids | self._withdrawn.ids(self._clock.monotonic()) | self._busy()",
        "        excluding = self._active.mail_ids | self._withdrawn.ids(self._clock.monotonic())",
        "after it was",
    ),
    Mutant(
        "a reload keeps waiting mail leased",
        "delivery/scheduler.py",
        "                self._active.end_lease(parcel)",
        "                self._hop(parcel.next_hop)",
        "",
        seed=61,
    ),
    Mutant(
        "TLS that is demanded falls back to the clear",
        "delivery/courier.py",
        "            if link.is_demanded:",
        "            if link.proves_the_peer:",
        "in the clear",
    ),
    Mutant(
        "nobody looks whose certificate it is",
        "model/link_tls.py",
        "        return self.mode not in (LinkMode.NONE, LinkMode.OPPORTUNISTIC)",
        "        return self.mode is LinkMode.REQUIRED",
        "got a mail",
    ),
    Mutant(
        "any password is the right one",
        "adapters/accounts.py",
        "        good = await self._verify(wanted, prepared(password)) and usable",
        "        good = await self._verify(wanted, prepared(password)) or usable",
        "a wrong password was taken",
    ),
    Mutant(
        "an account sends as anybody",
        "model/sending_as.py",
        "    return wanted in session.rights or _owns(session.user, address, site, more)",
        "    return wanted in session.rights or bool(session.user)",
        "sent as",
    ),
    Mutant(
        "back pressure is ignored",
        "intake/conversation.py",
        "            if pressure.refuses(spared=self._grant.spared):",
        "            if pressure.refuses(spared=self._grant.spared) and not pressure.level:",
        "under back pressure",
    ),
    Mutant(
        "back pressure has no hysteresis",
        "intake/pressure.py",
        "        elif (level is Level.HIGH and beyond is Level.NORMAL) or (",
        "        elif (level is Level.HIGH and beyond is not Level.HIGH) or (",
        "back pressure",
    ),
    Mutant(
        "a full disk takes mail",
        "intake/taking_in.py",
        "        return self._store.why_not_accepting()",
        '        return self._store.why_not_accepting() and ""',
        "while the disk was full",
    ),
    Mutant(
        "a maildir that cannot be written is delivered to",
        "delivery/maildir.py",
        '                recipient, Fate.DEFERRED, safe_text(f"451 4.2.0 The mailbox cannot be written: {why}")',
        '                recipient, Fate.DELIVERED, safe_text(f"451 4.2.0 The mailbox cannot be written: {why}")',
        "delivered, and no next hop said so",
        seed=42,
    ),
    Mutant(
        "what workers share is forgotten with them",
        "adapters/shared_store.py",
        "            self._queue(place, write)",
        "            self._queue(place, Write(Kept(self._now())))",
        "is put off",
    ),
    Mutant(
        "greylisting starts again at every attempt",
        "agents/greylisting.py",
        "        if age_s < settings.earliest_s:",
        "        if age_s < settings.earliest_s * 100:",
        "is put off",
    ),
    Mutant(
        "a guesser is never blocked",
        "intake/guard.py",
        "            if most and unknown >= most and is_guessing:",
        "            if most and unknown >= most and not is_guessing:",
        "guessed recipients",
    ),
    Mutant(
        "LMTP recipients wait for each other",
        "delivery/taken.py",
        "SETTLE_AFTER_S: Final = 1.0",
        "SETTLE_AFTER_S: Final = 5000.0",
        "nobody died",
        seed=134,
    ),
    Mutant(
        "a refused recipient is kept",
        "intake/conversation.py",
        "            if refusal is None:",
        "            if refusal is None or transaction.add(recipient):",
        "",
    ),
    Mutant(
        "one active mail too many",
        "queue/active.py",
        "        return max(0, self._mails_limit - len(self._leased))",
        "        return max(0, self._mails_limit + 1 - len(self._leased))",
        "active mails",
    ),
    Mutant(
        "one connection too many",
        "delivery/hop.py",
        "        return self.waiting > starting and self.lanes < min(self.most_lanes, self.lanes_wanted)",
        "        return self.waiting > starting and self.lanes < min(self.most_lanes, self.lanes_wanted) + 1",
        "connections to",
    ),
    Mutant(
        "mail in memory is not counted",
        "queue/active.py",
        "        if self._content_bytes + octets > self._memory_limit_bytes:",
        "        if octets > self._memory_limit_bytes:",
        "octets of active mail",
        seed=74,
    ),
    Mutant(
        "a silent DNS is taken for a missing key",
        "facts/signed_content.py",
        '        return NoAnswer(f"its key could not be looked up: {fault.reason}"[:200])',
        "        return ()",
        "DKIM is",
        seed=212,
    ),
    Mutant(
        "a silent DNS is taken for no policy",
        "standards/spf.py",
        '            raise _Stop(Result.TEMPERROR, f"{name} {kind.name}: {fault.reason}") from fault',
        '            raise _Stop(Result.NONE, f"{name} {kind.name}: {fault.reason}") from fault',
        "SPF is",
        seed=85,
    ),
    Mutant(
        "a signature is made of another body",
        "delivery/signing.py",
        "                body,",
        "                body._replace(digest=body.digest[::-1]),",
        "its signature is fail",
    ),
    Mutant(
        "the store of a worker there is no more is left lying",
        "main/stores.py",
        '        if number >= workers and (directory / "store.db").exists() and _may_hold_mail(directory)',
        '        if number > workers and (directory / "store.db").exists() and _may_hold_mail(directory)',
        "which is no more",
    ),
    Mutant(
        "a store that is still in use is thought to be empty",
        "main/stores.py",
        '    if is_in_use(directory / "lock"):',
        "    if not directory:",
        "which is no more",
        seed=18,
    ),
    Mutant(
        "a store has two owners",
        "adapters/disk.py",
        "            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        "",
    ),
    Mutant(
        "nobody waits for a worker that finishes",
        "main/own_store.py",
        '            if not fault.facts.get("locked") or clock.monotonic() > until:',
        '            if fault.facts.get("locked") or clock.monotonic() > until:',
        "cannot begin",
    ),
    Mutant(
        "all workers have the same mail ids",
        "main/lasting.py",
        "            ids=MailIds(number, after=store.last_mail_id),",
        "            ids=MailIds(0, after=store.last_mail_id),",
        "",
    ),
    Mutant(
        "a reload takes workers away",
        "main/lasting.py",
        '_FIXED = ("state_directory", "workers", "user", "event_loop")',
        '_FIXED = ("state_directory", "user", "event_loop")',
        "a reload to fewer workers",
    ),
    Mutant(
        "a worker hears nothing of what others share",
        "adapters/shared_store.py",
        "        self._take_in(found.changed, whole=found.whole)",
        "        self._take_in({}, whole=False)",
        "put off",
    ),
    Mutant(
        "each worker counts sessions for itself",
        "adapters/neighbours.py",
        "            sum(cells[first : first + workers].tolist()), sum(cells[second : second + workers].tolist())",
        "            cells[first + self._number], cells[second + self._number]",
        "are allowed",
    ),
)


def find(mutant: Mutant, *, seeds: int = SEEDS) -> str:
    """What the simulation says about it; "" when it notices nothing. Raises ValueError when the line has gone."""
    place = Path(tempfile.mkdtemp(prefix="sim-mutant-"))
    try:
        shutil.copytree(
            _ROOT / "src" / "gatepost", place / "gatepost", ignore=shutil.ignore_patterns("__pycache__")
        )
        file = place / "gatepost" / mutant.file
        text = file.read_text(encoding="utf-8")
        if text.count(mutant.line + "\n") != 1:
            raise ValueError(f"{mutant.name}: the line is not in {mutant.file} once")
        file.write_text(text.replace(mutant.line + "\n", mutant.instead + "\n"), encoding="utf-8")
        found = _found(place, mutant, first=mutant.seed, seeds=1) if mutant.seed else ""
        return found or _found(place, mutant, first=1, seeds=seeds)
    finally:
        shutil.rmtree(place)


def _found(place: Path, mutant: Mutant, *, first: int, seeds: int) -> str:
    played = subprocess.run(
        [sys.executable, "-m", "sim", "--first", str(first), "--seeds", str(seeds), "--fail-fast"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": f"{place}:{_ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Traceback" in played.stderr or not played.stdout.startswith("seeds from"):
        raise ValueError(f"{mutant.name}: {played.stderr[-2000:]}")
    found = [line.strip() for line in played.stdout.splitlines() if line.startswith("    ")]
    if found and not any(mutant.says in line for line in found):
        return f"found as something else: {found[0]}"
    return " ".join(found[:1] + found[-1:])


def main(names: Sequence[str]) -> int:
    """Exit status 0 only when every one was found."""
    missed = 0
    for mutant in MUTANTS:
        if names and mutant.name not in names:
            continue
        found = find(mutant)
        missed += not found
        print(f"{mutant.name}: {found or 'NOT FOUND'}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
