"""The table of agents, and what third parties may add to it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any, ClassVar

import pytest
from tests.policy.fakes import World, settings_of

from gatepost.config.agent_table import AgentTable
from gatepost.config.schema import Table
from gatepost.config.settings import Settings
from gatepost.facts import reverse_dns
from gatepost.facts.received_trace import ReceivedTrace
from gatepost.model.verdict import Stage
from gatepost.policy.assembly import build, checked_domains, site_of
from gatepost.policy.order import FACTS, ORDER, agent_settings, agent_types, finding_names, rows
from gatepost.policy.third_party import ThirdParty, find_third_party
from gatepost.routing.accepted import accepted_domains


def test_the_table_says_what_the_agents_say() -> None:
    for kind, stages in ORDER:
        assert tuple(kind.needs) == stages, kind.name


def test_agents_are_asked_in_the_order_of_exchange() -> None:
    """Client, then envelope, then header, then content: the cheap and certain first."""
    assert [kind.name for kind, _ in ORDER] == [
        "connection-control",
        "ip-lists",
        "relay-restriction",
        "sender-reputation",
        "helo-check",
        "block-list-providers",
        "domain-list-providers",
        "sender-filter",
        "sender-domain",
        "recipient-filter",
        "greylisting",
        "rate-limits",
        "loop-detection",
        "header-sender",
        "spf",
        "sender-id",
        "automatic-replies",
        "message-form",
        "dkim",
        "dmarc",
        "own-domain-spoofing",
        "authentication-results",
        "return-paths",
    ]


def test_every_agent_has_a_row_with_words_and_a_table_of_settings() -> None:
    tables = agent_settings()
    for row in rows():
        assert row.means.endswith(".")
        assert issubclass(tables[row.name], AgentTable)
        assert all(found.means.endswith(".") for found in row.findings)


def test_every_setting_of_an_agent_has_a_text() -> None:
    for table in agent_settings().values():
        assert all(field.description for field in table.model_fields.values())


def test_every_fact_and_finding_has_a_name_of_its_own() -> None:
    assert len({kind.name for kind in FACTS}) == len(FACTS)
    assert len(finding_names()) == sum(len(row.findings) for row in rows())


def test_which_domains_are_looked_up() -> None:
    settings = Settings.model_validate(
        {
            "server": {"hostname": "mx.gate.test"},
            "accepted-domains": {
                "Gate.Test": {},
                "relay.test": {"type": "internal-relay"},
                "asked.test": {"type": "internal-relay", "check-recipients": "yes"},
                "all.test": {"check-recipients": "no"},
                "bücher.test": {},
            },
        }
    )
    assert checked_domains(settings) == {"gate.test", "asked.test", "xn--bcher-kva.test"}


def test_the_site_knows_every_name_of_ours() -> None:
    settings = settings_of(hostname="In.Gate.test", auth=True, tarpit="2s", limits={"hop-count": 20})
    connector = settings.receive_connectors["internet"]
    site = site_of(settings, "internet", connector, accepted_domains(settings))
    assert site.own_names == {"mx.gate.test", "in.gate.test"}
    assert (site.hostname, site.offers_auth, site.tarpit_s, site.hop_count) == ("In.Gate.test", True, 2.0, 20)


AGENT = """
    from gatepost.config.agent_table import AgentTable
    from gatepost.model.verdict import Action, Finding, Stage, Verdict

    class Agent:
        "Say nothing."
        name = "NAME"
        needs = {Stage.DATA: ()}
        when_unknown = Action.PASS
        is_filter = False
        findings = (Finding(name="FINDING", means="x", points=0),)

        def __init__(self, settings, site): ...

        def examine(self, mail, known):
            return Verdict(agent=self.name)
"""


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(dedent(text))


def agent_text(name: str = "quiet", finding: str = "quiet-finding") -> str:
    return AGENT.replace("NAME", name).replace("FINDING", finding)


def test_agents_from_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "b.py", agent_text("zebra", "z"))
    write(tmp_path, "c.py", agent_text("aardvark", "a"))
    (tmp_path / "notes.txt").write_text("not an agent")
    write(tmp_path, "test_b.py", "from b import Agent")
    assert [row.name for row in rows(str(tmp_path))][len(ORDER) :] == ["aardvark", "zebra"]
    assert agent_settings(str(tmp_path))["zebra"] is AgentTable


MISTAKES = [
    ("a name of ours", {"a.py": agent_text("recipient-filter")}, "two agents are called recipient-filter"),
    ("a finding of ours", {"a.py": agent_text(finding="nul")}, "two findings are called nul"),
    ("a name twice", {"a.py": agent_text(), "b.py": agent_text(finding="x")}, "two agents called quiet"),
    ("neither agent nor fact", {"a.py": "x = 1"}, "neither an Agent nor a gatherer"),
    ("a syntax error", {"a.py": "def"}, "cannot be loaded: SyntaxError"),
    ("an import error", {"a.py": "import no_such_module_here"}, "cannot be loaded: ModuleNotFoundError"),
    ("it ends the program", {"a.py": "raise SystemExit"}, "cannot be loaded: SystemExit"),
    ("no name", {"a.py": agent_text("")}, "its Agent has no name"),
    ("no findings", {"a.py": agent_text().replace("findings =", "found =")}, "lacks findings"),
    ("no examine", {"a.py": agent_text().replace("def examine", "def look")}, "lacks examine"),
    (
        "a stage without a question",
        {"a.py": agent_text().replace("Stage.DATA", "Stage.RSET")},
        "no agent is asked at rset; the stages are connect, helo, mail",
    ),
    (
        "a word for a stage",
        {"a.py": agent_text().replace("Stage.DATA", "'mail'")},
        "no agent is asked at 'mail'",
    ),
    ("a list of facts", {"a.py": agent_text().replace("()}", "[]}")}, "needs is a table of stages and facts"),
    ("a set of stages", {"a.py": agent_text().replace(": ()}", "}")}, "needs is a table of stages and facts"),
    ("odd settings", {"a.py": agent_text() + "        settings_type = int\n"}, "must be an AgentTable"),
]


@pytest.mark.threat("P03")
@pytest.mark.parametrize(("name", "files", "message"), MISTAKES, ids=[row[0] for row in MISTAKES])
def test_mistakes_of_third_parties_are_told(
    tmp_path: Path, name: str, files: dict[str, str], message: str
) -> None:
    for file, text in files.items():
        write(tmp_path, file, text)
    with pytest.raises(ValueError, match=message):
        agent_settings(str(tmp_path))


def test_facts_that_do_not_fit_are_told() -> None:
    class Wanting:
        """Want what nobody finds."""

        name = "wanting"
        needs: ClassVar[dict[Stage, tuple[Any, ...]]] = {Stage.DATA: (int,)}
        when_unknown = 0
        is_filter = False
        findings = ()

        def __init__(self, *_: Any) -> None: ...

    with pytest.raises(ValueError, match="wanting needs int, which nothing finds out"):
        World().runner(third_party=ThirdParty(agents=(Wanting,)))
    Wanting.needs = {Stage.DATA: (FACTS[1],)}
    with pytest.raises(ValueError, match="rcpt only"):
        World().runner(third_party=ThirdParty(agents=(Wanting,)))
    Wanting.needs = {Stage.MAIL: (ReceivedTrace,)}
    with pytest.raises(ValueError, match="needs ReceivedTrace at mail: it is known from end-of-headers on"):
        World().runner(third_party=ThirdParty(agents=(Wanting,)))


def test_a_fact_s_name_may_be_used_once() -> None:
    with pytest.raises(ValueError, match="two facts are called reverse-dns"):
        World().runner(third_party=ThirdParty(gatherers=(reverse_dns.gatherer,)))


def test_nothing_is_found_where_nothing_is() -> None:
    assert find_third_party("").agents == ()
    assert agent_types(ThirdParty()) == tuple(kind for kind, _ in ORDER)


def test_entry_points_are_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "site"
    (package / "quiet_1.0.dist-info").mkdir(parents=True)
    write(package, "quiet_mod.py", agent_text())
    (package / "quiet_1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: quiet\nVersion: 1.0\n"
    )
    (package / "quiet_1.0.dist-info" / "entry_points.txt").write_text(
        "[gatepost.agents]\nquiet = quiet_mod\n"
    )
    monkeypatch.syspath_prepend(str(package))
    assert [row.name for row in rows()][-1] == "quiet"


def test_building_uses_the_defaults_of_agents_without_a_table() -> None:
    world, settings = World(), settings_of()
    tables: dict[str, Table] = {}
    runner = build(
        settings,
        tables,
        accepted=accepted_domains(settings),
        resolver=world.names,
        directory=world.mailboxes,
        log=world.log,
        counters=world.counters,
        revision="r",
    )
    assert runner.hearing("internet").verdict_log == ()
    with pytest.raises(KeyError):
        runner.hearing("no-such-door")
