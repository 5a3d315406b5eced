"""Small environments, each with one trait of environments that other packages provide."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Tuple


class Reach(gymnasium.Env[np.ndarray, np.ndarray]):
    """A point moves towards a goal; `info` says whether it is there."""

    observation_space: Any = Box(-np.inf, np.inf, (2,), np.float32)
    action_space: Any = Box(-1.0, 1.0, (1,), np.float32)
    limit = 12
    radius = 0.3

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, (self.x, self.goal) = 0, self.np_random.uniform(-1.0, 1.0, 2)
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.t += 1
        self.x += 0.2 * float(np.reshape(action, -1)[0])
        distance = abs(self.x - self.goal)
        return self.observe(), -distance, False, self.t >= self.limit, self.report(bool(distance < self.radius))

    def observe(self) -> Any:
        return np.array([self.x, self.goal], np.float32)

    def report(self, solved: bool) -> dict[str, Any]:
        """Return the info of a step."""
        return {"is_success": solved}


class ReportsOnlySuccess(Reach):
    """`info` has the key only in steps that are solved."""

    def report(self, solved: bool) -> dict[str, Any]:
        return {"success": np.array([1.0], np.float32)} if solved else {}


class ReportsNothing(Reach):
    """`info` is empty."""

    def report(self, solved: bool) -> dict[str, Any]:
        return {}


class VectorReward(Reach):
    """A reward for each objective."""

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        return observation, np.array([reward, 0.1]), *rest  # type: ignore[return-value]


class UnevenBounds(Reach):
    """Actions and observations whose entries have bounds of their own."""

    observation_space = Box(np.float32([-5, -9]), np.float32([5, 9]))
    action_space = Box(np.float32([-1, -2]), np.float32([1, 3]))


SIMULATOR: dict[str, float] = {}


class SharedSimulator(Reach):
    """The state is in the module, so that two copies in one process disturb each other."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        gymnasium.Env.reset(self, seed=seed)
        SIMULATOR.update(t=0, x=self.draw(), goal=self.draw())
        return self.observe(), {}

    def step(self, action: np.ndarray) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        SIMULATOR["t"] += 1
        SIMULATOR["x"] += 0.1 * float(action[0])
        reward = -abs(SIMULATOR["x"] - SIMULATOR["goal"])
        return self.observe(), reward, False, SIMULATOR["t"] >= self.limit, {}

    def observe(self) -> Any:
        return np.array([SIMULATOR["x"], SIMULATOR["goal"]], np.float32)

    def draw(self) -> float:
        return float(self.np_random.uniform(-1.0, 1.0))


class SharedUnseeded(SharedSimulator):
    """The same, and it draws from the global generator."""

    def draw(self) -> float:
        return float(np.random.uniform(-1.0, 1.0))  # noqa: NPY002


class SharedOwnEntropy(SharedSimulator):
    """The same, and it draws from a generator that nothing can seed."""

    def draw(self) -> float:
        return float(np.random.default_rng().uniform(-1.0, 1.0))


class RowObservation(Reach):
    """An observation whose first axis has length 1, and an action with two axes."""

    observation_space = Box(-9, 9, (1, 2), np.float32)
    action_space = Box(-0.1, 0.1, (1, 1), np.float64)

    def observe(self) -> Any:
        return super().observe()[None]


class NestedObservation(Reach):
    """Nested observations of rows, in which the environment returns more than the space names."""

    observation_space = Dict(
        [("state", Tuple([Dict([("place", Box(-9, 9, (1, 1)))]), Box(-9, 9, (1,))])), ("age", Box(0, 99, (1,)))]
    )

    def observe(self) -> Any:
        own, goal, age = (np.array([number], np.float32) for number in (self.x, self.goal, self.t))
        return {"debug": "text", "age": age, "state": ({"place": own[None], "camera": None}, goal)}


class MissingKey(NestedObservation):
    """An observation that lacks a part in the fifth step."""

    def observe(self) -> Any:
        observation = super().observe()
        if self.t == 5:
            del observation["state"][0]["place"]
        return observation


class Picture(Reach):
    """An observation of uint8."""

    observation_space = Box(0, 255, (4, 4, 3), np.uint8)

    def observe(self) -> Any:
        picture = np.full((4, 4, 3), self.t, np.uint8)
        picture[0, :, 0] = np.clip(100.0 * np.array([self.x, -self.x, self.goal, -self.goal]), 0, 255)
        return picture


class NeedsKeyword(Reach):
    """Cannot be made without a keyword, which is the goal."""

    def __init__(self, goal_scale: float) -> None:
        self.goal_scale = goal_scale

    def observe(self) -> Any:
        return np.array([self.x, self.goal_scale], np.float32)
