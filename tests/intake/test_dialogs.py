"""Every conversation in tests/dialogs, spoken to the real doors over a socket, line by line.

A dialog file: `#` lines say which rule it shows (and `# threat: A01 B02` which rows); `C:` is
what the client sends, with CR LF; `EHLO` says it and reads
the whole answer; `c:` is sent as a Python bytes literal; `S:` is a line we
expect, whole or as far as `...`; `S: 250-` lines stand for themselves; `-- closed` means that
the connection ends here; `-- accepted N` counts the mails the store has got so far; `-- text B`
looks for a Python bytes literal in the last of them.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
from pathlib import Path

import pytest
from tests.intake.house import House, open_house

DIALOGS = sorted((Path(__file__).parent.parent / "dialogs").glob("*.txt"))
_THREATS = re.compile(r"^# threat: (.+)$", re.MULTILINE)


def threats_of(path: Path) -> tuple[str, ...]:
    return tuple(word for line in _THREATS.findall(path.read_text("utf-8")) for word in line.split())


def cases() -> list[object]:
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.threat(*threats_of(path))]) for path in DIALOGS
    ]


@pytest.mark.parametrize("path", cases())
def test_dialog(path: Path) -> None:
    asyncio.run(hold(path.read_text("utf-8").splitlines()))


async def hold(lines: list[str]) -> None:
    async with open_house() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        try:
            for number, line in enumerate(lines, 1):
                await step(line, f"line {number}: {line}", house, reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def octets(text: str) -> bytes:
    """A bytes literal, or several of them added or repeated."""
    total = b""
    for part in text.split(" + "):
        literal, _, times = part.partition(" * ")
        value = ast.literal_eval(literal)
        assert isinstance(value, bytes)
        total += value * int(times or 1)
    return total


async def step(
    line: str, where: str, house: House, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    kind, _, text = line.partition(" ")
    match kind:
        case "C:":
            writer.write(text.encode() + b"\r\n")
        case "c:":
            writer.write(octets(text))
        case "EHLO":
            writer.write(b"EHLO client.example\r\n")
            while (await asyncio.wait_for(reader.readline(), 5)).startswith(b"250-"):
                pass
        case "S:":
            got = (await asyncio.wait_for(reader.readline(), 5)).decode().rstrip("\r\n")
            wanted = text.removesuffix("...")
            assert got.startswith(wanted) if text.endswith("...") else got == text, f"{where}\n    got: {got}"
        case "--":
            await look(text, where, house, reader)
        case _:
            assert not line.strip() or line.startswith("#"), f"{where}: not a line of a dialog"


async def look(text: str, where: str, house: House, reader: asyncio.StreamReader) -> None:
    verb, _, argument = text.partition(" ")
    if verb == "closed":
        assert await asyncio.wait_for(reader.read(), 5) == b"", where
    elif verb == "accepted":
        assert len(house.accepted) == int(argument), where
    elif verb == "text":
        assert octets(argument) in house.message(-1), where
    else:
        raise AssertionError(f"{where}: not a line of a dialog")
