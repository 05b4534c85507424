"""What is imported late, imported early: before root is given up, and before workers are forked.

An interpreter may live where only root can read; a module that is first needed after the
account was changed cannot be found any more (design/proof.md 2.2). It also makes a
restarted worker quick: it is forked with everything already there.
"""

from __future__ import annotations

import codecs
import contextlib
from importlib import import_module
from typing import Final

_LATE: Final = (
    "asyncio.runners",
    "asyncio.unix_events",
    "concurrent.futures.thread",
    "cryptography.hazmat.backends.openssl.backend",
    "encodings.idna",
    "linecache",
    "multiprocessing",
    "prometheus_client.openmetrics.exposition",
    "stringprep",
    "tokenize",
    "traceback",
    "unicodedata",
)
CODECS: Final = (
    "ascii",
    "latin-1",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-be",
    "utf-16-le",
    "idna",
    "punycode",
    "unicode_escape",
    "raw_unicode_escape",
    "koi8-r",
    "koi8-u",
    "tis-620",
    "gb2312",
    "gbk",
    "gb18030",
    "big5",
    "shift_jis",
    "euc-jp",
    "euc-kr",
    "iso-2022-jp",
    "mac-roman",
    *(f"iso-8859-{number}" for number in range(1, 17)),
    *(f"windows-{number}" for number in range(1250, 1259)),
)


def import_everything(event_loop: str) -> None:
    """event_loop: server.event-loop."""
    for name in _LATE:
        import_module(name)
    for name in CODECS:
        with contextlib.suppress(LookupError):
            codecs.lookup(name)
    if event_loop == "uvloop":
        import_module("uvloop").new_event_loop().close()
