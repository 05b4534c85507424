"""The ledger's two ends joined without a gateway: what the clients write down is what the sink has."""

from __future__ import annotations

import asyncio
import random

from crash.client import Swarm
from crash.judge import Finding, judge
from crash.ledger import Answer, Evidence
from crash.message import Mailer, digest_of, marked_part
from crash.sink import Moods, Sink


def run_joined(moods: Moods, *, seconds: float = 0.4) -> Evidence:
    """Clients speak straight to the sink."""

    async def run() -> Evidence:
        sink = Sink("r7", random.Random(1))
        sink.moods = moods
        await sink.start()
        swarm = Swarm(
            port=lambda: sink.port,
            mailer=Mailer("r7", random.Random(2)),
            chance=random.Random(3),
            pause_s=0.005,
        )
        clients = asyncio.create_task(swarm.run(5))
        await asyncio.sleep(seconds)
        swarm.stopping = True
        await clients
        await asyncio.sleep(0.05)  # what an impatient client wrote last is still being read
        await sink.stop()
        return Evidence(sendings=tuple(swarm.sendings), copies=tuple(sink.copies))

    return asyncio.run(run())


def test_a_calm_sink_has_every_message_once_and_unchanged() -> None:
    evidence = run_joined(Moods(0, 0, 0, 0))
    judgement = judge(evidence)
    assert len(evidence.sendings) > 20
    assert not judgement.failures
    assert judgement.counts[Finding.OK] > 20
    assert judgement.counts[Finding.DUPLICATE_ALLOWED] == 0


def test_a_sink_that_misbehaves_is_written_down_as_what_it_did() -> None:
    evidence = run_joined(Moods(0.1, 0.1, 0.1, 0.1))
    answers = {answer for sending in evidence.sendings for answer in sending.answers.values()}
    assert {Answer.ACKNOWLEDGED, Answer.REFUSED, Answer.UNKNOWN, Answer.STARTED} <= answers
    counts = judge(evidence).counts
    assert not judge(evidence).failures
    assert counts[Finding.RECOVERED] > 0
    assert counts[Finding.ABSENT] > 0


def test_every_message_carries_the_mark_its_digest_begins_at() -> None:
    """given any message with trace fields on top, when it is read back, then name and digest are as sent"""
    mailer = Mailer("r9", random.Random(5))
    sizes = []
    for number in range(200):
        mail = mailer.next(3, number)
        sizes.append(len(mail.content))
        assert mail.content.endswith(b"\r\n")
        assert mail.content.count(b"\n") == mail.content.count(b"\r") == mail.content.count(b"\r\n")
        marked = marked_part(b"Received: from a by b id x; now\r\nX-Other: y\r\n" + mail.content)
        assert marked is not None
        assert (marked[0], digest_of(marked[1])) == (mail.name, mail.digest)
    assert min(sizes) < 4096
    assert max(sizes) > 64 * 1024


def test_mail_of_others_has_no_mark() -> None:
    assert marked_part(b"Subject: hello\r\n\r\nX-Crash-Ledger: no\r") is None
