"""Mistakes in [srs] and [batv]."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.policy.fakes import settings_of

from gatepost.config.check_return_paths import check_return_paths
from gatepost.config.schema import frozen
from gatepost.config.settings import SendConnector, Settings
from gatepost.main.return_paths import return_paths_of
from gatepost.model.fault import WorldFault
from gatepost.routing.accepted import accepted_domains

GOOD = "0123456789abcdef\n"


def made(**tables: dict[str, str]) -> Settings:
    settings = settings_of()
    kinds = {name: type(getattr(settings, name)) for name in tables}
    return settings.model_copy(
        update={name: kinds[name].model_validate(frozen(value)) for name, value in tables.items()}
    )


@pytest.mark.parametrize(
    ("text", "domain", "says"),
    [
        (GOOD, "gate.test", ""),
        (GOOD, "b.branch.test", ""),
        (GOOD, "", "is missing"),
        (GOOD, "else.test", "is no accepted domain"),
        ("short\n", "gate.test", "less than 16 characters"),
        ("", "gate.test", "has 0 keys"),
        (None, "gate.test", "No such file"),
    ],
)
def test_srs(tmp_path: Path, text: str | None, domain: str, says: str) -> None:
    keys = tmp_path / "keys"
    if text is not None:
        keys.write_text(text)
        keys.chmod(0o600)
    settings = made(srs={"key-file": str(keys), "domain": domain})
    said = " ".join(complaint.message for complaint in check_return_paths(settings))
    assert (says in said) if says else not said


def test_keys_that_others_may_read_are_refused(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(GOOD)
    keys.chmod(0o644)
    (complaint,) = check_return_paths(made(batv={"key-file": str(keys)}))
    assert complaint.at == ("batv", "key-file")


@pytest.mark.parametrize(
    ("rule", "with_keys", "good"), [("always", False, False), ("always", True, True), ("never", False, True)]
)
def test_a_way_that_always_rewrites_needs_keys(
    tmp_path: Path, rule: str, with_keys: bool, good: bool
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(GOOD)
    keys.chmod(0o600)
    settings = made(**({"srs": {"key-file": str(keys), "domain": "gate.test"}} if with_keys else {}))
    way = SendConnector.model_validate({"address-spaces": ("*",), "srs": rule})
    settings = settings.model_copy(update={"send_connectors": {"out": way}})
    complaints = list(check_return_paths(settings))
    assert [complaint.at for complaint in complaints] == ([] if good else [("send-connectors", "out", "srs")])


def test_nothing_is_signed_unless_switched_on(tmp_path: Path) -> None:
    assert return_paths_of(made(), accepted_domains(made())) is None
    keys = tmp_path / "keys"
    keys.write_text(GOOD)
    settings = made(batv={"key-file": str(keys)})
    paths = return_paths_of(settings, accepted_domains(settings))
    assert paths is not None
    assert (paths.srs, paths.tags is None) == (None, False)


def test_keys_that_went_bad_since_are_named(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("short")
    settings = made(srs={"key-file": str(keys), "domain": "gate.test"})
    with pytest.raises(WorldFault, match=r"srs\.key-file has a key with less than 16"):
        return_paths_of(settings, accepted_domains(settings))
