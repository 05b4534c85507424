"""What is installed is what was looked at: every package is pinned by its hash, and nothing is fetched elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PINNED = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,-]+\])?==\S+( ; .+?)? \\")


@pytest.mark.threat("T08")
@pytest.mark.parametrize("name", ["run.lock", "dev.lock"])
def test_every_package_is_pinned_by_hash(name: str) -> None:
    lines = (ROOT / "requirements" / name).read_text("utf-8").splitlines()
    packages = [n for n, line in enumerate(lines) if line and not line.startswith((" ", "#"))]
    assert [lines[n] for n in packages if not PINNED.fullmatch(lines[n])] == []
    assert [lines[n] for n in packages if "--hash=sha256:" not in lines[n + 1]] == []
    assert not any("://" in line or (line.strip().startswith("-") and "--hash" not in line) for line in lines)


@pytest.mark.threat("T08")
def test_the_lock_is_installed_with_its_hashes() -> None:
    assert "--require-hashes" in (ROOT / "tools" / "setup.sh").read_text("utf-8")
    assert "--require-hashes" in (ROOT / "docs" / "install.md").read_text("utf-8")
