"""Any conversation: one end of data is one mail with the envelope of its own transaction (invariant I4)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.protocol.talk import BANNER, HELLO, LATER, OFFER, REFUSED, Taken, Talk

from gatepost.model.reply import Reply
from gatepost.protocol.events import BdatChunk, Data, EndOfData, Event, Hello, Mail, Rcpt, Verb, XClient

NAMES = st.sampled_from(["ann", "bob", "eve"])
WORDS = st.sampled_from(
    [b"hi\r\n", b".\r\n", b"RSET\r\n", b"MAIL FROM:<evil@x.test>\r\n", b"", b"..x\r\n", b"a" * 300 + b"\r\n"]
)
CUTS = st.integers(0, 4)


class Conversation(RuleBasedStateMachine):
    """A client that says anything in any order; the model is what RFC 5321 §3.3 says of a transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Talk(offer=replace(OFFER, size_bytes=1000, xclient=("ADDR",)))
        self.ready = False
        self.sender: str | None = None
        self.recipients: list[str] = []
        self.chunks: bytes | None = None
        self.expected: list[Taken] = []

    def say(
        self, data: bytes, cut: int, refuse: type[Event] | Verb | None = None, reply: Reply = REFUSED
    ) -> str:
        self.talk.answers = {refuse: reply} if refuse else {}
        return (self.talk.codes(data, cut=cut) or ["nothing"])[-1]

    def forget(self) -> None:
        self.sender, self.recipients, self.chunks = None, [], None

    @rule(cut=CUTS, esmtp=st.booleans(), refused=st.booleans())
    def hello(self, cut: int, esmtp: bool, refused: bool) -> None:
        code = self.say(HELLO if esmtp else b"HELO x\r\n", cut, Hello if refused else None)
        assert code[0] == ("5" if refused else "2")
        if not refused:
            self.ready = True
            self.forget()

    @rule(cut=CUTS, name=NAMES, refused=st.booleans())
    def mail(self, cut: int, name: str, refused: bool) -> None:
        allowed = self.ready and self.sender is None
        code = self.say(b"MAIL FROM:<%b@x.test>\r\n" % name.encode(), cut, Mail if refused else None)
        assert code[:3] == ("503" if not allowed else "550" if refused else "250")
        if allowed and not refused:
            self.sender = f"{name}@x.test"

    @rule(cut=CUTS, name=NAMES, refused=st.booleans())
    def rcpt(self, cut: int, name: str, refused: bool) -> None:
        allowed = self.sender is not None and self.chunks is None
        code = self.say(b"RCPT TO:<%b@o.test>\r\n" % name.encode(), cut, Rcpt if refused else None, LATER)
        assert code[:3] == ("503" if not allowed else "451" if refused else "250")
        if allowed and not refused:
            self.recipients.append(f"{name}@o.test")

    @rule(cut=CUTS, content=st.lists(WORDS, max_size=5), refused=st.sampled_from([None, Data, EndOfData]))
    def data(self, cut: int, content: list[bytes], refused: type[Event] | None) -> None:
        code = self.say(b"DATA\r\n", cut, refused)
        if not self.recipients or self.chunks is not None:
            assert code[:3] in ("503", "554")
            return
        if refused is Data:
            assert code[:3] == "550"
            self.forget()
            return
        text = b"".join(line if line != b".\r\n" else b"..\r\n" for line in content)
        kept = b"".join(line[1:] if line[:1] == b"." and line != b".\r\n" else line for line in content)
        code = self.say(text + b".\r\n", cut, refused)
        self.finish(code, kept, refused is EndOfData)

    @rule(cut=CUTS, content=st.lists(WORDS, max_size=4), last=st.booleans(), refused=st.booleans())
    def bdat(self, cut: int, content: list[bytes], last: bool, refused: bool) -> None:
        octets = b"".join(content)
        head = b"BDAT %d%b\r\n" % (len(octets), b" LAST" if last else b"")
        too_far = len(octets) + len(self.chunks or b"") > 2000
        refuse = (EndOfData if last else BdatChunk) if refused else None
        code = self.say(head + octets, cut, refuse)
        if not self.recipients:
            assert code[:3] in ("503", "554")
            return
        kept = (self.chunks or b"") + octets
        if too_far:
            assert self.talk.closed
            self.start_again()
        elif last or len(kept) > 1000:
            self.finish(code, kept, refused)
        elif refused:
            assert code[:3] == "550"
            self.forget()
        else:
            assert code[:3] == "250"
            self.chunks = kept

    @rule(cut=CUTS, refused=st.booleans())
    def xclient(self, cut: int, refused: bool) -> None:
        code = self.say(b"XCLIENT ADDR=192.0.2.7\r\n", cut, XClient, REFUSED if refused else BANNER)
        assert code[:3] == ("503" if self.sender is not None else "550" if refused else "220")
        self.ready = self.ready and (refused or self.sender is not None)

    @rule(cut=CUTS)
    def reset(self, cut: int) -> None:
        assert self.say(b"RSET\r\n", cut)[:3] == "250"
        self.forget()

    @rule(
        cut=CUTS,
        line=st.sampled_from(
            [b"NOOP\r\n", b"VRFY x\r\n", b"FOO\r\n", b"RCPT TO:<a@b@c>\r\n", b"MAIL\r\n", b"EHLO\r\n"]
        ),
    )
    def noise(self, cut: int, line: bytes) -> None:
        self.say(line, cut)

    @precondition(lambda self: self.sender is not None)
    @rule()
    def hang_up(self) -> None:
        self.start_again()

    def start_again(self) -> None:
        taken = self.talk.taken
        self.talk = Talk(offer=self.talk.offer)
        self.talk.taken = taken
        self.ready = False
        self.forget()

    def finish(self, code: str, kept: bytes, refused: bool) -> None:
        if len(kept) > 1000:
            assert code == "552 5.3.4"
        elif refused:
            assert code[:3] == "550"
        else:
            assert code[:3] == "250"
            assert self.sender is not None
            self.expected.append(Taken(self.sender, tuple(self.recipients), kept))
        self.forget()

    @invariant()
    def every_mail_is_its_own(self) -> None:
        assert self.talk.taken == self.expected
        assert self.talk.engine.in_transaction is (self.sender is not None)
        assert not self.talk.engine.in_content
        assert self.talk.engine.buffered_bytes == 0


Conversation.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_any_conversation = pytest.mark.threat("B10", "B11", "B12", "B13")(Conversation.TestCase)


SCRAPS = st.sampled_from(
    [
        b"EHLO x\r\n",
        b"MAIL FROM:<a@b.test>\r\n",
        b"RCPT TO:<a@b.test>\r\n",
        b"DATA\r\n",
        b"BDAT 3\r\nabc",
        b"BDAT 5 LAST\r\n",
        b"RSET\r\n",
        b"x",
        b"\r",
        b"\n",
        b"\r\n",
        b".",
        b"\r\n.\r\n",
        b"\0",
        b"\xff",
        b"<",
        b">",
        b'"',
        b"\\",
        b" ",
        b"AUTH PLAIN\r\n",
        b"STARTTLS\r\n",
        b"XCLIENT ",
        b"ADDR=192.0.2.7",
        b"LOGIN=+",
        b"*\r\n",
    ]
)
EVERYTHING = replace(OFFER, starttls=True, auth=("PLAIN",), xclient=("ADDR", "LOGIN"), size_bytes=50)


@settings(max_examples=150)
@given(scraps=st.lists(SCRAPS | st.binary(max_size=6), max_size=20), cut=st.integers(0, 3))
def test_any_bytes_are_survived(scraps: list[bytes], cut: int) -> None:
    # Given any scraps; when they are said
    talk = Talk(offer=EVERYTHING)
    talk.say(b"EHLO x\r\n")
    for scrap in scraps:
        talk.say(scrap, cut=cut)
    # Then nothing but replies came of it, and next to nothing is kept
    assert talk.engine.buffered_bytes <= 12288
    assert all(len(t.content) <= 50 and t.recipients for t in talk.taken)
