"""How feeds are, and how list providers have answered since the workers started: lines for `gatepost status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gatepost.cli.front import Face
from gatepost.control.commands import AskMetrics, Samples
from gatepost.control.links import WorkerLink
from gatepost.model.fault import WorldFault


def provider_lines(face: Face) -> Iterator[str]:
    """Hit rate, latency, and what is wrong; nothing when there is no provider."""
    settings = face.configuration.settings
    names = dict.fromkeys(
        (*settings.block_list_providers, *settings.allow_list_providers, *settings.domain_list_providers)
    )
    if not names and not settings.list_feeds:
        return
    sums = _sums(face.world.running(settings))
    for feed in settings.list_feeds:
        if sums["list_feed_failed", feed, ""]:
            yield f"list feed {feed} cannot be fetched or read; what was known stays in force: the log says more"
    for name in names:
        ended = {
            word: sums["list_questions", name, word] for word in ("listed", "clear", "failed", "refused")
        }
        answered = ended["listed"] + ended["clear"]
        asked = sum(ended.values())
        line = f"list provider {name}: {asked:.0f} questions"
        if answered:
            line += f", {100 * ended['listed'] / answered:.1f} % listed"
        if asked:
            line += f", {1000 * sums['list_seconds', name, ''] / asked:.0f} ms each"
        if failed := ended["failed"] + ended["refused"]:
            line += f", {failed:.0f} without an answer"
        if unasked := sums["list_questions", name, "not-asked"]:
            line += f", {unasked:.0f} not asked while it rested or was not trusted"
        yield line
        if sums["list_provider_distrusted", name, ""]:
            yield f"list provider {name} lists everybody and is not asked: the log says more"


def _sums(links: Sequence[WorkerLink]) -> Counter[tuple[str, str, str]]:
    """What all workers counted: by metric, provider or feed, and outcome."""
    sums: Counter[tuple[str, str, str]] = Counter()
    for link in links:
        try:
            reply = link.ask(AskMetrics())
        except WorldFault:  # `gatepost status` says that it does not answer
            continue
        for name, labels, value in reply.samples if isinstance(reply, Samples) else ():
            held = dict(labels)
            subject = held.get("provider") or held.get("feed", "")
            sums[name, subject, held.get("outcome", "")] += value  # type: ignore[assignment]
    return sums
