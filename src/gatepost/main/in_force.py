"""The configuration that a running gateway goes on with while its file has mistakes: what the command line works by."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from gatepost.adapters.control_socket import ask
from gatepost.config.broken_file import stated_directory
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import SIZE_LIMIT_BYTES, Configuration
from gatepost.control.gateway import AskConfiguration, InForce, decode_reply, encode
from gatepost.main.configuration import read_again
from gatepost.main.places import gateway_socket_in
from gatepost.model.fault import WorldFault

ASK_TIMEOUT_S: Final = 10.0


def in_force(path: str) -> Configuration | None:
    """None when no gateway answers that was started with this file."""
    socket = gateway_socket_in(Path(stated_directory(_text_of(path))))
    try:
        said = decode_reply(ask(str(socket), encode(AskConfiguration()), timeout_s=ASK_TIMEOUT_S))
    except (WorldFault, ValueError):
        return None
    if not isinstance(said, InForce) or said.path != os.path.abspath(path):
        return None
    try:
        return read_again(said.path, said.text)
    except ConfigurationErrors:  # a gateway of another version may know other settings
        return None


def _text_of(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(SIZE_LIMIT_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""
