"""Any conversation against a model: the state table of RFC 5321 said once more, with refusals at every stage."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from gatepost.model.reply import Reply
from gatepost.protocol.events import (
    Auth,
    AuthResponse,
    BdatChunk,
    BodyChunk,
    Data,
    EndOfData,
    EngineLimits,
    Event,
    Hello,
    Mail,
    Offer,
    Pause,
    Rcpt,
    StartTls,
    Violation,
)
from gatepost.protocol.smtp_server import ServerEngine

STEPS: Final = 30
SIZE_LIMIT_BYTES: Final = 1000
_CLEAR: Final = Offer(
    hostname="ours.example", size_bytes=SIZE_LIMIT_BYTES, starttls=True, auth_under_tls=True
)
_UNDER_TLS: Final = replace(_CLEAR, starttls=False, auth=("PLAIN",), auth_under_tls=False)
_LIMITS: Final = EngineLimits()
_OK: Final = Reply(250, "2.0.0", "OK")
_REFUSED: Final = Reply(550, "5.7.1", "Refused")
_LINES: Final = (
    b"hi\r\n",
    b"..\r\n",
    b"RSET\r\n",
    b"MAIL FROM:<evil@x.test>\r\n",
    b"..x\r\n",
    b"a" * 300 + b"\r\n",
)
_YES: Final = {
    Data: Reply(354, "", "Go on"),
    StartTls: Reply(220, "2.0.0", "Go on"),
    Auth: Reply(235, "2.7.0", "Welcome"),
    AuthResponse: Reply(235, "2.7.0", "Welcome"),
}


@dataclass(slots=True)
class Client:
    """Drives the engine and keeps what was taken: sender, recipients, content."""

    chance: Random
    taken: list[tuple[str, tuple[str, ...], bytes]] = field(default_factory=list)
    refused: type[Event] | None = None
    challenged: bool = False
    engine: ServerEngine = field(init=False)
    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    content: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connect()

    def connect(self) -> None:
        """A new connection; what the old one had begun is gone."""
        self.engine = ServerEngine(_CLEAR, _LIMITS)
        self.engine.greet(Reply(220, "", "ours.example ESMTP"))
        self.sender, self.recipients, self.content = "", [], []

    def say(self, data: bytes, *, refused: type[Event] | None = None) -> str:
        """The last reply's code, "" when nothing was answered. The bytes come in any pieces."""
        self.refused = refused
        out = b""
        at, width = 0, self.chance.choice((1, 2, 3, 7, 10_000))
        while at < len(data):
            out += self._piece(data[at : at + width])
            at += width
        lines = out.decode("ascii").splitlines()
        return lines[-1][:3] if lines else ""

    def _piece(self, data: bytes) -> bytes:
        self.engine.receive(data)
        out = b""
        while not isinstance(event := self.engine.next_event(), Pause):
            if isinstance(event, BodyChunk):
                self.content.append(event.data)
                continue
            reply = self._answer(event)
            out += self.engine.send(reply)
            self._keep(event, reply)
        return out

    def _answer(self, event: Event) -> Reply:
        if isinstance(event, Violation):
            return event.reply
        if isinstance(event, EndOfData) and event.refusal:
            return event.refusal
        if type(event) is self.refused:
            return _REFUSED
        if isinstance(event, Auth) and self.challenged:
            return Reply(334, "", "")
        return _YES.get(type(event), _OK)

    def _keep(self, event: Event, reply: Reply) -> None:
        if reply.code < 400:
            match event:
                case Mail():
                    self.sender = str(event.sender)
                case Rcpt():
                    self.recipients.append(str(event.recipient.address))
                case EndOfData():
                    self.taken.append((self.sender, tuple(self.recipients), b"".join(self.content)))
        if not self.engine.in_transaction:
            self.sender, self.recipients, self.content = "", [], []


@dataclass(slots=True)
class Model:
    """What must be so. at: fresh, ready, mail, rcpt, bdat."""

    at: str = "fresh"
    tls: bool = False
    user: bool = False
    esmtp: bool = False
    sender: str = ""
    recipients: list[str] = field(default_factory=list)
    content: bytes = b""
    taken: list[tuple[str, tuple[str, ...], bytes]] = field(default_factory=list)

    def end(self, at: str = "ready") -> None:
        """The transaction is over."""
        self.at, self.sender, self.recipients, self.content = at, "", [], b""

    @property
    def in_transaction(self) -> bool:
        return self.at in ("mail", "rcpt", "bdat")


class Wrong(Exception):
    """The engine did something else than the model."""


class Conversation:
    """One client that says anything in any order; every answer is compared with the model's."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.client = Client(self.chance)
        self.model = Model()
        self.said: list[str] = []

    def step(self) -> None:
        """One thing said, one comparison. Raises Wrong."""
        likely = self.chance.random() < 0.7
        self.chance.choice(_NEXT[self.model.at] if likely else _STEPS)(self)
        engine, model = self.client.engine, self.model
        self._same(engine.in_transaction, model.in_transaction, "is in a transaction")
        self._same(engine.in_content, False, "is in content")
        self._same(engine.buffered_bytes, 0, "octets kept")
        self._same(self.client.taken[-1:], model.taken[-1:], "was taken")
        self._same(len(self.client.taken), len(model.taken), "mails")

    def hello(self) -> None:
        esmtp, refused = self.chance.random() < 0.8, self._perhaps(Hello)
        self._expect(b"EHLO x\r\n" if esmtp else b"HELO x\r\n", "550" if refused else "250", refused)
        if not refused:
            self.model.end()
            self.model.esmtp = esmtp

    def starttls(self) -> None:
        model, refused = self.model, self._perhaps(StartTls)
        allowed = not model.tls and model.at == "ready"
        code = "503" if not allowed else "550" if refused else "220"
        self._expect(b"STARTTLS\r\n", code, refused)
        if code == "220":
            self.client.engine.tls_started()
            self.client.engine.offer = _UNDER_TLS
            model.end("fresh")
            model.tls, model.user, model.esmtp = True, False, False

    def auth(self) -> None:
        model, client = self.model, self.client
        client.challenged = self.chance.random() < 0.5
        refused = self._perhaps(AuthResponse if client.challenged else Auth)
        line = b"AUTH PLAIN\r\n" if client.challenged else b"AUTH PLAIN AGEAYg==\r\n"
        if not model.tls:
            self._expect(line, "538", refused)
        elif model.user or model.at != "ready":
            self._expect(line, "503", refused)
        elif not client.challenged:
            self._expect(line, "550" if refused else "235", refused)
            model.user = not refused
        else:
            self._expect(line, "334", refused)
            self._respond(refused)

    def _respond(self, refused: type[Event] | None) -> None:
        answer = self.chance.choice((b"AGEAYg==", b"*", b"!"))
        code = "501" if answer in (b"*", b"!") else "550" if refused else "235"
        self._expect(answer + b"\r\n", code, refused)
        self.model.user = code == "235"

    def mail(self) -> None:
        model, refused = self.model, self._perhaps(Mail)
        name = self.chance.choice(("ann", "eve"))
        code = "503" if model.at != "ready" else "550" if refused else "250"
        self._expect(f"MAIL FROM:<{name}@x.test>\r\n".encode(), code, refused)
        if code == "250":
            model.at, model.sender = "mail", f"{name}@x.test"

    def rcpt(self) -> None:
        model, refused = self.model, self._perhaps(Rcpt)
        name = self.chance.choice(("bob", "joe"))
        code = "503" if model.at not in ("mail", "rcpt") else "550" if refused else "250"
        self._expect(f"RCPT TO:<{name}@o.test>\r\n".encode(), code, refused)
        if code == "250":
            model.at = "rcpt"
            model.recipients.append(f"{name}@o.test")

    def data(self) -> None:
        model, refused = self.model, self._perhaps(Data, EndOfData)
        if model.at != "rcpt":
            self._expect(b"DATA\r\n", "554" if model.at == "mail" else "503", refused)
            return
        self._expect(b"DATA\r\n", "550" if refused is Data else "354", refused)
        if refused is Data:
            model.end()
            return
        self._content(refused)

    def _content(self, refused: type[Event] | None) -> None:
        lines = [self.chance.choice(_LINES) for _ in range(self.chance.randint(0, 5))]
        match self.chance.randint(0, 9):
            case 0:  # the client hangs up in the middle
                self._expect(b"".join(lines) + b"half", "", refused)
                self._again()
            case 1:  # it tries to smuggle
                self._expect(b"".join(lines) + b"x\n.\r\n", "521", refused)
                self._again()
            case _:
                kept = b"".join(line.removeprefix(b".") for line in lines)
                too_large = len(kept) > SIZE_LIMIT_BYTES
                self._expect(
                    b"".join(lines) + b".\r\n", "552" if too_large else "550" if refused else "250", refused
                )
                self._taken(kept, not too_large and not refused)

    def bdat(self) -> None:
        model, chance = self.model, self.chance
        octets = b"".join(
            chance.choice((*_LINES, b"\n", b".\r\n", b"\0")) for _ in range(chance.randint(0, 4))
        )
        is_last = chance.random() < 0.5
        refused = self._perhaps(EndOfData if is_last else BdatChunk)
        line = b"BDAT %d%b\r\n" % (len(octets), b" LAST" if is_last else b"") + octets
        if model.at not in ("rcpt", "bdat"):
            self._expect(line, "554" if model.at == "mail" else "503", refused)
            return
        kept = model.content + octets
        if len(kept) > 2 * SIZE_LIMIT_BYTES:
            self._expect(line, "552", refused)
            self._again()
        elif is_last or len(kept) > SIZE_LIMIT_BYTES:
            too_large = len(kept) > SIZE_LIMIT_BYTES
            refused = EndOfData if refused else None
            self._expect(line, "552" if too_large else "550" if refused else "250", refused)
            self._taken(kept, not too_large and not refused)
        else:
            self._expect(line, "550" if refused else "250", refused)
            if refused:
                model.end()
            else:
                model.at, model.content = "bdat", kept

    def group(self) -> None:
        """Commands in one piece: a client that was told of PIPELINING may, others lose the connection."""
        model = self.model
        lines = b"MAIL FROM:<ann@x.test>\r\nRCPT TO:<bob@o.test>\r\nDATA\r\n"
        self.client.chance = _Whole()
        try:
            if not model.esmtp:
                self._expect(lines, "554", None)
                self._again()
                return
            code = "354" if model.at in ("ready", "mail", "rcpt") else "503"
            self._expect(lines, code, None)
        finally:
            self.client.chance = self.chance
        if code == "354":
            model.sender = model.sender or "ann@x.test"
            model.recipients.append("bob@o.test")
            self._content(None)

    def reset(self) -> None:
        self._expect(b"RSET\r\n", "250", None)
        self.model.end("fresh" if self.model.at == "fresh" else "ready")

    def noise(self) -> None:
        line, code = self.chance.choice(
            ((b"NOOP\r\n", "250"), (b"VRFY x\r\n", "250"), (b"FOO\r\n", "500"), (b"RSET x\r\n", "501"))
        )
        self._expect(line, code, None)

    def hang_up(self) -> None:
        if self.chance.random() < 0.5:
            self._expect(b"QUIT\r\n", "250", None)
        self._again()

    def _again(self) -> None:
        self.said.append("(connects again)")
        self.client.connect()
        taken = self.model.taken
        self.model = Model(taken=taken)

    def _taken(self, kept: bytes, accepted: bool) -> None:
        model = self.model
        if accepted:
            model.taken.append((model.sender, tuple(model.recipients), kept))
        model.end()

    def _perhaps(self, *kinds: type[Event]) -> type[Event] | None:
        return self.chance.choice(kinds) if self.chance.random() < 0.2 else None

    def _expect(self, data: bytes, code: str, refused: type[Event] | None) -> None:
        refusing = f" ({refused.__name__} refused)" if refused else ""
        self.said.append(f"{data[:80]!r}{refusing} -> {code}")
        self._same(self.client.say(data, refused=refused), code, "was answered")

    def _same(self, found: object, expected: object, what: str) -> None:
        if found != expected:
            raise Wrong(f"{what}: {found!r}, by the model {expected!r}")


class _Whole(Random):
    """Chance that sends everything in one piece."""

    def choice(self, seq):  # type: ignore[no-untyped-def]  # as Random's
        return seq[-1]


_STEPS: Final = (
    Conversation.hello,
    Conversation.starttls,
    Conversation.auth,
    Conversation.mail,
    Conversation.rcpt,
    Conversation.data,
    Conversation.bdat,
    Conversation.group,
    Conversation.reset,
    Conversation.noise,
    Conversation.hang_up,
)
_NEXT: Final = {
    "fresh": (Conversation.hello,),
    "ready": (
        Conversation.mail,
        Conversation.mail,
        Conversation.starttls,
        Conversation.auth,
        Conversation.group,
    ),
    "mail": (Conversation.rcpt,),
    "rcpt": (Conversation.rcpt, Conversation.data, Conversation.bdat),
    "bdat": (Conversation.bdat,),
}
"""What a client that wants to get on says where the model is; seven times in ten."""


def play(seed: int) -> str:
    """One conversation of STEPS steps; what went wrong and all that was said, "" when nothing did."""
    conversation = Conversation(seed)
    try:
        for _ in range(STEPS):
            conversation.step()
    except Wrong as wrong:
        return f"{wrong}\n" + "\n".join(conversation.said)
    return ""
