"""Reading the configuration with everything that is known about agents, ours and third parties'."""

from __future__ import annotations

from gatepost.config import load as loading
from gatepost.config.load import Configuration
from gatepost.policy import order


def load_configuration(path: str) -> Configuration:
    """Read and check the file. Raises ConfigurationErrors with every mistake."""
    return loading.load(path, agent_settings=order.agent_settings, finding_names=order.finding_names)


def load_to_run(path: str) -> Configuration:
    """As load_configuration, for a gateway that starts or reloads with it."""
    return load_configuration(path)


def load_text(path: str, text: str) -> Configuration:
    """As load_configuration, of the text that was read from the path already."""
    return loading.load_text(
        text, file=path, agent_settings=order.agent_settings, finding_names=order.finding_names
    )
