"""What every test of sessions may ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from gatepost.adapters.tls import ServerTls, self_signed


@pytest.fixture
def tls(tmp_path: Path) -> ServerTls:
    """The TLS of a door, with a certificate of its own."""
    return ServerTls(str(self_signed(tmp_path, "mx.ours.example", now=1_800_000_000.0)))
