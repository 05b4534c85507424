"""Readers of what a sender's domain publishes and signs: SPF, DKIM, ARC, DMARC, and the results we write of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fuzz.oracles import cuts, holds
from fuzz.reference_mail import canonical_body, canonical_field, expanded
from gatepost.message.firewall import firewalled
from gatepost.message.headers import split
from gatepost.model.fault import PeerFault
from gatepost.model.session import Rights
from gatepost.standards import arc, arc_seal, dkim_key, dmarc_record, spf_record
from gatepost.standards.authentication_results import MethodResult, quoted, results_value
from gatepost.standards.dkim_canon import (
    BodyHash,
    BodyHasher,
    BodyWish,
    SignedFields,
    relaxed_field,
    unsigned_form,
)
from gatepost.standards.dkim_signature import Signature, fields_of, host_name, read_signature
from gatepost.standards.dmarc_walk import QUERIES_LIMIT, TreeWalker
from gatepost.standards.results_reading import read_results
from gatepost.standards.spf_macros import (
    EXPANSION_LIMIT_CHARS,
    NAME_LIMIT_CHARS,
    MacroString,
    RecordError,
    expand,
    parse_macro_string,
    target_name,
)
from gatepost.standards.tag_list import parse_tags

SEPARATOR: Final = b"\x1e"
_OURS: Final = "ours.example"
_MACROS: Final = {
    "s": "ann+list@mail.example.com",
    "l": "ann+list-a_b",
    "o": "mail.example.com",
    "d": "a.b.c.example.com",
    "i": ".".join("20010db8000000000000000000000001"),
    "v": "ip6",
    "h": "[192.0.2.1]",
    "p": "",
    "c": "2001:db8::1",
    "r": "gate.example.net",
    "t": "1800000000",
}


def spf_records(data: bytes) -> None:
    """A record or RecordError; every term is read again as itself, macros stand for what the reference says."""
    texts = data.split(SEPARATOR)
    for identity in spf_record.Identity:
        try:
            chosen = spf_record.select_record(texts, identity)
        except RecordError:
            continue
        holds(chosen is None or chosen in texts, "a record that nobody published")
    try:
        record = spf_record.parse_record(texts[0])
    except RecordError:
        _explanation(data)
        return
    again = spf_record.parse_record(b"v=spf1 " + " ".join(d.text for d in record.directives).encode())
    holds(again.directives == record.directives, "other terms when read again")
    specs = [directive.spec for directive in record.directives] + [record.redirect, record.explanation]
    for spec in specs:
        if spec is not None:
            name = target_name(_expanded(spec))
            holds(len(name) <= NAME_LIMIT_CHARS and name == name.lower(), "a name too long to be asked")


def _explanation(data: bytes) -> None:
    try:
        string = parse_macro_string(data[:1000].decode("latin-1"), blanks=True, explanation=True)
    except RecordError:
        return
    _expanded(string)


def _expanded(string: MacroString) -> str:
    found = expand(string, _MACROS.__getitem__)
    holds(len(found) <= EXPANSION_LIMIT_CHARS or string.is_plain, "an expansion beyond its limit")
    wanted = expanded(string.text, _MACROS.__getitem__)
    holds(found == wanted[: max(len(found), EXPANSION_LIMIT_CHARS)], f"{found[:200]!r}, not {wanted[:200]!r}")
    return found


def dkim_signatures(data: bytes) -> None:
    """A signature, or why it says nothing; b= alone is emptied in what it is made over."""
    for _, raw in fields_of(data)[:20] or [(b"", data)]:
        found = read_signature(raw)
        if not isinstance(found, Signature):
            holds(found.result in ("permerror", "neutral", "policy"), "a result no signature has")
            holds(
                all(map(str.isprintable, (found.domain, found.identity, found.algorithm))),
                "text not to be shown",
            )
            continue
        holds(b"from" in found.names, "From is not signed")
        holds(
            len(found.key_name) <= 253 and host_name(found.domain, "") == found.domain,
            "a name nobody can ask",
        )
        domain = found.identity.rpartition("@")[2]
        holds(domain == found.domain or domain.endswith("." + found.domain), "an identity of somebody else's")
        said = parse_tags(raw.partition(b":")[2])
        for relaxed in (False, True):
            signed = unsigned_form(raw, relaxed=relaxed)
            holds(not signed.endswith(b"\r\n"), "a line end that is not signed")
            left = parse_tags(signed.partition(b":")[2])
            holds(left.pop("b") == "", "b= is not emptied")
            kept = {name for name in said if name != "b"}
            holds(left.keys() == kept, "another tag than b= is gone")
            holds(
                relaxed or all(left[name] == said[name] for name in kept), "another tag than b= has changed"
            )


def dkim_keys(data: bytes) -> None:
    """A key of a size that is allowed, or BadKey; what it does not prove is False."""
    for algorithm, sizes in (("rsa-sha256", range(1024, 4097)), ("ed25519-sha256", range(256, 257))):
        try:
            key = dkim_key.read_key(data, algorithm)
        except dkim_key.BadKey as bad:
            holds(bad.result in ("permerror", "policy"), "a result no key has")
            continue
        holds(key.bits in sizes, f"a key of {key.bits} bits")
        holds(not key.proves(hashlib.sha512(data).digest() * 4, data), "chance proves something")


_LONG: Final = 10**70
_WISHES: Final = tuple(
    BodyWish(relaxed, length) for relaxed in (False, True) for length in (None, 0, 7, _LONG)
)


def canonical_forms(data: bytes) -> None:
    """Bodies and fields in both forms are what the reference says, for every way to cut."""
    head, body = split(data)
    expected = {}
    for wish in _WISHES:
        form = canonical_body(body, relaxed=wish.relaxed)
        expected[wish] = BodyHash(hashlib.sha256(form[: wish.length]).digest(), len(form))
    for pieces in ((body,), *(cuts(body) if len(body) < 1000 else ())):
        hasher = BodyHasher(_WISHES)
        for piece in pieces:
            hasher.feed(piece)
        holds(hasher.finish() == expected, "another body than the reference's")
    fields = fields_of(head)
    for _, raw in fields:
        relaxed = relaxed_field(raw)
        holds(relaxed == canonical_field(raw), f"{relaxed!r}, not {canonical_field(raw)!r}")
        holds(relaxed_field(relaxed) == relaxed, "a form that is not the last")
    names = [name for name, _ in fields]
    picked = SignedFields(fields).picked([*names, *names], relaxed=False)
    holds(len(picked) == sum(len(raw) for _, raw in fields), "a field is picked twice or never")


def arc_sets(data: bytes) -> None:
    """Sets numbered from 1 on, each whole, or BrokenChain; nothing of a mail's head makes a chain by chance."""
    fields = fields_of(data)
    try:
        sets = arc.read_sets(fields)
    except arc.BrokenChain:
        return
    holds([one.instance for one in sets] == list(range(1, len(sets) + 1)), "numbers with gaps")
    holds(len(sets) <= arc.SETS_LIMIT, "more sets than the limit")
    try:
        chain = arc.read_chain(fields)
    except arc.BrokenChain:
        return
    holds(chain == sets, "another chain than its sets")
    if not chain:
        return
    holds(
        [one.chain == "none" for one in chain] == [True, *[False] * (len(chain) - 1)],
        "a beginning in the middle",
    )
    holds(len(arc.key_names(chain)) == len(chain) + 1, "a key that nobody asks for")
    records: dict[str, tuple[bytes, ...]] = dict.fromkeys(arc.key_names(chain), ())
    try:
        arc.validate(chain, SignedFields(fields), BodyHash(b"", 0), records)
    except arc.BrokenChain:
        return
    holds(False, "a chain without keys holds")


class _Texts:
    """A DNS that has these texts at every name, and counts."""

    def __init__(self, texts: list[bytes]) -> None:
        self._texts = texts
        self.asked: list[str] = []

    async def texts(self, name: str, *, timeout_s: float) -> tuple[bytes, ...]:  # noqa: ARG002  # the port's
        """In turn: some names have one record, some have none."""
        self.asked.append(name)
        number = len(self.asked) - 1
        return tuple(self._texts[number : number + 1])

    async def exists(self, name: str, *, timeout_s: float) -> bool:  # noqa: ARG002  # the port's
        """Names with dots."""
        return "." in name


def dmarc_records(data: bytes) -> None:
    """Any text is a record; a walk asks eight names at most, all of them above the domain."""
    name, *texts = data.split(SEPARATOR)[:20]
    for text in (name, *texts):
        record = dmarc_record.parse_record(text)
        again = dmarc_record.parse_record(
            f"v=DMARC1;p={record.p.word};sp={record.sp.word};np={record.np.word};psd={record.psd}".encode()
        )
        holds(
            (again.p, again.sp, again.np) == (record.p, record.sp, record.np),
            "another policy when written again",
        )
        holds(len(record.rua) <= dmarc_record.URIS_LIMIT, "more addresses than the limit")
        holds(
            all("@" in one.mailbox and one.limit_bytes >= 0 for one in record.rua), "an address that is none"
        )
    domain = name.decode("ascii", "replace").lower()
    dns = _Texts(texts)
    walker = TreeWalker(dns, timeout_s=1.0)
    walk = _now(walker.walk(domain))
    holds(len(dns.asked) <= QUERIES_LIMIT, f"{len(dns.asked)} questions for one name")
    holds(
        all(f"_dmarc.{domain}".endswith(asked.removeprefix("_dmarc")) for asked in dns.asked),
        "a stranger's name",
    )
    holds(
        domain == walk.organization or domain.endswith("." + walk.organization), "an organisation of others"
    )
    found = _now(walker.policy_of(walk))
    holds((found is None) == (not walk.records), "a policy without a record, or none with one")


def _now(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of what waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    except PeerFault:
        return None
    raise AssertionError("it waits")


def results_fields(data: bytes) -> None:
    """Nobody brings a result of ours through the door, and nobody's words leave their place in what we write."""
    head, _ = split(data)
    kept = firewalled(head, Rights.NONE, authserv_id=_OURS)
    holds(arc_seal.own_results(kept, _OURS) == "", "a result of ours that somebody else wrote")
    words = [word.decode("utf-8", "replace") for word in (*data.split(SEPARATOR), b"", b"", b"")][:3]
    properties = tuple((name, word) for name, word in zip(("smtp.mailfrom", "header.d"), words, strict=False))
    value = results_value(
        _OURS, [MethodResult(method="spf", result="fail", properties=properties, reason=words[2])]
    )
    holds(value.isascii() and value.isprintable(), "what is no line")
    holds(_methods(value) == ["spf=fail"], f"other results than ours: {value!r}")
    read = [(one.method, one.result) for one in read_results(value).results]
    holds(read == [("spf", "fail")], f"read as {read}: {value!r}")
    read_results(data.decode("utf-8", "surrogateescape"))
    for word in words:
        written = quoted(word)
        plain = (
            written[1:-1].replace('\\"', '"').replace("\\\\", "\\") if written.startswith('"') else written
        )
        holds(written == "" or plain == word, f"{word!r} is read as {plain!r}")
    own = arc_seal.own_results(f"Authentication-Results: {value}\r\n\r\n".encode(), _OURS)
    holds(own in (value, ""), "another value than we wrote")
    holds(arc_seal.chain_word(value, ()) == "none", "a chain where there is none")


def _methods(value: str) -> list[str]:
    """The first word behind each semicolon that is outside of quotes (RFC 8601 §2.2)."""
    found, quotes, escaped, part = [], False, False, ""
    for character in value + ";":
        if escaped:
            escaped = False
        elif quotes and character == "\\":
            escaped = True
        elif character == '"':
            quotes = not quotes
        if character == ";" and not quotes:
            found.append(part)
            part = ""
        else:
            part += character
    holds(not quotes, "a quoted string without end")
    return [part.split()[0] for part in found[1:] if part.strip()]


TARGETS: Final[tuple[tuple[str, Callable[[bytes], None], tuple[bytes, ...]], ...]] = (
    (
        "spf-records",
        spf_records,
        (
            b"v=spf1 ",
            b" -all",
            b" a:",
            b" include:%{d2r-}.",
            b" mx/24//64",
            b" ip4:192.0.2.0/",
            b" ip6:2001:db8::/32",
            b" redirect=",
            b" exp=",
            b"%{L99r+-./_}",
            b"%%%_%-",
            b"spf2.0/mfrom,pra ",
            SEPARATOR,
        ),
    ),
    (
        "dkim-signatures",
        dkim_signatures,
        (
            b"DKIM-Signature: v=1; a=rsa-sha256; ",
            b"; b=",
            b";bh=AAAA",
            b"; h=From:To",
            b"; d=a.example; s=sel",
            b"; i=x@b.a.example",
            b"; c=relaxed/simple",
            b"; t=1; x=2; l=3",
            b"\r\n\t",
            b"\r\n b",
            b" =",
            "d=b\u00fccher.example;".encode(),
        ),
    ),
    (
        "dkim-keys",
        dkim_keys,
        (
            b"v=DKIM1; ",
            b"k=rsa; ",
            b"k=ed25519; ",
            b"p=",
            b"h=sha256:*; ",
            b"t=y:s; ",
            b"s=email; ",
            b"MIIB",
            b"AQAB",
        ),
    ),
    (
        "canonical-forms",
        canonical_forms,
        (b"\r\n", b"\r\n\r\n", b" \r\n", b"\t", b"  ", b"\r", b"\n", b": ", b"x", b" \r", b"\r\n\r\n\r\nx"),
    ),
    (
        "arc-sets",
        arc_sets,
        (
            b"ARC-Seal: i=1; a=rsa-sha256; cv=none; d=a.example; s=s; b=AAAA\r\n",
            b"ARC-Message-Signature: i=1; a=rsa-sha256; d=a.example; s=s; h=From; bh=AAAA; b=AAAA\r\n",
            b"ARC-Authentication-Results: i=1; a.example; spf=pass\r\n",
            b"i=2;",
            b"i=51;",
            b"cv=pass",
            b"cv=fail",
            b"\r\n ",
        ),
    ),
    (
        "dmarc-records",
        dmarc_records,
        (
            SEPARATOR,
            b"v=DMARC1;",
            b"p=reject;",
            b"sp=none;",
            b"np=quarantine;",
            b"psd=y;",
            b"psd=n;",
            b"rua=mailto:a@b.example!10m,",
            b"adkim=s;",
            b"a.b.",
            b"t=y",
            b" = ",
        ),
    ),
    (
        "results-fields",
        results_fields,
        (
            b"Authentication-Results: ours.example; spf=pass\r\n",
            b"Authentication-Results:",
            b" (comment (nested)) ",
            b'"ours.example"',
            b"ours.example;",
            b"\\o",
            b"\r\n ",
            b"\r",
            b"=?utf-8?Q?ours.example?=",
            b'"; dkim=pass',
            SEPARATOR,
            b"ours.example/1;",
        ),
    ),
)
