"""The published SPF suites (openspf.org), every case."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.shared_data import SHARED
from tests.standards.zones import suite_zones

from gatepost.standards.spf import Query, check_host

SUITES = SHARED / "spf"


def verdict_of(test: dict[str, Any], zones: Any) -> tuple[str, str]:
    local, _, domain = test["mailfrom"].rpartition("@")
    helo = test["helo"]
    query = Query(
        ip=test["host"], domain=domain or helo, local=local, sender_domain=domain or helo, helo=helo
    )
    answer = asyncio.run(check_host(query, zones, lambda: 0.0))
    return answer.result.value, answer.explanation or "DEFAULT"


def wrong_in(suite: str, excused: dict[str, str]) -> tuple[int, list[str]]:
    yaml = pytest.importorskip("yaml")
    path = SUITES / suite
    if not path.exists():
        pytest.skip(f"{path} is not here: fetch the openspf suite to run it")
    wrong, cases = [], 0
    for scenario in yaml.load_all(path.read_text("utf-8"), Loader=yaml.CSafeLoader):
        for name, test in scenario["tests"].items():
            cases += 1
            result, explanation = verdict_of(test, suite_zones(scenario["zonedata"]))
            wanted = test["result"] if isinstance(test["result"], list) else [test["result"]]
            meant = test.get("explanation", explanation)
            if name not in excused and (result not in wanted or explanation != meant):
                wrong.append(f"{name}: {result} {explanation!r}, wanted {wanted} {meant!r}")
    return cases, wrong


@pytest.mark.threat("J01", "J02", "J03", "J04", "J05", "J06", "J07", "J08", "J09")
def test_the_suite_of_rfc_7208() -> None:
    assert wrong_in("rfc7208-tests.yml", {}) == (203, [])


def test_the_suite_of_rfc_4408() -> None:
    assert wrong_in("rfc4408-tests.yml", {}) == (191, [])
