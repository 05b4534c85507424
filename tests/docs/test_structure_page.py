"""docs/structure.md says what the code says."""

from __future__ import annotations

from pathlib import Path

from gatepost.config.schema import file_name_of
from gatepost.config.structure_settings import MailStructure
from gatepost.control.mail_structure import limits_of
from gatepost.message.structure import LIMITS
from gatepost.message.structure_defects import StructureDefect

PAGE = (Path(__file__).parents[2] / "docs" / "structure.md").read_text("utf-8")


def test_every_defect_is_on_the_page() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| `") and line.count("|") == 3]
    assert rows == [f"| `{defect.value}` | {defect.means} |" for defect in StructureDefect]


def test_every_limit_is_on_the_page_with_its_default() -> None:
    shown = {"65536": "64KiB", "256": "256B", "67108864": "64MiB"}
    for name, field in MailStructure.model_fields.items():
        default = shown.get(str(field.default), str(field.default))
        assert f"| `{file_name_of(name)}` | {default} |" in PAGE


def test_settings_have_the_defaults_of_the_code() -> None:
    assert limits_of(MailStructure()) == LIMITS
