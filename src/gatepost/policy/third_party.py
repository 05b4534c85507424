"""Agents and facts an administrator brings along: from installed packages, and from a folder of files.

A package names modules under the entry points `gatepost.agents` and `gatepost.facts`; a file in
the folder is such a module itself, but for `test_*.py`. A module has a class `Agent`, or a function
`gatherer`, or both.
It runs with the rights of the gateway: whoever may write the folder is the gateway.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from gatepost.config.agent_table import AgentTable
from gatepost.facts.gathering import Gathering, Sources
from gatepost.model.verdict import Stage
from gatepost.policy.agent import name_of

AGENTS_GROUP: Final = "gatepost.agents"
FACTS_GROUP: Final = "gatepost.facts"
FILES_LIMIT: Final = 200
FILE_MODULES: Final = "gatepost_third_party"
"""Modules of files are called so, a dot, and the name of the file; no import statement finds them."""
TEST_FILES: Final = "test_"
"""How files in the folder begin that are left alone: the tests of the others."""
ASKED_AT: Final = (
    Stage.CONNECT,
    Stage.HELO,
    Stage.MAIL,
    Stage.RCPT,
    Stage.DATA,
    Stage.END_OF_HEADERS,
    Stage.END_OF_DATA,
)
"""The stages at which anybody asks. The others are words of the agent log."""

Gatherer = Callable[[Sources], Gathering]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdParty:
    """What was found: agents' classes, in the order of their names, and facts' gatherers."""

    agents: tuple[Any, ...] = ()
    gatherers: tuple[Gatherer, ...] = ()


def find_third_party(folder: str = "") -> ThirdParty:
    """Installed packages first, then the folder ("" for none).

    Raises ValueError, saying which file or entry point, when one cannot be used.
    """
    agents: dict[str, Any] = {}
    gatherers: list[Gatherer] = []
    for where, module in (*_installed(), *_files(folder)):
        kind, gatherer = getattr(module, "Agent", None), getattr(module, "gatherer", None)
        if kind is None and gatherer is None:
            raise ValueError(f"{where} has neither an Agent nor a gatherer")
        if kind is not None:
            name = _checked_name(where, kind)
            if name in agents:
                raise ValueError(f"{where}: there are two agents called {name}")
            agents[name] = kind
        if gatherer is not None:
            gatherers.append(gatherer)
    return ThirdParty(agents=tuple(agents[name] for name in sorted(agents)), gatherers=tuple(gatherers))


def _checked_name(where: str, kind: Any) -> str:
    name = name_of(kind)
    if not name:
        raise ValueError(f"{where}: its Agent has no name")
    table = getattr(kind, "settings_type", AgentTable)
    if not (isinstance(table, type) and issubclass(table, AgentTable)):
        raise ValueError(f"{where}: Agent.settings_type must be an AgentTable or a FilterTable")
    missing = [word for word in ("needs", "when_unknown", "is_filter", "findings") if not hasattr(kind, word)]
    if missing or not callable(getattr(kind, "examine", None)):
        raise ValueError(f"{where}: its Agent lacks {', '.join(missing) or 'examine'}")
    _check_stages(where, kind.needs)
    return name


def _check_stages(where: str, needs: object) -> None:
    """Whether it can be asked at all; needs may be a property, which only an agent that was made can answer."""
    if isinstance(needs, property):
        return
    if not isinstance(needs, Mapping) or not all(isinstance(facts, tuple) for facts in needs.values()):
        raise ValueError(
            f"{where}: Agent.needs is a table of stages and facts, such as {{Stage.MAIL: (ReverseDns,)}}"
        )
    for stage in needs:
        if stage not in ASKED_AT:
            said = stage.value if isinstance(stage, Stage) else repr(stage)
            stages = ", ".join(asked.value for asked in ASKED_AT)
            raise ValueError(f"{where}: no agent is asked at {said}; the stages are {stages}")


def _installed() -> Iterator[tuple[str, ModuleType]]:
    seen: set[int] = set()
    for group in (AGENTS_GROUP, FACTS_GROUP):
        for point in importlib.metadata.entry_points(group=group):
            where = f"entry point {group}:{point.name}"
            try:
                module = point.load()
            except (
                Exception,
                SystemExit,
            ) as error:  # an edge: somebody else's code is run for the first time
                raise ValueError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
            if id(module) not in seen:  # one module may be named for its agent and for its fact
                seen.add(id(module))
                yield where, module


def _files(folder: str) -> Iterator[tuple[str, ModuleType]]:
    if not folder:
        return
    try:
        files = sorted(file for file in Path(folder).glob("*.py") if not file.name.startswith(TEST_FILES))
    except OSError as error:
        raise ValueError(f"{folder} cannot be read: {error.strerror}") from error
    if len(files) > FILES_LIMIT:
        raise ValueError(f"{folder} has more than {FILES_LIMIT} files")
    for file in files:
        yield str(file), _loaded(file)


def _loaded(file: Path) -> ModuleType:
    name = f"{FILE_MODULES}.{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while they are made
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # an edge: somebody else's code is run for the first time
        del sys.modules[name]
        raise ValueError(f"{file} cannot be loaded: {type(error).__name__}: {error}") from error
    return module
