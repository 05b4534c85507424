"""Writes the first corpus of each target: well-formed inputs to begin from. `python -m fuzz.seeds`."""

from __future__ import annotations

import struct
from typing import Final

from fuzz.more_seeds import seeds as seeds_of_others
from fuzz.targets import CORPUS
from gatepost.control.commands import AskStatus, RetryMail, Target, encode

SEEDS: Final[dict[str, tuple[bytes, ...]]] = {
    "commands": (
        b"EHLO client.example\r\n",
        b"MAIL FROM:<ann@client.example> SIZE=1000 BODY=8BITMIME\r\n",
        b"MAIL FROM:<> RET=HDRS ENVID=a+2Bb AUTH=<> SMTPUTF8\r\n",
        b'RCPT TO:<"a b"@ours.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@ours.example\r\n',
        b"RCPT TO:<@a.example,@b.example:bob@[IPv6:2001:db8::1]>\r\n",
        b"BDAT 1000 LAST\r\n",
        b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n",
        b"XCLIENT ADDR=IPV6:2001:db8::1 NAME=a.example HELO=x PROTO=ESMTP\r\n",
        b"VRFY bob\r\n",
    ),
    "replies": (
        b"250-one\r\n250-SIZE 1000\r\n250 DSN\r\n",
        b"220 there.example ESMTP\r\n550 5.1.1 No such user\r\n",
        b"421\r\n",
    ),
    "framing": (
        b"Subject: hi\r\n\r\nhello\r\n.\r\nQUIT\r\n",
        b"..stuffed\r\n.\r\n",
        b"\r\n.\r\n",
        b"a\r\n.\n.\r\n",
        b"a\r\n\0.\r\n.\r\n",
    ),
    "header-index": (
        b"Received: from a by b;\r\n date\r\nFrom: Ann <ann@client.example>\r\nSubject: hi\r\n\r\nbody",
        b"X-Gatepost-SCL: 0\r\nAuthentication-Results: (x) ours.example; spf=pass\r\n\r\n",
        b"no colon\r\n: empty\r\nSubject:=?utf-8?B?aGk=?=\r\n",
    ),
    "addresses": (
        b"ann@client.example",
        b"<ann@[192.0.2.1]>",
        b'<"a\\"b"@x.example> SIZE=1',
        "<\u00e9@b\u00fccher.example>".encode(),
    ),
    "proxy-header": (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 25\r\nEHLO x\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(4) + b"\xc0\0\2\1" + struct.pack("!HH", 1000, 25),
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    ),
    "notices": (
        b"550 5.1.1 No such user\x1eSubject: hi\n\nbody\n",
        b"451 later\x1eFrom: \xc3\xa9@x.example\n\n\xff\xfe\n",
    ),
    "configuration": (
        b'[server]\nhostname = "ours.example"\n[receive-connectors.mx]\nlisten = ["127.0.0.1:25"]\n'
        b'[accepted-domains]\n"ours.example" = {}\n',
        b'[[send-connectors]]\nx = 1\n[agents.recipient-filter]\nblocked-recipients = ["a@b"]\n',
    ),
    "toml-lines": (
        b'a = 1\n[b.c]\nd = """x\ny"""\ne = [1,\n {f = 2}]\n[[g]]\nh = 1979-05-27\n[[g]]\n',
        b"'k' = '''\n'''\n\"q\\\"\" = {x.y = 1} # end\n",
    ),
    "control": (
        encode(AskStatus()),
        encode(RetryMail(targets=(Target(1),))),
    ),
    "dns-answers": (
        b"\0\x01\x81\x80\0\1\0\1\0\0\0\0\1a\7example\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",
        b"\0\x01\x81\x83\0\1\0\0\0\0\0\0\1a\7example\0\0\1\0\1",
    ),
}


def write() -> None:
    """Each seed as a file of its target's folder. Keys and certificates of a folder that is there stay as they are."""
    made = {name: found for name, found in seeds_of_others().items() if not (CORPUS / name).is_dir()}
    for name, seeds in {**SEEDS, **made}.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(seeds):
            (folder / f"seed-{number}").write_bytes(seed)


if __name__ == "__main__":
    write()
