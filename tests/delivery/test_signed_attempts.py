"""An attempt hands over what was signed; a body that cannot be read for it waits, and the connection is kept."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from tests.delivery.test_signing import MAIL, Desk, Files, checked, mail, sent

from gatepost.config.settings import SendConnector
from gatepost.delivery.attempts import Attempts
from gatepost.delivery.outcome import Attempt, Fate
from gatepost.message.headers import split
from gatepost.model.address import Address
from gatepost.model.content import Content, SpooledBody
from gatepost.model.envelope import Recipient
from gatepost.model.queued import QueuedRecipient
from gatepost.queue.active import Parcel
from gatepost.routing.next_hop import HopKind

LINE = object()


class Carrier:
    """A courier that notes what it was given."""

    def __init__(self) -> None:
        self.carried: list[Content] = []

    async def line_to(self, _next_hop: Any) -> Any:
        return LINE

    async def carry(self, _parcel: Parcel, content: Content, line: Any, _taken: Any) -> tuple[Attempt, Any]:
        self.carried.append(content)
        return Attempt(outcomes=()), line


class Hop:
    """A next hop by wire."""

    kind, settings = HopKind.SMART_HOST, SendConnector.model_validate({"address-spaces": ("*",)})


def attempt(content: Content, desk: Desk) -> tuple[Attempt, Any, list[Content]]:
    carrier = Carrier()
    attempts = Attempts(
        store=cast(Any, None), courier=cast(Any, carrier), maildir=cast(Any, None), signer=desk.signer
    )
    someone = QueuedRecipient(number=0, recipient=Recipient(address=Address("bob", "far.test")), next_hop="x")
    parcel = Parcel(mail=mail(), next_hop="x", recipients=(someone,), content=content)
    done, line = asyncio.run(attempts.make(parcel, cast(Any, Hop()), None))
    return done, line, carrier.carried


def test_what_is_handed_over_is_signed() -> None:
    head, body = split(MAIL)
    _, _, (carried,) = attempt(Content(head=head, body=body), Desk())
    assert checked(sent(carried)) == ["pass", "pass"]


def test_a_body_that_cannot_be_read_waits() -> None:
    done, line, carried = attempt(
        Content(head=split(MAIL)[0], body=SpooledBody("x", 9, 0)), Desk(files=Files())
    )
    assert [outcome.fate for outcome in done.outcomes] == [Fate.DEFERRED]
    assert (line, carried) == (LINE, [])
