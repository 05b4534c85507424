"""Where the suites and corpora of others lie: beside the repository, never in it. Tests skip where they are not."""

from __future__ import annotations

import os
from pathlib import Path

SHARED = Path(
    os.environ.get("GATEPOST_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
ABSENT = "the shared test data is not on this machine (GATEPOST_SHARED_DATA says where it lies)"
