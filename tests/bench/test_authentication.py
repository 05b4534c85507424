"""The figure of what it costs to know who sent a mail: it is made of mails that pass, and says what is wanted."""

from __future__ import annotations

import asyncio

from bench.authentication import finders, line, ours, world


def test_every_mail_of_the_bench_passes_by_spf_and_dkim() -> None:
    found = world()
    ways = finders(found.sources)
    results = [asyncio.run(ours(sample, ways)) for sample in found.mails[::10]]
    assert {(one.result, one.spf_aligned, one.dkim_aligned) for one in results} == {("pass", True, True)}
    assert len({one.from_domain for one in results}) > 1


def test_the_line_says_how_many_times_as_much_the_others_take() -> None:
    assert "0.250 ms of CPU (at most 0.6 wanted), dkimpy + pyspf + dmarc 1.25 ms (5.0 x)" in line(0.25, 1.25)
    assert line(0.25, None).endswith("wanted)")
