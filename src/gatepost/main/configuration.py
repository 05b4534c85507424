"""Reading the configuration with everything that is known about agents, ours and third parties', and credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gatepost.config import load as loading
from gatepost.config.credentials import Credentials
from gatepost.config.load import Configuration
from gatepost.main.agent_trial import tried
from gatepost.policy import order


def load_configuration(path: str) -> Configuration:
    """Read and check the file, to look at it. Raises ConfigurationErrors with every mistake."""
    return _checked_file(path, needed=False)


def load_to_run(path: str) -> Configuration:
    """As load_configuration, for a gateway that starts or reloads with it: credentials must be there."""
    return _checked_file(path, needed=True)


def _checked_file(path: str, *, needed: bool) -> Configuration:
    return tried(
        loading.load(
            path,
            agent_settings=order.agent_settings,
            finding_names=order.finding_names,
            built_in_agents=order.BUILT_IN,
            credentials=_credentials(needed=needed),
        )
    )


def load_text(path: str, text: str) -> Configuration:
    """As load_to_run, of the text that was read from the path already."""
    return _checked_text(path, text, needed=True)


def read_again(path: str, text: str) -> Configuration:
    """A text that a running gateway goes on with: not checked again. Raises ConfigurationErrors."""
    return loading.read_again(
        text, file=path, agent_settings=order.agent_settings, credentials=_credentials(needed=False)
    )


def load_to_try(path: str, text: str, above: Mapping[str, Any]) -> Configuration:
    """As load_configuration, of a text, with other tables laid over its own."""
    return _checked_text(path, text, needed=False, above=above)


def _checked_text(
    path: str, text: str, *, needed: bool, above: Mapping[str, Any] = MappingProxyType({})
) -> Configuration:
    return tried(
        loading.load_text(
            text,
            file=path,
            agent_settings=order.agent_settings,
            finding_names=order.finding_names,
            built_in_agents=order.BUILT_IN,
            credentials=_credentials(needed=needed),
            above=above,
        )
    )


def _credentials(*, needed: bool) -> Credentials:
    return Credentials(os.environ.get("CREDENTIALS_DIRECTORY", ""), needed=needed)
