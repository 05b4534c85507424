"""Who may send what to whom. The first table is threats F as a gateway with default settings sees it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from tests.agents.asking import ask, said, settings
from tests.policy.fakes import ACCOUNT, ANONYMOUS, DOMAINS, OWN_IP, STRANGER, session, site, to, view

from gatepost.agents.relay_restriction import RelayRestriction
from gatepost.facts.recipient_domain import find_recipient_domain
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.model.fault import PeerFault
from gatepost.model.known import MailView
from gatepost.model.session import ClientKind, Rights, Session
from gatepost.model.verdict import DelayReply, Stage, Verdict
from gatepost.protocol.addresses import parse_recipient

SITE = site(accepted_domains=AcceptedDomains(DOMAINS))
NAMED = session(kind=ClientKind.NAMED, rights=ANONYMOUS | Rights.RELAY)


def agent(**given: Any) -> RelayRestriction:
    return RelayRestriction(settings(RelayRestriction, given), SITE)


def ask_about(mail: MailView, by: RelayRestriction) -> Verdict:
    return ask(by, mail, find_recipient_domain(mail, SITE))


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    then: str
    sender: str = "spam@foreign.test"
    literals: bool = False
    who: Session = field(default=STRANGER)


RELAYING: list[Case] = [
    Case("F01 foreign sender and recipient", "u@foreign.test", "550 5.7.1"),
    Case("F02 null sender", "u@foreign.test", "550 5.7.1", sender=""),
    Case("F03 a sender that looks local", "u@foreign.test", "550 5.7.1", sender="bob@gate.test"),
    Case("F04 sender at our address", "u@foreign.test", "550 5.7.1", sender=f"x@[{OWN_IP}]"),
    Case("F04 sender at localhost", "u@foreign.test", "550 5.7.1", sender="x@localhost"),
    Case("F05 percent at our address", f"u%foreign.test@[{OWN_IP}]", "550 5.7.1"),
    Case("F06 percent is a local part", "u%foreign.test@gate.test", "pass"),
    Case("F07 quoted address alone", '"u@foreign.test"', "refused"),
    Case("F08 quoted percent alone", '"u%foreign.test"', "refused"),
    Case("F09 two at signs", f"u@foreign.test@[{OWN_IP}]", "refused"),
    Case("F10 quoted at our address", f'"u@foreign.test"@[{OWN_IP}]', "550 5.7.1"),
    Case("F11 two at signs, ours last", "u@foreign.test@gate.test", "refused"),
    Case("F12 source route by our address", f"@[{OWN_IP}]:u@foreign.test", "550 5.7.1"),
    Case("F13 source route by our domain", "@gate.test:u@foreign.test", "550 5.7.1"),
    Case("F14 bang path", "foreign.test!u", "refused"),
    Case("F15 bang path at our address", f"foreign.test!u@[{OWN_IP}]", "550 5.7.1"),
    Case("F16 bang path is a local part", "foreign.test!u@gate.test", "pass"),
    Case("F17 final dot", "u@foreign.test.", "550 5.7.1"),
    Case("F17 upper case", "u@FOREIGN.TEST", "550 5.7.1"),
    Case("F17 final dot of ours", "u@gate.test.", "pass"),
    Case("F17 upper case of ours", "u@GATE.TEST", "pass"),
    Case("F18 our own address, not enabled", f"u@[{OWN_IP}]", "550 5.7.1"),
    Case("F18 our own address, enabled", f"u@[{OWN_IP}]", "pass", literals=True),
    Case("F18 another address, enabled", "u@[203.0.113.9]", "550 5.7.1", literals=True),
    Case("F18 IPv6", "u@[IPv6:2001:db8::1]", "550 5.7.1", literals=True),
    Case("F19 bare address", "u@203.0.113.9", "refused"),
    Case("F19 decimal", "u@2130706433", "refused"),
    Case("F19 hexadecimal", "u@0x7f000001", "refused"),
    Case("F19 number sign", "u@#123", "refused"),
    Case("F20 a subdomain of ours", "u@sub.gate.test", "550 5.7.1"),
    Case("F20 a subdomain that is listed", "u@sub.branch.test", "pass"),
    Case("F20 its parent is not", "u@branch.test", "550 5.7.1"),
    Case("F21 two recipients in one", "u@gate.test,v@foreign.test", "refused"),
    Case("F21 with a blank", "u@gate.test v@foreign.test", "refused"),
    Case("F21 with a semicolon", "u@gate.test;foreign.test", "refused"),
    Case("F23 a local part for a shell", "-oQ/tmp;|`$(x)`@gate.test", "refused"),
    Case("F23 quoted, for a shell", '"-oQ/tmp;|`$(x)`/.."@gate.test', "pass"),
    Case("F24 no local part", "@gate.test", "refused"),
    Case("F24 nobody", "", "refused"),
    Case("F24 long local part", "x" * 65 + "@gate.test", "refused"),
    Case("F24 long label", "u@" + "x" * 64 + ".test", "refused"),
    Case("F26 postmaster", "postmaster", "pass"),
    Case("F26 Postmaster", "PostMaster", "pass"),
    Case("F26 postmaster of another domain", "postmaster@foreign.test", "550 5.7.1"),
    Case("an accepted domain", "bob@gate.test", "pass"),
    Case("a relay domain of ours", "x@relay.test", "pass"),
    Case("a relay domain of others", "x@far.test", "pass"),
    Case("an account may relay", "u@foreign.test", "pass", who=ACCOUNT),
    Case("a named range may relay", "u@foreign.test", "pass", who=NAMED),
]


@pytest.mark.threat(
    "F01",
    "F02",
    "F03",
    "F04",
    "F05",
    "F06",
    "F07",
    "F08",
    "F09",
    "F10",
    "F11",
    "F12",
    "F13",
    "F14",
    "F15",
    "F16",
    "F17",
    "F18",
    "F19",
    "F20",
    "F21",
    "F23",
    "F24",
    "F26",
)
@pytest.mark.parametrize("case", RELAYING, ids=lambda c: c.name)
def test_relaying(case: Case) -> None:
    """The address as the engine reads it, the domain as the fact has it, the agent as it stands."""
    if case.then == "refused":
        with pytest.raises(PeerFault) as refused:
            parse_recipient(case.path, utf8=False)
        assert refused.value.reply.is_permanent
        return
    address = parse_recipient(case.path, utf8=False)
    mail = view(Stage.RCPT, who=case.who, sender=case.sender, recipient=address)
    by = agent(**({"own-address-literals": True} if case.literals else {}))
    assert said(ask_about(mail, by)) == case.then


@pytest.mark.threat("F07", "F08", "F14", "F24")
@pytest.mark.parametrize("text", ["u", "u@foreign.test@", ""])
def test_a_recipient_without_domain_is_refused_here_too(text: str) -> None:
    """Should the engine ever let one through."""
    recipient = to("x@y.test") if text.endswith("@") else to(text)
    mail = view(Stage.RCPT, recipient=str(recipient.address))
    assert said(ask_about(mail, agent())) in ("553 5.1.3", "550 5.7.1")


@pytest.mark.threat("F34")
def test_header_fields_say_nothing_about_relaying() -> None:
    mail = view(Stage.RCPT, recipient="u@foreign.test")
    assert mail.head == b""
    assert said(ask_about(mail, agent())) == "550 5.7.1"


EVERY_KIND = frozenset({"single-label", "reserved-top-level", "reserved-second-level"})
LEADING_NOWHERE = [
    ("a name without a dot", "u@server", "550 5.1.6"),
    ("localhost", "u@localhost", "550 5.1.6"),
    ("a reserved top level", "u@mail.foreign.invalid", "550 5.1.4"),
    ("in capitals", "u@FOREIGN.EXAMPLE", "550 5.1.4"),
    ("a reserved name", "u@example.org", "550 5.1.5"),
    ("below a reserved name", "u@mail.example.com", "550 5.1.5"),
    ("a name like a reserved one", "u@notexample.com", "pass"),
    ("a name above a reserved one", "u@example.com.au", "pass"),
    ("an address", "u@[203.0.113.9]", "pass"),
    ("an accepted domain, reserved all the same", "bob@gate.test", "pass"),
]


@pytest.mark.parametrize(("name", "path", "then"), LEADING_NOWHERE, ids=[row[0] for row in LEADING_NOWHERE])
def test_domains_that_lead_nowhere(name: str, path: str, then: str) -> None:
    mail = view(Stage.RCPT, who=ACCOUNT, recipient=parse_recipient(path, utf8=False))
    strict = replace(SITE, refused_domains=EVERY_KIND)
    by = RelayRestriction(settings(RelayRestriction, {}), strict)
    assert said(ask(by, mail, find_recipient_domain(mail, strict))) == then
    # And nothing of it where the connector does not say so
    assert said(ask_about(mail, agent())) == "pass"


@dataclass(frozen=True)
class Sending:
    name: str
    sender: str
    then: str
    rights: Rights = ANONYMOUS
    user: str = ""


S, ANY, OWN = Rights.SUBMIT, Rights.ANY_SENDER, Rights.OWN_DOMAIN_SENDER
SENDING = [
    Sending("anybody may send", "ann@client.test", "pass"),
    Sending("as one of ours, by default", "bob@gate.test", "pass"),
    Sending("the null sender", "", "pass"),
    Sending("the null sender needs no other right", "", "pass", S),
    Sending("no right to submit", "ann@client.test", "550 5.7.1", Rights.NONE),
    Sending("no right to submit, null sender", "", "550 5.7.1", Rights.NONE),
    Sending("ours without the right to it", "bob@gate.test", "550 5.7.1", S | ANY),
    Sending("ours in a subdomain", "bob@x.branch.test", "550 5.7.1", S | ANY),
    Sending("a relay domain is not ours", "bob@relay.test", "pass", S | ANY),
    Sending("only ours", "ann@client.test", "550 5.7.1", S | OWN),
    Sending("only ours, ours", "bob@gate.test", "pass", S | OWN),
    Sending("E11 an account as itself", "ann@gate.test", "pass", S, "ann@gate.test"),
    Sending("E11 in another case", "Ann@gate.test", "pass", S, "ann@GATE.test"),
    Sending("E11 as somebody else", "bob@gate.test", "550 5.7.1", S, "ann@gate.test"),
    Sending("E11 as a stranger", "x@client.test", "550 5.7.1", S, "ann@gate.test"),
    Sending("E11 a short name", "ann@gate.test", "pass", S, "ann"),
    Sending("E11 a short name elsewhere", "ann@client.test", "550 5.7.1", S, "ann"),
    Sending("E11 a short name of another", "bob@gate.test", "550 5.7.1", S, "ann"),
]


@pytest.mark.threat("E11")
@pytest.mark.parametrize("case", SENDING, ids=lambda c: c.name)
def test_sending(case: Sending) -> None:
    kind = ClientKind.AUTHENTICATED if case.user else ClientKind.ANONYMOUS
    mail = view(Stage.MAIL, who=session(rights=case.rights, user=case.user, kind=kind), sender=case.sender)
    assert said(ask(agent(), mail)) == case.then


def test_who_could_log_in_is_told_so() -> None:
    by = RelayRestriction(settings(RelayRestriction), site(offers_auth=True))
    assert said(ask(by, view(Stage.MAIL, who=session(rights=Rights.NONE)))) == "530 5.7.0"


TARPIT = [
    ("a stranger waits", ClientKind.ANONYMOUS, 5.0, (DelayReply(5.0),)),
    ("an account does not", ClientKind.AUTHENTICATED, 5.0, ()),
    ("a named range does not", ClientKind.NAMED, 5.0, ()),
    ("the tarpit is off", ClientKind.ANONYMOUS, 0.0, ()),
]


@pytest.mark.parametrize(("name", "kind", "tarpit_s", "effects"), TARPIT, ids=[row[0] for row in TARPIT])
def test_tarpit(name: str, kind: ClientKind, tarpit_s: float, effects: tuple[DelayReply, ...]) -> None:
    by = RelayRestriction(settings(RelayRestriction), site(tarpit_s=tarpit_s))
    mail = view(Stage.RCPT, who=session(kind=kind), recipient="u@foreign.test")
    assert ask_about(mail, by).effects == effects
