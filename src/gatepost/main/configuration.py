"""Reading the configuration with everything that is known about agents, ours and third parties'."""

from __future__ import annotations

from gatepost.config.load import Configuration, load
from gatepost.policy import order


def load_configuration(path: str) -> Configuration:
    """Read and check the file. Raises ConfigurationErrors with every mistake."""
    return load(path, agent_settings=order.agent_settings, finding_names=order.finding_names)
