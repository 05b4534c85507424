"""What every step of joining a worker stands on: configuration, world, and the parts that are in force."""

from __future__ import annotations

from dataclasses import dataclass

from gatepost.config.load import Configuration
from gatepost.config.settings import Settings
from gatepost.main.lasting import Lasting, unchanged
from gatepost.main.return_paths import return_paths_of
from gatepost.main.worker import Worker
from gatepost.main.world import NameServers
from gatepost.model.accepted_domains import AcceptedDomains
from gatepost.routing.accepted import accepted_domains
from gatepost.routing.next_hop import Router
from gatepost.standards.return_paths import ReturnPaths


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every step stands on. before: the parts in force; None at a worker's start."""

    configuration: Configuration
    lasting: Lasting
    before: Worker | None
    accepted: AcceptedDomains
    router: Router
    return_paths: ReturnPaths | None
    resolver: NameServers

    @property
    def settings(self) -> Settings:
        """Of the configuration that is joined."""
        return self.configuration.settings

    def kept(self, *tables: str) -> Worker | None:
        """The parts in force, when what was built for these tables of the file may be kept."""
        return _kept(self.before, self.settings, *tables)


def _kept(before: Worker | None, settings: Settings, *tables: str) -> Worker | None:
    return before if before is not None and unchanged(before.settings, settings, *tables) else None


def ground_of(configuration: Configuration, lasting: Lasting, before: Worker | None) -> Ground:
    """Raises WorldFault when a key cannot be read."""
    settings = configuration.settings
    accepted = accepted_domains(settings)
    kept = _kept(before, settings, "dns")
    return Ground(
        configuration=configuration,
        lasting=lasting,
        before=before,
        accepted=accepted,
        router=Router(settings, accepted),
        return_paths=return_paths_of(settings, accepted),
        resolver=kept.resolver if kept else lasting.world.resolver(settings.dns, lasting.log),
    )
