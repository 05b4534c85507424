"""Whether a domain wants to hear of a single failure, by the fo tag of its record (RFC 9989 §4.7, RFC 9991)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of a mail. dkim_aligned, spf_aligned: proved the author domain. dkim_failed, spf_failed: at all."""

    failed: bool
    dkim_aligned: bool
    spf_aligned: bool
    dkim_failed: bool
    spf_failed: bool


def failure_to_tell(fo: str, checked: Checked) -> str:
    """What the report calls the failure (RFC 6591 §3.3): dmarc, signature or spf; "" when none is asked for.

    fo: as the record writes it, options with colons; what is none of them counts for nothing.
    """
    asked = {option.strip(" \t").lower() for option in fo.split(":")}
    if not asked & {"0", "1", "d", "s"}:
        asked = {"0"}
    if "1" in asked and not (checked.dkim_aligned and checked.spf_aligned):
        return "dmarc"
    if "0" in asked and checked.failed:
        return "dmarc"
    if "d" in asked and checked.dkim_failed:
        return "signature"
    return "spf" if "s" in asked and checked.spf_failed else ""
