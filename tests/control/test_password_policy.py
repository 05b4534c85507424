"""Passwords that would be guessed, and those that would not."""

from __future__ import annotations

import pytest

from gatepost.control.password_policy import account_problem, password_problem

REFUSED = [
    ("eleven characters", "kX9-fjw02mQ", "12 characters"),
    ("the account's name in it", "my-ann.miller-key", "name"),
    ("a part of the name in it", "xMiLLer-19-frq", "name"),
    ("the domain's name in it", "xExample-19-frq", "name"),
    ("one letter", "aaaaaaaaaaaaaa", "few characters"),
    ("few letters", "abababbabaabbb", "few characters"),
    ("a piece three times", "x7kq-x7kq-x7kq-", "few characters"),
    ("the alphabet", "abcdefghijkl", "row"),
    ("numbers backwards", "210987654321", "row"),
    ("the keyboard", "qwertyuiopasdf", "row"),
    ("the keyboard downwards", "1qaz2wsx3edc", "row"),
    ("a word and a year", "Summer2026!!!", "common"),
    ("a word in disguise", "P@$$w0rd!2026", "common"),
    ("two words", "WelcomeMonday1", "common"),
    ("digits and signs only", "17-03-1984-66!", "common"),
]


@pytest.mark.threat("E06")
@pytest.mark.parametrize(("name", "password", "said"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(name: str, password: str, said: str) -> None:
    problem = password_problem(password, user="ann.miller@example.com", least_characters=12)
    assert said in problem


@pytest.mark.parametrize(
    "password",
    [
        "kX9-fjw02mQ4",
        "correct horse battery",
        "two pears a day",
        "gr\u00fcne Birnen im Mai",
        "\u3042\u3044\u3046\u3048\u304a" * 2 + "xy",
    ],
)
def test_taken(password: str) -> None:
    assert password_problem(password, user="ann.miller@example.com", least_characters=12) == ""


@pytest.mark.parametrize("user", ["guest", "Guest", "anonymous@example.com"])
def test_there_are_no_guests(user: str) -> None:
    assert account_problem(user)


def test_people_may_have_accounts() -> None:
    assert account_problem("ann@example.com") == ""
