"""Success reported by environments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from surefoot.tasks import get_task, make_vector
from surefoot.tasks.success import SUCCESS_KEYS, reported_success
from tests import traits


class Unreadable:
    def __repr__(self) -> str:
        return "unreadable"

    def __array__(self, *_: Any) -> np.ndarray:
        raise RuntimeError("on another device")


@pytest.mark.parametrize("key", SUCCESS_KEYS)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (False, False),
        (np.bool_(True), True),
        (np.array([False]), False),
        (np.array([[1]]), True),
        ([True], True),
        (1.0, True),
        (np.float32(0.0), False),
        (0.5, False),
        (2, True),
        (None, None),
        (np.nan, None),
        ("yes", None),
        ({"lifted": True}, None),
        (np.zeros(0), None),
        (np.ones(2), None),
        ([[1], [2, 3]], None),
        (1j, None),
        (Unreadable(), None),
    ],
    ids=str,
)
def test_success_is_a_boolean_or_a_number(key: str, value: Any, expected: bool | None) -> None:
    assert reported_success({"other": 1, key: value}) is expected


def test_first_readable_key_decides() -> None:
    assert reported_success({"solved": False, "success": True}) is True
    assert reported_success({"success": True, "is_success": np.array(False)}) is False
    assert reported_success({"is_success": None, "succeed": 1}) is True
    for info in ({}, None, [True], "is_success"):
        assert reported_success(info) is None


class Scripted(traits.Reach):
    """Reports the entries of a script, one per step."""

    script: tuple[dict[str, Any], ...] = ({"is_success": True}, {"is_success": False}, {}, {"is_success": True})
    limit = 4

    def report(self, solved: bool) -> dict[str, Any]:
        return self.script[self.t - 1]


@pytest.mark.parametrize("num_workers", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("action_repeat", "expected"),
    [(1, [(True, True), (False, True), (False, False), (True, True)]), (2, [(False, True), (True, True)])],
)
def test_success_is_that_of_the_last_control_step_of_a_decision(
    num_workers: int, action_repeat: int, expected: list[tuple[bool, bool]]
) -> None:
    with make_vector(
        get_task(Scripted), [0], "train", action_repeat=action_repeat, num_workers=num_workers, autoreset=False
    ) as env:
        env.reset([0])
        steps = [env.step(np.zeros((1, 1), np.float32)) for _ in expected]
    assert [(bool(step.success[0]), bool(step.reports_success[0])) for step in steps] == expected
    assert steps[-1].truncated.all()
