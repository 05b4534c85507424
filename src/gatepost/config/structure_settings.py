"""How far the structure of a mail is read, whoever made it."""

from __future__ import annotations

from gatepost.config.schema import Size, Table, setting, size


class MailStructure(Table):
    """[structure]: limits of reading a mail's parts; past one the reading stops, and says which and where."""

    depth: int = setting(
        "Multiparts and attached mails within each other; a deeper one is not opened",
        default=50,
        low=1,
        high=200,
    )
    parts: int = setting(
        "Parts of one mail, multiparts included; what follows is not read", default=1000, low=1, high=100_000
    )
    part_header_bytes: Size = setting(
        "Header fields of one part; what follows is not read as fields",
        default=size(64, "KiB"),
        low=1024,
        high=1 << 20,
    )
    parameters: int = setting("Parameters of one field", default=100, low=10, high=1000)
    boundary_bytes: Size = setting(
        "A longer boundary is not looked for; RFC 2046 allows 70 octets", default=size(256), low=70, high=4096
    )
    delimiter_lines: int = setting(
        "Lines of a mail that begin like a delimiter and are none; behind them no more are looked for",
        default=10_000,
        low=100,
        high=1_000_000,
    )
    name_chars: int = setting("Characters of a file name that are shown", default=255, low=16, high=1000)
    leaf_bytes: Size = setting("What is decoded of one part", default=size(64, "MiB"), low=1024, high=1 << 30)
    expansion: int = setting(
        "What is decoded of mails that are attached encoded, and of those within them: so many times the mail",
        default=2,
        low=1,
        high=10,
    )
