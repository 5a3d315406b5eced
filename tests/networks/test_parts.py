"""Parts of a network accept exactly the ranges that policy files accept."""

from __future__ import annotations

import math
from typing import Any

import pytest

from surefoot.errors import UserError
from surefoot.networks import BatchNorm, LogStdRange
from surefoot.policy import PolicySpec
from tests.flat_spaces import flat_spaces

EPSILONS = [1e-31, 1e-30, 1e-3, 1e30, 1e31, math.inf, math.nan]
RANGES = [(-50.0, 50.0), (-50.1, 2.0), (-10.0, 50.1), (-math.inf, 2.0), (-10.0, math.inf), (2.0, -10.0)]


def policy_of(epsilon: float, low: float, high: float) -> PolicySpec:
    head = {"op": "tanh_gaussian_head", "mean": "m", "log_std": "l", "mapping": "clip"}
    values: dict[str, Any] = {
        "spaces": flat_spaces(1, [-1], [1]),
        "task": "",
        "algorithm": "",
        "env_steps": 0,
        "seeds": [0],
        "scores": [None],
        "layers": [
            {"op": "batch_norm", "name": "n", "epsilon": epsilon},
            {**head, "log_std_min": low, "log_std_max": high},
        ],
    }
    return PolicySpec.from_mapping(values)


def accepted(make: Any, *arguments: Any) -> bool:
    try:
        make(*arguments)
    except UserError:
        return False
    return True


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_epsilon_range_equals_that_of_policy_files(epsilon: float) -> None:
    assert accepted(BatchNorm, 0.99, epsilon) == accepted(policy_of, epsilon, -1.0, 1.0) == (1e-30 <= epsilon <= 1e30)


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_log_std_range_equals_that_of_policy_files(low: float, high: float) -> None:
    assert accepted(LogStdRange, low, high) == accepted(policy_of, 1e-3, low, high) == ((low, high) == (-50.0, 50.0))
