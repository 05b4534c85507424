"""The settings every agent has: whether and where it is asked, and about whose mail."""

from __future__ import annotations

from collections.abc import Iterator

from gatepost.config.schema import Table, setting


class AgentTable(Table):
    """[agents.NAME]: what every agent understands."""

    enabled: bool = setting("Whether the agent is asked", default=True)
    connectors: tuple[str, ...] = setting(
        "Receive connectors on which it is asked; empty: all of them", default=()
    )

    def dangers(self) -> Iterator[tuple[str, str]]:
        """Settings that work and may be regretted, and why; `gatepost config check` warns of them."""
        yield from ()


class FilterTable(AgentTable):
    """[agents.NAME] of an antispam filter: the right bypass-filters keeps it from being asked."""

    external_mail: bool = setting("Ask about mail that is not internal", default=True)
    internal_mail: bool = setting(
        "Ask about internal mail: of clients with the right internal, from senders in domains of ours",
        default=False,
    )
