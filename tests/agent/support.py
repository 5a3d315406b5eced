"""Agents and a simulated robot for tests."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium
import numpy as np

import surefoot
from surefoot.algorithms import Algorithm
from tests.training.small import small

OBSERVATION = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
ACTION = gymnasium.spaces.Box(np.array([-2.0, 0.1]), np.array([3.0, 0.7]), dtype=np.float64)
DICT = gymnasium.spaces.Dict(
    [("pose", gymnasium.spaces.Box(-1, 1, (2, 2), np.float32)), ("arm", gymnasium.spaces.Box(-9, 9, (), np.float64))]
)
"""Keys not in alphabetical order."""

NESTED = gymnasium.spaces.Dict(
    [
        ("robot", gymnasium.spaces.Tuple([DICT, gymnasium.spaces.Box(-1, 1, (1, 2), np.float32)])),
        ("a.b", gymnasium.spaces.Box(0, 5, (2,), np.int64)),
    ]
)


def tiny(**changes: Any) -> Algorithm:
    return small(surefoot.crossq_wn(utd=2), **({"warmup_transitions": 20} | changes))


def agent(**settings: Any) -> surefoot.Agent:
    given = {"algorithm": tiny(), "replay_capacity": 64} | settings
    return surefoot.Agent(given.pop("observation_space", OBSERVATION), given.pop("action_space", ACTION), **given)


@dataclasses.dataclass
class Robot:
    """Random observations in episodes of seven steps; every other episode is truncated instead of terminated."""

    seed: int = 0
    step: int = 0

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self.obs = self._rng.normal(size=3)

    def drive(self, agent: Any, steps: int, update: bool = True) -> None:
        for _ in range(steps):
            action = agent.act(self.obs)
            next_obs = self._rng.normal(size=3)
            self.step += 1
            ended, terminated = self.step % 7 == 0, self.step % 14 == 0
            reward = float(self.obs[0] * action[0] - next_obs[1])
            agent.observe(self.obs, action, reward, next_obs, terminated, ended and not terminated)
            self.obs = self._rng.normal(size=3) if ended else next_obs
            if update:
                agent.update()
