"""Mistakes about how mail leaves are said with their line, as all others are."""

from __future__ import annotations

import pytest
from tests.config.mistakes import Mistake
from tests.config.mistakes_delivery import DELIVERY
from tests.config.test_mistakes import loaded

from gatepost.config.errors import ConfigurationErrors


@pytest.mark.threat("T02")
@pytest.mark.parametrize("mistake", DELIVERY, ids=lambda m: m.name)
def test_a_mistake_is_refused_with_its_line(mistake: Mistake) -> None:
    with pytest.raises(ConfigurationErrors) as caught:
        loaded(mistake.file)
    assert tuple(str(error) for error in caught.value.errors) == mistake.said
