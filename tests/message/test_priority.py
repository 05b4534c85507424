"""What the fields of a mail say of its urgency."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gatepost.message.headers import HeaderIndex
from gatepost.message.priority import priority_of
from gatepost.model.queued import Priority

CASES = [
    ("nothing", "", Priority.NORMAL),
    ("X-Priority 1", "X-Priority: 1\r\n", Priority.HIGH),
    ("as mail programs write it", "X-Priority: 1 (Highest)\r\n", Priority.HIGH),
    ("2 is high, too", "X-Priority: 2\r\n", Priority.HIGH),
    ("3 is normal", "X-Priority: 3 (Normal)\r\nImportance: high\r\n", Priority.NORMAL),
    ("4 and 5 are low", "X-Priority: 4\r\n", Priority.LOW),
    ("10 is no priority", "X-Priority: 10\r\n", Priority.NORMAL),
    ("neither is 0", "X-Priority: 0\r\n", Priority.NORMAL),
    ("words instead of a number are for others", "X-Priority: high\r\nImportance: Low\r\n", Priority.LOW),
    ("Importance", "Importance: High\r\n", Priority.HIGH),
    ("Priority, of X.400", "Priority: urgent\r\n", Priority.HIGH),
    ("not urgent", "priority: Non-Urgent\r\n", Priority.LOW),
    ("Outlook", "X-MSMail-Priority: High\r\n", Priority.HIGH),
    ("the first in our order decides", "X-MSMail-Priority: Low\r\nImportance: high\r\n", Priority.HIGH),
    ("a word nobody knows is normal", "Importance: enormous\r\n", Priority.NORMAL),
    ("mass mail is not urgent", "X-Priority: 1\r\nPrecedence: bulk\r\n", Priority.NONE),
    ("lists", "Precedence: List\r\n", Priority.NONE),
    ("first-class is normal", "Precedence: first-class\r\n", Priority.NORMAL),
]


@pytest.mark.parametrize(("fields", "priority"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_priority_of_a_mail(fields: str, priority: Priority) -> None:
    head = f"Subject: x\r\n{fields}\r\n".encode()
    assert priority_of(HeaderIndex.parse(head)) is priority


@given(st.sampled_from(["X-Priority", "Importance", "Priority", "Precedence"]), st.binary(max_size=40))
def test_any_value_is_some_priority(name: str, value: bytes) -> None:
    assert priority_of(HeaderIndex.parse(name.encode() + b": " + value + b"\r\n\r\n")) in Priority
