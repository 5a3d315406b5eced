"""Rewards as real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


class UnusableReward(TypeError):
    """A reward is not one real number; the message continues "the environment returned"."""


def as_reward(reward: Any) -> float:
    """Return a reward as a float.

    Args:
        reward: Number, or array of one.

    Raises:
        UnusableReward: It has several entries, or is something else.
    """
    if isinstance(reward, float | int):
        return float(reward)
    try:
        array = np.asarray(reward)
    except Exception as error:
        raise UnusableReward(f"a reward of type {type(reward).__name__}, expected one number") from error
    if array.dtype.kind not in "fiub":
        raise UnusableReward(f"a reward of type {type(reward).__name__}, expected one number")
    if array.size != 1:
        raise UnusableReward(
            f"a reward of shape {array.shape}, expected one number: wrap the environment to return a weighted sum of "
            "its objectives (mo_gymnasium.wrappers.LinearReward)"
        )
    return float(array.reshape(-1)[0])
