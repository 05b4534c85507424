"""Deliveries into directories: whole files only, and never a path of the peer's choosing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.fakes import CONTENT, address_of, mail_to, parcel_of, settings_of, yard
from tests.fakes import FakeStore

from gatepost.delivery.maildir import directory_for, safe_name
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.model.content import Content
from gatepost.model.fault import PeerFault


def deliver(
    root: Path, *addresses: str, content: Content = CONTENT, store: FakeStore | None = None
) -> Attempt:
    template = f"{root}/{{domain}}/{{local}}"

    async def run() -> Attempt:
        made = yard(settings_of({"delivery": "maildir", "maildir": template}), store=store)
        mail = mail_to(*addresses, next_hop="out:maildir")
        done, line = await made.attempts.make(
            parcel_of(mail, content), made.router.by_key("out:maildir"), None
        )
        assert line is None
        return done

    return asyncio.run(run())


def test_the_file_is_in_new_with_marks_on_top_and_lf(tmp_path: Path) -> None:
    done = deliver(tmp_path, "Bob@b.example")
    assert done.outcomes[0].fate is Fate.DELIVERED
    (file,) = (tmp_path / "b.example" / "bob" / "new").iterdir()
    assert file.read_bytes() == (
        b"Return-Path: <ann@us.example>\nDelivered-To: Bob@b.example\nSubject: hello\n\ntext\n"
    )
    assert list((tmp_path / "b.example" / "bob" / "tmp").iterdir()) == []
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_second_attempt_does_not_double_the_mail(tmp_path: Path) -> None:
    leftover = tmp_path / "b.example" / "bob" / "tmp"
    leftover.mkdir(parents=True)
    deliver(tmp_path, "bob@b.example")
    (first,) = (leftover.parent / "new").iterdir()
    (leftover / first.name).write_bytes(b"half a ma")
    deliver(tmp_path, "bob@b.example")
    (file,) = (leftover.parent / "new").iterdir()
    assert file.read_bytes().endswith(b"text\n")
    assert list(leftover.iterdir()) == []


def test_a_box_that_cannot_be_written_defers_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "b.example").mkdir()
    (tmp_path / "b.example" / "bob").write_text("a file, no directory")
    done = deliver(tmp_path, "bob@b.example", "ann@b.example")
    assert [o.fate for o in done.outcomes] == [Fate.DEFERRED, Fate.DELIVERED]
    # What the sender may read in a notice names no path of ours
    assert done.outcomes[0].reply == "451 4.2.0 The mailbox cannot be written: Not a directory"


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("../../etc/passwd@b.example", "/m/b.example/=2E.=2F..=2Fetc=2Fpasswd"),
        (".@b.example", "/m/b.example/=2E"),
        ("..@b.example", "/m/b.example/=2E."),
        ("a=2Fb@b.example", "/m/b.example/a=3D2fb"),
        ("ä@b.example", "/m/b.example/=C3=A4"),
        ("a@[IPv6:::1]", "/m/=5Bipv6=3A=3A=3A1=5D/a"),
        ("{domain}@b.example", "/m/b.example/=7Bdomain=7D"),
        ("postmaster", "/m/=/postmaster"),
    ],
)
def test_paths_are_safe(address: str, path: str) -> None:
    recipient = address_of(address) if "@" in address else address_of(f"{address}@")
    assert directory_for("/m/{domain}/{local}", recipient) == path


@given(st.text(max_size=64))
def test_a_name_is_one_component(text: str) -> None:
    try:
        name = safe_name(text)
    except (PeerFault, UnicodeEncodeError):
        return
    assert "/" not in name
    assert "\0" not in name
    assert not name.startswith(".")
    assert 0 < len(name) <= 250


@given(st.text(st.characters(codec="utf-8"), max_size=8), st.text(st.characters(codec="utf-8"), max_size=8))
def test_different_mailboxes_have_different_names(one: str, other: str) -> None:
    folded = ["".join(c.lower() if c.isascii() else c for c in text) for text in (one, other)]
    assert (safe_name(one) == safe_name(other)) == (folded[0] == folded[1])


def test_a_name_that_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(PeerFault):
        safe_name("x" * 251)
