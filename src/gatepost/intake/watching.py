"""What one session shows of its client's conduct: counted here while it lasts, kept once at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Any, Final

from gatepost.facts.dkim import DkimResults
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.reverse_dns import ReverseDns
from gatepost.facts.spf import SpfResult
from gatepost.intake.guard import Guard
from gatepost.intake.limit_hit import LimitHit
from gatepost.model.address import Address
from gatepost.model.conduct import Evidence
from gatepost.model.reply import Reply
from gatepost.model.session import Rights, Session
from gatepost.model.verdict import Disposition, Effect
from gatepost.policy.folding import Decision
from gatepost.policy.hearing import Hearing

_UNKNOWN: Final = "5.1.1"
_OURS_TO_JUDGE: Final = Rights.BYPASS_FILTERS | Rights.INTERNAL


class SessionWatch:
    """The counts of one session."""

    __slots__ = (
        "_began",
        "_done",
        "_done_in_mail",
        "_failed",
        "_good",
        "_guard",
        "_passed",
        "_refused",
        "_spam",
        "_taken",
        "_traps",
        "_unknown",
        "_unknown_in_mail",
        "wants_to_hang_up",
    )

    def __init__(self, guard: Guard) -> None:
        self.wants_to_hang_up = False
        """An opinion at the end of a mail wants the connection closed after its reply."""
        self._guard = guard
        self._began = False
        self._done: dict[int, Effect] = {}
        """Effects that were performed, by identity: equal ones of two recipients are two."""
        self._done_in_mail: dict[int, Effect] = {}
        self._good = self._spam = self._taken = self._unknown = self._refused = 0
        self._traps = self._passed = self._failed = 0
        self._unknown_in_mail = 0

    def mail_begun(self) -> None:
        """MAIL was said: there is something to judge the client by."""
        self._began = True
        self._done_in_mail = {}
        self._unknown_in_mail = 0

    def recipient_taken(self, address: Address) -> None:
        """RCPT was agreed to."""
        self._taken += 1
        self._traps += self._guard.is_trap(address)

    def recipient_refused(
        self, address: Address, refusal: Reply, session: Session, *, spared: bool
    ) -> float | LimitHit:
        """How long the refusal waits besides what agents want, or the limit that ends the session."""
        self._traps += self._guard.is_trap(address)
        if refusal.enhanced != _UNKNOWN:
            self._refused += not refusal.is_temporary
            return 0.0
        self._unknown += 1
        self._unknown_in_mail += 1
        return 0.0 if spared else self._guard.unknown_recipient(session, self._taken)

    def perform(self, disposition: Disposition, session: Session) -> None:
        """Do what an opinion wants of other sessions. At the end of a mail, what was said of it is heard again."""
        done = self._done_in_mail if self._began else self._done
        fresh = [
            e for e in disposition.effects if id(e) not in self._done and id(e) not in self._done_in_mail
        ]
        self._guard.perform(fresh, disposition, session)
        done.update((id(effect), effect) for effect in fresh)

    def judged(
        self, session: Session, decisions: Sequence[Decision], fact: Callable[[type[Any]], Any]
    ) -> None:
        """The end of a mail that agents have seen: it counts, and what they want of other sessions is done.

        session: as the mail is judged. When a relay of ours brought it, it counts for its origin alone.
        fact: Hearing.fact.
        """
        scl = -1
        for decision in decisions:
            disposition = decision.disposition
            scl = disposition.scl if disposition.scl > scl else scl
            if disposition.effects:
                self.perform(disposition, session)
        if scl < 0:
            return
        is_spam = scl >= self._guard.spam_scl
        results = _authentication(fact)
        passed, failed = "pass" in results, "fail" in results and "pass" not in results
        if session.origin_ip != session.client_ip:
            self._judged_behind_relay(session, decisions, fact(ReverseDns), (is_spam, passed, failed))
            return
        self._spam += is_spam
        self._good += not is_spam
        self._passed += passed
        self._failed += failed

    def _judged_behind_relay(
        self, session: Session, decisions: Sequence[Decision], dns: Any, said: tuple[bool, bool, bool]
    ) -> None:
        if session.user or _OURS_TO_JUDGE & session.rights:
            return
        is_spam, passed, failed = said
        evidence = Evidence(
            good=not is_spam,
            spam=is_spam,
            recipients=len(decisions),
            unknown=self._unknown_in_mail,
            traps=sum(self._guard.is_trap(decision.recipient.address) for decision in decisions),
            auth_passed=passed,
            auth_failed=failed,
        )
        self._guard.keep_of_origin(session, self._greeted(evidence, session, dns))

    def _greeted(self, evidence: Evidence, session: Session, dns: Any) -> Evidence:
        """With one session more, and what its HELO and its names in reverse DNS show. dns: Hearing.fact(ReverseDns)."""
        helo = session.helo
        known = dns if isinstance(dns, ReverseDns) and not dns.unanswered else None
        return evidence._replace(
            sessions=1.0,
            own_helo=float(self._guard.is_own_name(helo)),
            false_literal=float(helo.startswith("[") and not _is_literal_of(helo, session.origin_ip)),
            bare_helo=float(bool(helo) and "." not in helo and not helo.startswith("[")),
            resolved=float(known is not None),
            no_name=float(known is not None and not known.names),
            unconfirmed=float(known is not None and bool(known.names) and not known.confirmed),
        )

    def over(self, session: Session, hearing: Hearing) -> None:
        """The connection of a client that is not spared is gone: keep what it showed, if it began a mail."""
        if not self._began or session.user or _OURS_TO_JUDGE & session.rights:
            return
        evidence = Evidence(
            good=self._good,
            spam=self._spam,
            recipients=self._taken,
            unknown=self._unknown,
            refused=self._refused,
            traps=self._traps,
            auth_passed=self._passed,
            auth_failed=self._failed,
        )
        self._guard.keep(session, self._greeted(evidence, session, hearing.fact(ReverseDns)))


def _authentication(fact: Callable[[type[Any]], Any]) -> list[str]:
    """Results of SPF, DKIM and DMARC, as far as any of them was found out."""
    found = [fact(SpfResult), fact(DmarcResult)]
    dkim = fact(DkimResults)
    if isinstance(dkim, DkimResults):
        found += dkim.signatures
    return [getattr(one, "result", "") for one in found]


def _is_literal_of(helo: str, address: str) -> bool:
    """[192.0.2.1] or [IPv6:2001:db8::1] of this client."""
    text = helo.strip("[]")
    try:
        return ip_address(text[5:] if text[:5].lower() == "ipv6:" else text) == ip_address(address)
    except ValueError:
        return False
