"""Mails of known structure, composed for whoever walks them."""

from __future__ import annotations

import base64
import quopri
from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Tree:
    """A part to be written: parts of a multipart, the one of an attached mail, or contents."""

    media_type: str
    parts: tuple[Tree, ...] = ()
    content: bytes = b""
    encoding: str = "8bit"
    preamble: bytes = b""
    epilogue: bytes = b""

    def shape(self) -> tuple[object, ...]:
        """What a walk has to give back."""
        if self.parts:
            return (self.media_type, tuple(part.shape() for part in self.parts))
        return (self.media_type, self.encoding, self.content)


_CONTENTS = st.binary(max_size=60).map(lambda octets: octets.replace(b"\n", b"").replace(b"\r", b""))
_LEAVES = st.builds(
    Tree,
    media_type=st.sampled_from(["text/plain", "text/html", "application/pdf", "image/png"]),
    content=_CONTENTS,
    encoding=st.sampled_from(["7bit", "8bit", "binary", "base64", "quoted-printable"]),
)


def _containers(inner: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    text = st.sampled_from([b"", b"text for old readers", b"\r\n\r\n", b"-- \r\nsignature"])
    multiparts = st.builds(
        Tree,
        media_type=st.sampled_from(["multipart/mixed", "multipart/alternative", "multipart/related"]),
        parts=st.lists(inner, min_size=1, max_size=4).map(tuple),
        preamble=text,
        epilogue=text,
    )
    mails = st.builds(Tree, media_type=st.just("message/rfc822"), parts=st.tuples(inner))
    return multiparts | mails


trees = st.recursive(_LEAVES, _containers, max_leaves=12)


def written(tree: Tree, *, is_mail: bool = True, number: list[int] | None = None) -> bytes:
    """The mail (or the part) that a tree stands for."""
    number = [0] if number is None else number
    head = b"Subject: x\r\nMIME-Version: 1.0\r\n" if is_mail else b""
    if tree.media_type == "message/rfc822":
        return head + b"Content-Type: message/rfc822\r\n\r\n" + written(tree.parts[0], number=number)
    if tree.parts:
        number[0] += 1
        boundary = b"=_%d_end" % number[0]
        head += b'Content-Type: %s;\r\n\tboundary="%s"\r\n\r\n' % (tree.media_type.encode(), boundary)
        body = tree.preamble + (b"\r\n" if tree.preamble else b"")
        for part in tree.parts:
            body += b"--" + boundary + b"\r\n" + written(part, is_mail=False, number=number) + b"\r\n"
        return head + body + b"--" + boundary + b"--\r\n" + tree.epilogue
    head += b"Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n" % (
        tree.media_type.encode(),
        tree.encoding.encode(),
    )
    if tree.encoding == "base64":
        return head + base64.encodebytes(tree.content).replace(b"\n", b"\r\n")
    if tree.encoding == "quoted-printable":
        return head + quopri.encodestring(tree.content, quotetabs=True).replace(b"\n", b"\r\n")
    return head + tree.content
