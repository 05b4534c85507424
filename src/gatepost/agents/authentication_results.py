"""Agent: writes what was found out about the sender into the mail: Authentication-Results, Received-SPF (RFC 8601)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar, Final, Literal

from gatepost.config.agent_table import AgentTable, FilterTable
from gatepost.config.schema import setting
from gatepost.facts.arc import ArcResult
from gatepost.facts.dkim import DkimResults
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.reverse_dns import ReverseDns, iprev_result
from gatepost.facts.sender_id import SenderIdResult
from gatepost.facts.spf import SpfResult
from gatepost.model.known import Known, MailView
from gatepost.model.site import Site
from gatepost.model.verdict import Action, AddHeader, Edit, Finding, Stage, Verdict
from gatepost.standards.authentication_results import MethodResult, received_spf_value, results_value

SIGNATURES_LIMIT: Final = 10
Method = Literal["iprev", "spf", "sender-id", "dkim", "dmarc", "arc", "auth"]


class Settings(FilterTable):
    """[agents.authentication-results]"""

    methods: tuple[Method, ...] = setting(
        "What the field tells of. iprev costs each client a look-up of its name; sender-id and arc are told "
        "where they are checked",
        default=("spf", "sender-id", "dkim", "dmarc", "arc", "auth"),
    )
    received_spf: bool = setting(
        "Write Received-SPF, too, for readers that know nothing newer", default=False
    )


class AuthenticationResults:
    """Write Authentication-Results on top of the mail."""

    name: ClassVar[str] = "authentication-results"
    settings_type: ClassVar[type[AgentTable]] = Settings
    needs: ClassVar[dict[Stage, tuple[type, ...]]] = {Stage.END_OF_DATA: ()}
    when_unknown: ClassVar[Action] = Action.PASS
    is_filter: ClassVar[bool] = True
    findings: ClassVar[tuple[Finding, ...]] = ()

    def __init__(self, settings: Settings, site: Site) -> None:
        self._settings = settings
        self._say = tuple(_SAY[method] for method in settings.methods)
        self._authserv_id = site.authserv_id or site.hostname
        self._hostname = site.hostname
        wanted: list[type] = [_FACTS[method] for method in settings.methods if method in _FACTS]
        if settings.received_spf and SpfResult not in wanted:
            wanted.append(SpfResult)
        # Every result is told when it is known; none is waited for longer than the mail's deadline.
        self.wants: dict[Stage, tuple[type, ...]] = {Stage.END_OF_DATA: tuple(wanted)}

    def examine(self, mail: MailView, known: Known) -> Verdict:
        """Edits only, no opinion."""
        results: list[MethodResult] = []
        for say in self._say:
            results += say(mail, known)
        edits: list[Edit] = [AddHeader("Authentication-Results", results_value(self._authserv_id, results))]
        spf = known.get(SpfResult) if self._settings.received_spf else None
        if spf is not None:
            edits.append(AddHeader("Received-SPF", self._received_spf(mail, spf)))
        return Verdict(agent=self.name, edits=tuple(edits))

    def _received_spf(self, mail: MailView, spf: SpfResult) -> str:
        return received_spf_value(
            spf.result,
            receiver=self._hostname,
            client_ip=spf.ip,
            envelope_from="" if mail.sender.is_null else str(mail.sender),
            helo=mail.session.helo,
            identity=spf.identity,
        )


def _iprev(mail: MailView, known: Known) -> Iterable[MethodResult]:
    """pass: a name leads back; permerror: there is no name (RFC 8601 §2.7.3)."""
    found = known.get(ReverseDns)
    result = iprev_result(found)
    address = mail.session.client_ip if found is None else found.address
    return (MethodResult(method="iprev", result=result, properties=(("policy.iprev", address),)),)


def _spf(_mail: MailView, known: Known) -> Iterable[MethodResult]:
    found = known.get(SpfResult)
    if found is None:
        return (MethodResult(method="spf", result="temperror"),)
    # The domain alone: the local part of a return path is nobody's proof (RFC 8601 §2.7.2).
    identity = "smtp.helo" if found.identity == "helo" else "smtp.mailfrom"
    properties = ((identity, found.domain),)
    return (MethodResult(method="spf", result=found.result, properties=properties, reason=found.problem),)


def _sender_id(_mail: MailView, known: Known) -> Iterable[MethodResult]:
    """Where the agent sender-id is switched on."""
    found = known.get(SenderIdResult)
    if found is None:
        return ()
    named = ((f"header.{found.field.lower()}", found.domain),) if found.field and found.domain else ()
    return (MethodResult(method="sender-id", result=found.result, properties=named, reason=found.reason),)


def _dkim(_mail: MailView, known: Known) -> Iterable[MethodResult]:
    found = known.get(DkimResults)
    if found is None:
        return (MethodResult(method="dkim", result="temperror"),)
    if not found.signatures:
        return (MethodResult(method="dkim", result="none"),)
    return [
        MethodResult(
            method="dkim",
            result=signature.result,
            properties=(
                ("header.d", signature.domain),
                ("header.s", signature.selector),
                ("header.a", signature.algorithm),
                ("header.b", signature.signature_start),
            ),
            reason=signature.reason,
        )
        for signature in found.signatures[:SIGNATURES_LIMIT]
    ]


def _dmarc(_mail: MailView, known: Known) -> Iterable[MethodResult]:
    found = known.get(DmarcResult)
    if found is None:
        return (MethodResult(method="dmarc", result="temperror"),)
    policy = (("policy.published-domain-policy", found.policy),) if found.policy_domain else ()
    override = (("policy.override", found.override),) if found.override else ()
    return (
        MethodResult(
            method="dmarc",
            result=found.result,
            properties=(("header.from", found.from_domain), *policy, *override),
            reason=found.reason,
        ),
    )


def _arc(_mail: MailView, known: Known) -> Iterable[MethodResult]:
    found = known.get(ArcResult)
    if found is None or found.result == "none":
        return ()
    sealer = found.trusted_by or (found.sealers[0] if found.sealers else "")
    properties = (("header.d", sealer),)
    return (MethodResult(method="arc", result=found.result, properties=properties, reason=found.reason),)


def _auth(mail: MailView, _known: Known) -> Iterable[MethodResult]:
    """Only who logged in has a result; nobody else is told to have failed."""
    if not mail.session.user:
        return ()
    return (MethodResult(method="auth", result="pass", properties=(("smtp.auth", mail.session.user),)),)


_FACTS: Final[dict[str, type]] = {
    "iprev": ReverseDns,
    "spf": SpfResult,
    "dkim": DkimResults,
    "dmarc": DmarcResult,
}
_SAY: Final[dict[str, Callable[[MailView, Known], Iterable[MethodResult]]]] = {
    "iprev": _iprev,
    "spf": _spf,
    "sender-id": _sender_id,
    "dkim": _dkim,
    "dmarc": _dmarc,
    "arc": _arc,
    "auth": _auth,
}
