"""Who sent the mail with a report: what its own checks found when it came in (threats J39: anyone can write one)."""

from __future__ import annotations

from typing import Any, Final

from gatepost.facts.dkim import DkimResults
from gatepost.facts.dmarc import DmarcResult
from gatepost.facts.spf import SpfResult
from gatepost.model.kept_report import Proof, ProvedBy
from gatepost.model.queued import QueuedMail
from gatepost.policy.dossier import decode_fact, read_dossier

_TYPES: Final[dict[str, type[Any]]] = {kind.name: kind for kind in (DmarcResult, DkimResults, SpfResult)}


def proof_of(mail: QueuedMail, dossier: bytes | None) -> Proof:
    """dossier: the mail's, as the store keeps it. Raises nothing: what cannot be read proves nothing."""
    if mail.is_notice:
        return Proof(by=ProvedBy.INTERNAL, name="this gateway")
    try:
        read = read_dossier(dossier) if dossier is not None else None
        if mail.authenticated:
            return Proof(by=ProvedBy.INTERNAL, name=read.origin.user if read is not None else "")
        facts = read.facts if read is not None else ()
        found = {name: decode_fact(name, values, _TYPES) for name, _, values in facts if name in _TYPES}
    except ValueError:
        return Proof()
    return _best(found.get(DmarcResult.name), found.get(DkimResults.name), found.get(SpfResult.name))


def _best(dmarc: Any, dkim: Any, spf: Any) -> Proof:
    if isinstance(dmarc, DmarcResult) and dmarc.result == "pass":
        return Proof(by=ProvedBy.DMARC, name=dmarc.from_domain)
    for signature in dkim.signatures if isinstance(dkim, DkimResults) else ():
        if signature.result == "pass" and signature.covers_whole_body:
            return Proof(by=ProvedBy.DKIM, name=signature.domain.lower())
    if isinstance(spf, SpfResult) and spf.result == "pass" and spf.domain:
        return Proof(by=ProvedBy.SPF, name=spf.domain)
    return Proof()
