"""Mistakes in [reports]."""

from __future__ import annotations

from typing import Any

import pytest
from tests.delivery.fakes import settings_of

from gatepost.config.check_dmarc_reports import check_dmarc_reports
from gatepost.config.check_reports import check_reports


@pytest.mark.parametrize(
    ("reports", "says"),
    [
        ({}, ""),
        ({"addresses": ["dmarc@ours.test", "tls@in.wild.test"], "domains": ["other.test"]}, ""),
        ({"addresses": ["dmarc"]}, "'dmarc' is not an address"),
        ({"addresses": [""]}, "'' is not an address"),
        ({"addresses": ["a@b@ours.test"]}, "is not an address"),
        ({"addresses": ["a@theirs.test"]}, "theirs.test is none of accepted-domains"),
        ({"addresses": ["a@wild.test"]}, "wild.test is none of accepted-domains"),
        ({"domains": ["no domain"]}, "'no domain'"),
    ],
)
def test_mistakes(reports: dict[str, Any], says: str) -> None:
    settings = settings_of(**{"accepted-domains": {"ours.test": {}, "*.wild.test": {}}, "reports": reports})
    said = " ".join(complaint.message for complaint in check_reports(settings))
    assert (says in said) if says else not said


@pytest.mark.parametrize(
    ("reports", "says"),
    [({}, ""), ({"failure-reports": "headers"}, "needs dmarc-reports.sender")],
)
def test_failure_reports_need_a_sender(reports: dict[str, Any], says: str) -> None:
    tables: dict[str, Any] = {"dmarc-reports": reports}
    said = " ".join(complaint.message for complaint in check_dmarc_reports(settings_of(**tables)))
    assert (says in said) if says else not said
