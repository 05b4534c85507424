"""Whether a return path in a domain of ours belongs to somebody we know."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from tests.policy.fakes import Mailboxes, site, view

from gatepost.facts.recipient_status import Listing, RecipientStatus, find_recipient_status
from gatepost.facts.sender_status import SenderStatus, find_sender_status
from gatepost.model.address import Address
from gatepost.model.fault import WorldFault
from gatepost.model.verdict import Stage
from gatepost.ports.directory import Entry

SENDERS = [
    ("of ours", "bob@gate.test", True, Listing.LISTED, 1),
    ("of ours, with nobody behind it", "xyz@gate.test", True, Listing.NOT_LISTED, 1),
    ("in a relay domain", "bob@relay.test", False, Listing.NOT_ASKED, 0),
    ("a stranger's", "ann@client.test", False, Listing.NOT_ASKED, 0),
    ("nobody's", "", False, Listing.NOT_ASKED, 0),
]


@pytest.mark.parametrize(
    ("name", "sender", "ours", "listing", "asked"), SENDERS, ids=[row[0] for row in SENDERS]
)
def test_sender_status(name: str, sender: str, ours: bool, listing: Listing, asked: int) -> None:
    mailboxes = Mailboxes()
    found = find_sender_status(view(Stage.MAIL, sender=sender), site(), mailboxes)
    assert isinstance(found, SenderStatus)
    assert (found.is_ours, found.listing, len(mailboxes.asked)) == (ours, listing, asked)


class Slow:
    """A directory that has to ask somebody else."""

    def __init__(self, *, is_down: bool = False) -> None:
        self._is_down = is_down

    def look_up(self, recipient: Address) -> Coroutine[Any, Any, Entry]:
        return self._asked()

    async def _asked(self) -> Entry:
        await asyncio.sleep(0)
        if self._is_down:
            raise WorldFault("no answer")
        return Entry(True, source="hop")


@pytest.mark.threat("F29")
def test_a_directory_that_asks_somebody_is_waited_for() -> None:
    at_mail, at_rcpt = view(Stage.MAIL, sender="bob@gate.test"), view(Stage.RCPT, recipient="bob@gate.test")

    async def wait(is_down: bool) -> tuple[object, object]:
        directory = Slow(is_down=is_down)
        sender = find_sender_status(at_mail, site(), directory)
        recipient = find_recipient_status(at_rcpt, site(), directory)
        assert not isinstance(sender, SenderStatus)
        assert not isinstance(recipient, RecipientStatus)
        return tuple(await asyncio.gather(sender, recipient, return_exceptions=True))

    sender, recipient = asyncio.run(wait(False))
    assert isinstance(sender, SenderStatus)
    assert isinstance(recipient, RecipientStatus)
    assert (sender.listing, recipient.listing, recipient.source) == (Listing.LISTED, Listing.LISTED, "hop")
    assert all(isinstance(found, WorldFault) for found in asyncio.run(wait(True)))
