"""The file of NT hashes: whose hash is found, and when nothing can be said. And Kerberos without a keytab."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gatepost.adapters.kerberos import KerberosAcceptor, load_extra
from gatepost.adapters.nt_hashes import NtHashesFile
from gatepost.model.fault import WorldFault

HASH = "8846F7EAEE8FB117AD06BDD830B7586C"
LINES = f"""\
# made by pdbedit -Lw

ann:1000:{"X" * 32}:{HASH}:[U          ]:LCT-00000000:
Jürgen@ours.example:1001:{HASH}:{HASH.lower()}:[UX         ]:LCT-00000000:
closed:1002:{"X" * 32}:{HASH}:[DU         ]:LCT-00000000:
open:1003:{"X" * 32}:{HASH}:[NU         ]:LCT-00000000:
empty:1004:{"X" * 32}:{"X" * 32}:[U          ]:LCT-00000000:
star:1005:{"*" * 32}:{"*" * 32}:[U          ]:LCT-00000000:
"""


@pytest.mark.threat("E10")
@pytest.mark.parametrize(
    ("user", "there"),
    [
        ("ann", True),
        ("ANN", True),
        ("Jürgen@ours.example", True),
        ("closed", False),
        ("open", False),
        ("empty", False),
        ("star", False),
        ("nobody", False),
        ("", False),
    ],
)
def test_whose_hash_is_found(tmp_path: Path, user: str, there: bool) -> None:
    path = tmp_path / "smbpasswd"
    path.write_text(LINES, "utf-8")
    assert NtHashesFile(str(path)).nt_hash(user) == (bytes.fromhex(HASH) if there else None)


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "smbpasswd"
    path.write_text(LINES, "utf-8")
    hashes = NtHashesFile(str(path))
    assert hashes.nt_hash("ann")
    path.write_text("")
    assert hashes.nt_hash("ann") is None


@pytest.mark.threat("E08")
@pytest.mark.parametrize(
    "text", ["ann:1000:x", f":1:X:{HASH}:[U]:", "ann:1:X:12:[U]:", f"ann:1:X:{'G' * 32}:[U]:", "\udcff"]
)
def test_a_garbled_file_is_never_a_yes_or_no(tmp_path: Path, text: str) -> None:
    path = tmp_path / "smbpasswd"
    path.write_text(text, "utf-8", "surrogateescape")
    with pytest.raises(WorldFault) as caught:
        NtHashesFile(str(path)).nt_hash("ann")
    assert caught.value.reply.code == 454


def test_an_extra_that_is_not_there_is_named() -> None:
    with pytest.raises(WorldFault, match=r"pip install 'gatepost\[kerberos\]'"):
        load_extra("spnego", "no_such_module")


@pytest.mark.threat("E08")
def test_without_a_keytab_nothing_is_decided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gssapi", exc_type=ImportError)
    pytest.importorskip("krb5", exc_type=ImportError)
    monkeypatch.setenv("KRB5_KTNAME", "")  # given back at the end

    async def run() -> None:
        context = KerberosAcceptor(str(tmp_path / "nothing")).begin()
        with pytest.raises(WorldFault, match="keytab-file") as caught:
            await context.step(b"token")
        assert caught.value.reply.code == 454

    asyncio.run(run())
