"""Expected failures: the peer's and the world's. A bug is neither, and stays an ordinary exception."""

from __future__ import annotations

from gatepost.model.reply import OUR_FAULT, Reply


class Fault(Exception):
    """An expected failure: what to tell the peer, what to write in the log.

    reply:  for the peer.  reason: for the administrator.  facts: what was measured.
    """

    def __init__(self, reply: Reply, reason: str, **facts: object) -> None:
        super().__init__(reason)
        self.reply = reply
        self.reason = reason
        self.facts = facts


class PeerFault(Fault):
    """The peer broke a rule; repeating the same thing will not help it."""


class WorldFault(Fault):
    """DNS, disk, store or scanner failed us; the same mail may work later.

    Raises ValueError when built with a reply that is not temporary (4xx).
    """

    def __init__(self, reason: str, reply: Reply = OUR_FAULT, **facts: object) -> None:
        if not reply.is_temporary:
            raise ValueError("only a temporary reply may blame the world")
        super().__init__(reply, reason, **facts)


def reply_for(error: BaseException) -> Reply:
    """The reply for any exception: a bug of ours never bounces or accepts a mail."""
    return error.reply if isinstance(error, Fault) else OUR_FAULT
