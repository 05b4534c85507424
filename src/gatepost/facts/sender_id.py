"""Fact: what Sender ID says of the address that is responsible for a mail's latest journey (RFC 4406, RFC 4407)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from gatepost.facts.gathering import Gathering, Sources
from gatepost.facts.spf import UNCHECKED, SpfChecks, checks_of, host_name
from gatepost.message.headers import HeaderIndex
from gatepost.model.fault import WorldFault
from gatepost.model.known import MailView, Scope
from gatepost.model.verdict import Stage
from gatepost.standards.sender_id import Pra, Reason, find_pra, result_of
from gatepost.standards.spf_record import Identity

_TEXT_LIMIT_CHARS: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderIdResult:
    """The purported responsible address (PRA), and what its domain says of the client."""

    name: ClassVar[str] = "sender-id"

    result: str
    """pass, fail, softfail, neutral, none, temperror or permerror."""
    reason: str = ""
    """Of a fail: not-permitted, no-pra, malformed-domain or domain-does-not-exist."""
    pra: str = ""
    domain: str = ""
    """The purported responsible domain, as A-labels."""
    field: str = ""
    """The field that names the address."""
    ip: str
    term: str = ""
    record_domain: str = ""
    path: tuple[str, ...] = ()
    explanation: str = ""
    problem: str = ""


def gatherer(sources: Sources) -> Gathering:
    """Known when the header section is."""
    checks = checks_of(sources)

    def find(mail: MailView) -> Any:
        if checks is None:
            raise WorldFault("nobody answers questions to the DNS here")
        return find_sender_id(mail, checks)

    return Gathering(
        fact=SenderIdResult,
        scope=Scope.MAIL,
        earliest=Stage.END_OF_HEADERS,
        find=find,
        waits=True,
        of_origin=True,
    )


def find_sender_id(mail: MailView, checks: SpfChecks) -> Any:
    """The fact, or the coroutine that asks for it."""
    ip = mail.session.origin_ip
    if checks.is_unchecked(ip):
        return SenderIdResult(result="none", ip=ip, problem=UNCHECKED)
    pra = find_pra(HeaderIndex.parse(mail.head).fields)
    if pra.address is None:
        return SenderIdResult(
            result="fail", reason=Reason.NO_PRA.value, field=pra.field, ip=ip, problem=pra.problem
        )
    return _ask(mail, pra, checks)


async def _ask(mail: MailView, pra: Pra, checks: SpfChecks) -> SenderIdResult:
    assert pra.address is not None  # the caller has looked
    address, ip = pra.address, mail.session.origin_ip
    helo = host_name(mail.session.helo)
    answer = await checks.check(mail, address.domain, address.local, helo, Identity.PRA)
    result, reason = result_of(answer)
    return SenderIdResult(
        result=result.value,
        reason=reason.value if reason is not None else "",
        pra=str(address),
        domain=address.domain,
        field=pra.field,
        ip=ip,
        term=answer.term[:_TEXT_LIMIT_CHARS],
        record_domain=answer.record_domain,
        path=answer.path,
        explanation=answer.explanation[:_TEXT_LIMIT_CHARS],
        problem=answer.problem[:_TEXT_LIMIT_CHARS],
    )
