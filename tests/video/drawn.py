"""Environments with their own `render`, correct and faulty, as `module:callable` targets."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

STEPS = 7


class Ramp(gymnasium.Env):
    """Seven steps of reward 1; renders an odd-sized image whose brightness is the step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  (as in Gymnasium)
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.taken = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.taken += 1
        return np.zeros(2, np.float32), 1.0, self.taken == STEPS, False, {}

    def render(self) -> Any:
        return np.full((33, 51, 3), 30 * self.taken, np.uint8)


class RendersNone(Ramp):
    def render(self) -> Any:
        return None


class RendersEmptyImage(Ramp):
    def render(self) -> Any:
        return np.zeros((0, 51, 3), np.uint8)


class RaisesOnRender(Ramp):
    def render(self) -> Any:
        raise OSError("no display\nhere")


class HasNoRenderMode(Ramp):
    metadata = {"render_modes": []}  # noqa: RUF012


class RaisesOnStep(Ramp):
    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        if self.taken == 3:
            raise RuntimeError("the motor is hot")
        return super().step(action)
