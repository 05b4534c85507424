"""Every mistake is said at once, with its line, its setting and what would have been accepted."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.mistakes import (
    DOOR,
    DOORS,
    LIMITS,
    LOGINS,
    NOTICES,
    SCHEDULES,
    SERVER,
    SHAPE,
    VALUES,
    WAY,
    WAYS_OUT,
    Mistake,
)
from tests.config.mistakes_delivery import DELIVERY

from gatepost.config.agent_table import AgentTable
from gatepost.config.errors import ConfigurationErrors
from gatepost.config.load import Configuration, load, load_text
from gatepost.config.schema import Duration, Table, setting


class BlockList(AgentTable):
    """[agents.block-list]: an agent for these tests."""

    lookup_timeout_s: Duration = setting("How long to wait", default=3.0, low=0.1)


AGENTS: dict[str, type[Table]] = {"block-list": BlockList}


@pytest.fixture(autouse=True)
def _extras_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.config.check_integrated.find_spec", lambda module: module)


def loaded(text: str) -> Configuration:
    return load_text(text, file="g.toml", agent_settings=AGENTS, finding_names=frozenset({"listed"}))


@pytest.mark.threat("T02")
@pytest.mark.parametrize(
    "mistake",
    [*SHAPE, *DOORS, *LIMITS, *LOGINS, *WAYS_OUT, *VALUES, *NOTICES, *SCHEDULES, *DELIVERY],
    ids=lambda m: m.name,
)
def test_a_mistake_is_refused_with_its_line(mistake: Mistake) -> None:
    with pytest.raises(ConfigurationErrors) as caught:
        loaded(mistake.file)
    assert tuple(str(error) for error in caught.value.errors) == mistake.said


SHOWN = {"E01": "AUTH without TLS", "F37": "host bits set", "L02": "a way back to ourselves by address"}


@pytest.mark.threat("E01", "F37", "L02")
@pytest.mark.parametrize("name", SHOWN.values(), ids=SHOWN.keys())
def test_dangerous_settings_are_refused(name: str) -> None:
    mistake = next(m for m in (*DOORS, *WAYS_OUT) if m.name == name)
    with pytest.raises(ConfigurationErrors, match=mistake.said[0].split(": ")[1].replace("[", r"\[")):
        loaded(mistake.file)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "accepted-domains: no domain is accepted: mail is taken from clients with the relay right only"),
        ("", "receive-connectors: no receive connector is enabled: no mail comes in"),
        (
            '[accepted-domains."example.com"]\n',
            "recipients are checked, but neither recipients.file nor a table of [directories] lists them",
        ),
        ('[accepted-domains."example.com"]\n', "no enabled send connector carries it"),
        (
            DOOR + 'remote-ranges = ["198.51.100.7"]\nanonymous-rights = ["relay"]\n',
            "relay is given to addresses that are not internal",
        ),
        (
            DOOR + '[receive-connectors.internet.ranges]\na = { addresses = ["10.0.0.0/8"] }\n'
            'b = { addresses = ["10.1.0.0/16"] }\n',
            "overlaps ranges.a: the smaller range that contains a client decides its rights",
        ),
        (DOOR + 'limits = { command-timeout = "60s" }\n', "is less than the 5m that RFC 5321 asks for"),
        ('[metrics]\nlisten = "0.0.0.0:9925"\n', "can be reached from other machines"),
        ('[recipients]\nfile = "/nowhere/list"\n', "recipients are answered 451 until it can be read"),
        ("[policy]\nquarantine-at = 7\nreject-at = 5\n", "is never reached: mail is refused at 5"),
        (DOOR + "anonymous-rights = []\n", "gives nobody the right submit: no mail comes in here"),
        (
            '[receive-connectors.a]\nprofile = "submission"\n',
            "certificate-file: is empty: mail programs will not trust",
        ),
        (
            DOOR + 'proxies = ["10.0.0.5"]\n[receive-connectors.partner]\nlisten = ["0.0.0.0:25"]\n'
            'remote-ranges = ["192.0.2.0/24"]\n',
            "receive-connectors.partner.proxies: differs from receive-connectors.internet, which shares address",
        ),
        (DOOR + "internal-clients-by-proxy = true\n", "stands without proxies and xclient-peers"),
        (
            DOOR + 'auth = true\n[users]\nfile = "/nowhere/users"\n',
            "nobody can authenticate at internet (gatepost user add)",
        ),
    ],
)
@pytest.mark.threat("T02", "F37")
def test_what_is_probably_not_meant_is_pointed_out(text: str, said: str) -> None:
    assert any(said in str(warning) for warning in loaded(SERVER + text).warnings)


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatepost.config.check_integrated.find_spec", lambda module: None)
    with pytest.raises(ConfigurationErrors) as caught:
        loaded(f'{SERVER}[users.gssapi]\nkeytab-file = "/nowhere/keytab"\nrealms = ["A"]\n')
    assert (
        "users.gssapi.keytab-file: needs Python packages that are not installed (spnego, gssapi, krb5): "
        "pip install 'gatepost[kerberos]'"
    ) in str(caught.value)
    with pytest.raises(ConfigurationErrors) as caught:
        loaded(f'{SERVER}[send-connectors.out]\naddress-spaces = ["*"]\nauth-mechanisms = ["NTLM"]\n')
    assert "out.auth-mechanisms: needs Python packages that are not installed (spnego): pip" in str(
        caught.value
    )


@pytest.mark.threat("E14")
def test_tokens_for_anybody_are_pointed_out(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.touch(0o600)
    asked = f'introspection = {{ url = "https://i.example/", client-id = "x", secret-file = "{secret}" }}\n'
    said = "asks for neither audience nor scope: a token made for another service may count here"
    for tokens, expected in ((asked, True), (f'{asked}scope = "mail"\n', False)):
        warnings = loaded(f"{SERVER}[users.tokens]\n{tokens}").warnings
        assert any(said in str(warning) for warning in warnings) is expected


@pytest.mark.parametrize(
    ("spaces", "carried"),
    [
        ('["*"]', True),
        ('["--"]', True),
        ('["example.com"]', True),
        ('["Example.COM;5"]', True),
        ('["*.com"]', True),
        ('["*.example.com"]', False),
        ('["example.org"]', False),
    ],
)
def test_a_domain_is_carried_by_an_address_space(spaces: str, carried: bool) -> None:
    text = SERVER + f'[accepted-domains."example.com"]\n[send-connectors.a]\naddress-spaces = {spaces}\n'
    missing = any("no enabled send connector" in str(warning) for warning in loaded(text).warnings)
    assert missing is not carried


def test_a_good_file_is_typed_and_has_defaults() -> None:
    text = SERVER + DOOR + WAY + '[agents.block-list]\nlookup-timeout = "500ms"\n'
    # When
    configuration = loaded(text)
    # Then
    assert configuration.settings.server.workers == "auto"
    assert configuration.settings.receive_connectors["internet"].limits.message_size_bytes == 36 << 20
    block_list = configuration.agents["block-list"]
    assert isinstance(block_list, BlockList)
    assert block_list.lookup_timeout_s == 0.5
    assert block_list.enabled


def test_an_agent_without_a_table_has_its_defaults() -> None:
    block_list = loaded(SERVER).agents["block-list"]
    assert isinstance(block_list, BlockList)
    assert block_list.lookup_timeout_s == 3.0


def test_the_revision_follows_the_text() -> None:
    assert loaded(SERVER).revision == loaded(SERVER).revision
    assert loaded(SERVER).revision != loaded(SERVER + "# changed\n").revision
    assert len(loaded(SERVER).revision) == 12


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationErrors) as caught:
        load(str(path), agent_settings=AGENTS)
    return str(caught.value)


@pytest.mark.threat("T01")
def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path / "none.toml") == f"{tmp_path}/none.toml: cannot be read: No such file or directory"
    )


def test_a_file_of_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_bytes(b'[server]\nhostname = "m\xfcnchen.example"\n')
    assert refusal(path) == f"{path}:2: is not UTF-8 text"


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_bytes(b"#" * ((4 << 20) + 1))
    assert refusal(path) == f"{path}: is larger than 4 MiB"


@pytest.mark.threat("T03")
def test_a_file_that_everybody_may_change_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "g.toml"
    path.write_text(SERVER)
    path.chmod(0o666)
    assert refusal(path) == f"{path}: can be changed by every user of this machine: chmod o-w"


@pytest.mark.threat("T03")
def test_a_file_in_a_directory_that_everybody_may_change_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    path = folder / "g.toml"
    path.write_text(SERVER)
    path.chmod(0o600)
    assert "its directory can be changed by every user" in refusal(path)


@pytest.mark.threat("T03")
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o666])
def test_a_password_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "password"
    secret.write_text("secret")
    secret.chmod(mode)
    text = SERVER + WAY + f'tls = "verified"\nuser = "us"\npassword-file = "{secret}"\n'
    with pytest.raises(ConfigurationErrors, match=f"can be read or changed by others .mode {mode:04o}."):
        loaded(text)
    secret.chmod(0o600)
    loaded(text)


@pytest.mark.threat("T03")
def test_agents_are_not_run_from_a_folder_that_everybody_may_change(tmp_path: Path) -> None:
    asked: list[str] = []

    def tables(folder: str) -> dict[str, type[Table]]:
        asked.append(folder)
        return AGENTS

    tmp_path.chmod(0o777)
    text = SERVER + f'[policy]\nagents-directory = "{tmp_path}"\n'
    with pytest.raises(ConfigurationErrors, match="can be changed by every user"):
        load_text(text, file="g.toml", agent_settings=tables)
    assert asked == [""]


def test_agents_of_third_parties_that_cannot_be_used_are_a_mistake_of_the_configuration(
    tmp_path: Path,
) -> None:
    def tables(folder: str) -> dict[str, type[Table]]:
        if folder:
            raise ValueError("two agents are called block-list")
        return AGENTS

    tmp_path.chmod(0o700)
    text = SERVER + f'[policy]\nagents-directory = "{tmp_path}"\n'
    with pytest.raises(ConfigurationErrors) as caught:
        load_text(text, file="g.toml", agent_settings=tables)
    assert str(caught.value) == "g.toml:4: policy.agents-directory: two agents are called block-list"


def test_what_a_faulty_agent_stands_for_is_said_of_third_parties_agents_only() -> None:
    agents: dict[str, type[Table]] = {**AGENTS, "subject-words": Table}
    text = SERVER + '[policy.faults.meanwhile-of]\nblock-list = "defer"\nsubject-words = "defer"\n'
    with pytest.raises(ConfigurationErrors) as caught:
        load_text(text, file="g.toml", agent_settings=agents, built_in_agents=frozenset(AGENTS))
    assert str(caught.value) == (
        "g.toml:4: policy.faults.meanwhile-of.block-list: block-list is an agent of Gatepost's own, "
        "which faults never switch off: leave it out (accepted: subject-words)"
    )
