"""What somebody needs who has found a weakness: SECURITY.md says it, and what it names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.threat("T12")
def test_a_weakness_can_be_reported_and_what_follows_is_written_down() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    for heading in ("Reporting a weakness", "What happens then", "How a release is made"):
        assert f"\n## {heading}\n" in text
    # Nothing is left to be filled in
    assert not re.search(r"TODO|TBD|XXX|<[a-z -]+>|@example|your-", text)
    # Every page and every make target it names is there
    for page in re.findall(r"\]\(([^)#]+)\)", text):
        assert (ROOT / page).exists(), page
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)`", text)) <= targets
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text("utf-8")
