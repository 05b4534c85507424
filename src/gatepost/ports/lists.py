"""Lists of addresses: who is refused, and who is spared what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

ListName = Literal["block", "allow"]
LISTS: Final[tuple[ListName, ...]] = ("block", "allow")
COMMENT_LIMIT_CHARACTERS: Final = 200
NEVER: Final = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a list."""

    list_name: ListName
    network: str
    """An address, a network or a range a-b, as it is kept."""
    expires_at: float = NEVER
    author: str = ""
    """A person, or the part of the gateway that made it."""
    by_person: bool = False
    comment: str = ""
    added_at: float = 0.0
    feed: str = ""
    """The feed it stands in; "" for an entry of our own."""
    hits: int = 0
    """Sessions it was found for; counted for entries of our own."""


class AddressLists(Protocol):
    """Asked for every session: from memory, in a microsecond or two."""

    def find(self, list_name: ListName, address: str) -> Entry | None:
        """The most specific entry that holds the address, of our own before those of feeds; its hit is not counted."""

    def add(
        self,
        list_name: ListName,
        network: str,
        *,
        expires_at: float,
        author: str,
        comment: str,
        by_person: bool = False,
    ) -> Entry:
        """Add an entry, or replace the one for the same addresses; math.inf: it never expires.

        A part of the gateway never replaces what a person entered: that entry is returned then.
        Raises ValueError for what is no address, network or range a-b, or is everybody.
        """

    def check(self, network: str) -> None:
        """Raises ValueError for what add() would refuse."""

    def remove(self, list_name: ListName, network: str) -> bool:
        """False when there is no entry of our own for exactly these addresses. Raises ValueError as add()."""

    def matches(self, list_name: ListName, address: str) -> Sequence[Entry]:
        """Every entry that holds the address. Raises ValueError for what is no address."""

    def entries(self, list_name: ListName) -> Sequence[Entry]:
        """All entries of our own, with their hits, by address."""

    def count_hit(self, entry: Entry) -> None:
        """A session met it."""
