"""--dns FILE: questions are answered from a file of records instead of by name servers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gatepost.cli.front import Face

if TYPE_CHECKING:
    from gatepost.ports.resolver import Lookup

SIZE_LIMIT_BYTES: Final = 4 << 20


def zone_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """For commands that ask the DNS; the parameter is `zone`: the text, "" without the option."""
    return click.option(
        "--dns",
        "zone",
        metavar="FILE",
        default="",
        callback=_read,
        help="Ask no name server: lines NAME TYPE DATA are all the DNS there is.",
    )(command)


def asked(face: Face, zone: str, asker: Callable[[Lookup], Coroutine[Any, Any, Any]]) -> Any:
    """What the asker finds out. Raises WorldFault, and click.BadParameter for a line that is no record."""
    if not zone:
        return face.world.ask_dns(face.configuration.settings, asker)
    try:
        return face.world.ask_zone(zone, asker)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--dns") from None


def _read(_ctx: click.Context, _param: click.Parameter, path: str) -> str:
    if not path:
        return ""
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(SIZE_LIMIT_BYTES + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(
            f"{path}: {getattr(error, 'strerror', None) or 'is not UTF-8 text'}"
        ) from None
    if len(text) > SIZE_LIMIT_BYTES:
        raise click.BadParameter(f"{path} is larger than {SIZE_LIMIT_BYTES >> 20} MiB")
    return text or "\n"
