"""A module with the part of EnvPool's interface that surefoot uses, and its peculiarities.

Seeds are fixed when a pool is made; an environment that is stepped after its end resets instead, and drops the action;
results come in another order than that of the request; arrays are overwritten by later calls.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete

__version__ = "1.2.7"

IDS = ("PointReach-v1", "Suite/PointReach-v1", "Choice-v1", "Fails-v1", "Nan-v1", "Draws-v1")
LIMIT = 12


def list_all_envs() -> list[str]:
    return list(IDS)


def make(env_id: str, env_type: str, num_envs: int, seed: list[int], num_threads: int, **options: Any) -> FakePool:
    assert env_type == "gymnasium"
    assert len(seed) == num_envs >= num_threads >= 1
    if env_id == "Fails-v1":
        raise RuntimeError("no\nmodel")
    return FakePool(env_id, seed, options.get("max_episode_steps", LIMIT))


class FakePool:
    """A point moves towards a goal; the observation has an extra key."""

    observation_space = Dict({"goal": Box(-9, 9, (1,)), "more": Box(-9, 9, (2,)), "place": Box(-9, 9, ())})

    def __init__(self, env_id: str, seeds: list[int], limit: int) -> None:
        self.env_id, self.config = env_id, {"max_episode_steps": limit}
        self.action_space = Discrete(2) if env_id == "Choice-v1" else Box(-2.0, 2.0, (1,), np.float64)
        self.random = [np.random.default_rng(seed) for seed in seeds]
        self.place, self.goal = np.zeros((2, len(seeds)))
        self.elapsed, self.done = np.zeros(len(seeds), np.int32), np.ones(len(seeds), bool)
        self.closed = False
        self.memory = {"goal": np.zeros((0, 1)), "more": np.zeros((0, 2)), "place": np.zeros(0)}

    def reset(self, env_id: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        for slot in env_id:
            self._start(slot)
        ids = env_id[::-1]
        return self._observe(ids), {"env_id": ids, "elapsed_step": self.elapsed[ids]}

    def send(self, action: np.ndarray, env_id: np.ndarray) -> None:
        assert action.dtype == np.float64
        assert action.shape == (len(env_id), 1)
        self.sent = action.copy(), env_id

    def recv(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        action, ids = self.sent
        del self.sent
        reward = np.zeros(len(self.place), np.float32)
        for own, slot in zip(action[:, 0], ids, strict=True):
            if self.done[slot]:
                self._start(slot)
                continue
            self.place[slot] += 0.1 * own + (self.random[slot].normal() if self.env_id == "Draws-v1" else 0.0)
            self.elapsed[slot] += 1
            reward[slot] = -abs(self.place[slot] - self.goal[slot])
            if self.env_id == "Nan-v1" and slot == 1 and self.elapsed[slot] == 3:
                reward[slot] = np.nan
            self.done[slot] = self.elapsed[slot] >= self.config["max_episode_steps"] or abs(self.place[slot]) > 2.0
        ids = ids[::-1]
        limit = self.elapsed[ids] >= self.config["max_episode_steps"]
        solved = np.abs(self.place[ids] - self.goal[ids]) < 0.3
        info = {"env_id": ids, "elapsed_step": self.elapsed[ids], "is_success": solved.astype(np.float64)}
        return self._observe(ids), reward[ids], np.abs(self.place[ids]) > 2.0, limit, info

    def close(self) -> None:
        self.closed = True

    def _start(self, slot: int) -> None:
        self.place[slot], self.goal[slot] = self.random[slot].uniform(-1.0, 1.0, 2)
        self.elapsed[slot], self.done[slot] = 0, False

    def _observe(self, ids: np.ndarray) -> dict[str, np.ndarray]:
        for name in self.memory:  # of the calls before
            self.memory[name][:] = 7.0
        rows = {"goal": self.goal[ids][:, None], "more": np.zeros((len(ids), 2)), "place": self.place[ids]}
        self.memory = {name: np.array(row) for name, row in rows.items()}
        return self.memory
