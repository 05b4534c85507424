"""The table people read at the end of a run, and the account on disk for whoever has to find out why."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Final

from crash.judge import Finding
from crash.ledger import Evidence
from crash.notes import NoteFinding, counted
from crash.run import Outcome

_SHOWN_FAILURES: Final = 20
_SHOWN_CHARACTERS: Final = 1500
_SHOWN_CALLS: Final = 12


def text_of(outcome: Outcome) -> str:
    """The whole table."""
    plan, evidence = outcome.plan, outcome.evidence
    kills = ", ".join(f"{count} {victim}" for victim, count in sorted(outcome.kills.items()))
    answers = Counter(answer.value for s in evidence.sendings for answer in s.answers.values())
    counts, notes = outcome.judgement.counts, counted(outcome.notes)
    lines = [
        f"crash run, seed {plan.seed}: {sum(outcome.kills.values())} kills ({kills}) in {outcome.killing_s:.1f} s",
        f"  before the banner     {outcome.during_start} of the kills at random",
        *_aimed(outcome),
        f"  messages offered      {len(evidence.sendings)}",
        *(f"  recipients {name:11}{count}" for name, count in sorted(answers.items())),
        f"  copies at the sink    {len(evidence.copies)} (and {outcome.others_delivered} of the background)",
        f"  restarts until 220    {_spread(outcome.ready_after_s)}",
        f"  starts that failed    {outcome.failed_starts}",
        f"  queue empty after     {_seconds(outcome.emptied_s)}",
        f"  exit status at stop   {outcome.stop_status}",
        f"  bugs in its log       {len(outcome.bugs)}{'  <-- must be 0' if outcome.bugs else ''}",
        f"  the harness was late  {outcome.lag_s:.2f} s at worst",
        f"  settlements on record {len(evidence.settled or ())}, copies by a known worker {_known(evidence)}",
        "",
        *(_row(finding.value, counts.get(finding, 0), finding.is_failure) for finding in Finding),
        *(_row(finding.value, notes.get(finding, 0), finding.is_failure) for finding in NoteFinding),
    ]
    failures = outcome.judgement.failures
    lines += [
        f"  {one.finding.value}: {one.message} -> {one.recipient}: {one.because}"
        for one in failures[:_SHOWN_FAILURES]
    ]
    if len(failures) > _SHOWN_FAILURES:
        lines.append(f"  and {len(failures) - _SHOWN_FAILURES} more")
    lines += [f"  {finding.value}: {message}" for finding, message in outcome.bad_notes[:_SHOWN_FAILURES]]
    lines += [f"  bug: {line[:_SHOWN_CHARACTERS]}" for line in outcome.bugs[:3]]
    verdict = "every promise was kept" if outcome.is_good else f"FAILED; again with: SEED={plan.seed}"
    return "\n".join([*lines, "", verdict])


def write_account(outcome: Outcome, file: Path) -> None:
    """Everything each side saw, as JSON."""
    evidence = outcome.evidence
    account = {
        "seed": outcome.plan.seed,
        "kills": outcome.kills,
        "hits": {moment: asdict(hits) for moment, hits in outcome.hits.items()},
        "notes": [[finding.value, message] for finding, message in outcome.notes],
        "counts": {finding.value: count for finding, count in outcome.judgement.counts.items()},
        "failures": [{**asdict(one), "finding": one.finding.value} for one in outcome.judgement.failures],
        "sendings": [
            {**asdict(s), "answers": {r: a.value for r, a in s.answers.items()}} for s in evidence.sendings
        ],
        "copies": [asdict(copy) for copy in evidence.copies],
        "deaths": [asdict(death) for death in evidence.deaths],
        "settled": sorted(evidence.settled or ()),
        "left": sorted(evidence.left),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(account, indent=1))


def _aimed(outcome: Outcome) -> list[str]:
    """A line for each kind of moment: how often it was hit, and where in it."""
    if outcome.plan.library is None:
        return ["  no kill was aimed      (that needs a C compiler)"]
    lines = []
    for moment, hits in sorted(outcome.hits.items()):
        where = [f"before {hits.before}"] if hits.before else []
        if hits.at_calls:
            where.append(f"in place of its calls {_ranges(sorted(set(hits.at_calls)))}")
        where += [f"after its last call {hits.after}"] if hits.after else []
        where += [f"MISSED {hits.missed}"] if hits.missed else []
        lines.append(f"  in a {moment:17}{hits.total} ({'; '.join(where)})")
    return [*lines, f"  mails in old stores   {outcome.migrated_mails}"]


def _ranges(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:_SHOWN_CALLS]))
    return shown if len(numbers) <= _SHOWN_CALLS else f"{shown} ... {numbers[-1]}"


def _row(name: str, count: int, is_failure: bool) -> str:
    mark = "  <-- must be 0" if is_failure and count else ""
    return f"  {name:28}{count:>8}{mark}"


def _spread(values: tuple[float, ...]) -> str:
    if not values:
        return "none"
    return f"{len(values)}: median {statistics.median(values):.2f} s, longest {max(values):.2f} s"


def _seconds(value: float | None) -> str:
    return "NOT WITHIN THE TIME" if value is None else f"{value:.1f} s"


def _known(evidence: Evidence) -> str:
    if not evidence.copies:
        return "-"
    return f"{sum(c.worker is not None for c in evidence.copies) / len(evidence.copies):.0%}"
