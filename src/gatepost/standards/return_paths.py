"""Which return paths are signed on their way out, and where mail to signed ones goes (decision 0212)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gatepost.config.return_path_settings import SrsRule
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.address import Address
from gatepost.model.domain_table import DomainTable
from gatepost.model.envelope import Recipient
from gatepost.standards.signed_paths import PathProblem, Srs, Tags


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnPaths:
    """What SRS and tags do, as far as they are switched on.

    untagged: recipients' domains that get plain return paths; None: there are none.
    exempt: senders' domains that SRS leaves alone; None: there are none.
    """

    accepted: AcceptedDomains
    srs: Srs | None = None
    only_notices: bool = True
    only_with_spf: bool = False
    exempt: DomainTable[bool] | None = None
    tags: Tags | None = None
    untagged: DomainTable[bool] | None = None

    def leaving(
        self, sender: Address, recipients: Iterable[Address], at: float, rule: SrsRule = "forwarded"
    ) -> Address:
        """The return path a mail leaves with. at: when it came, so that every attempt has the same."""
        if sender.is_null or sender.is_literal:
            return sender
        outside = [a.domain for a in recipients if self.accepted.type_of(a.domain) is None]
        if self.accepted.type_of(sender.domain) is None:
            return self._forwarded(sender, at, rule) if outside or rule == "always" else sender
        if not outside or self.tags is None or not self._tags_for(sender):
            return sender
        if self.untagged is not None and any(map(self.untagged.entry_for, outside)):
            return sender
        return self.tags.tagged(sender, at)

    def asks_for_spf(self, sender: Address) -> bool:
        """Whether the sender's domain must publish SPF for its return path to be rewritten."""
        return self.only_with_spf and self.srs is not None and self.accepted.type_of(sender.domain) is None

    def _forwarded(self, sender: Address, at: float, rule: SrsRule) -> Address:
        if self.srs is None or rule == "never":
            return sender
        if self.exempt is not None and self.exempt.entry_for(sender.domain):
            return sender
        return self.srs.forwarded(sender, at)

    def arriving(self, recipient: Recipient, now: float) -> Recipient:
        """Without a good tag, which goes to `orcpt`; every check sees the mailbox. A bad tag stays."""
        tags, address = self.tags, recipient.address
        if tags is None or (plain := tags.untagged(address)) is None:
            return recipient
        if not self.accepted.holds_own(address.domain) or tags.problem(address, now) is not None:
            return recipient
        kind = "rfc822" if address.is_ascii else "utf-8"  # RFC 6533 §3
        return replace(recipient, address=plain, orcpt=f"{kind};{address.local}@{address.domain}")

    def claims(self, recipient: Address) -> bool:
        """Whether the address looks like one that SRS made."""
        return self.srs is not None and self.srs.claims(recipient)

    def takes(self, recipient: Address, sender: Address, now: float) -> bool:
        """Whether mail to an address that SRS made is taken."""
        if self.srs is None or (self.only_notices and not sender.is_null):
            return False
        return not isinstance(self.srs.original(recipient, now), PathProblem)

    def led_back(self, recipient: Recipient, now: float) -> Recipient:
        """Where a mail goes that was taken: a rewritten return path to the one it was made of."""
        if self.srs is None or not self.srs.claims(recipient.address):
            return recipient
        original = self.srs.original(recipient.address, now)
        return recipient if isinstance(original, PathProblem) else replace(recipient, address=original)

    def wants_tag(self, recipient: Recipient, now: float) -> bool:
        """Whether a notice to this recipient is about no mail of ours: it came without a good tag."""
        if self.tags is None or not recipient.address.domain or not self._tags_for(recipient.address):
            return False
        given, _, text = recipient.orcpt.partition(";")
        local, _, domain = text.rpartition("@")
        if given not in ("rfc822", "utf-8") or not local or not text.isprintable():
            return True
        address = Address(local, domain)
        behind = self.tags.untagged(address)
        if behind is None or behind.key != recipient.address.key:
            return True
        return self.tags.problem(address, now) is not None

    def _tags_for(self, address: Address) -> bool:
        """Addresses of ours whose mail gets a tag: not postmaster, who hears about everything, nor what SRS made."""
        if address.local[:5].lower() == "prvs=" or address.local.lower() == "postmaster":
            return False
        return self.accepted.holds_own(address.domain) and not self.claims(address)
