"""A tiny environment that draws itself."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box


class Square(gymnasium.Env[np.ndarray, np.ndarray]):
    """A square moves to the right."""

    metadata: Any = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012
    observation_space: Any = Box(-1, 1, (2,), np.float32)
    action_space: Any = Box(-1, 1, (1,), np.float32)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), float(action[0]), False, self.t >= 10, {}

    def render(self) -> Any:
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[20:30, 4 * self.t : 4 * self.t + 10] = 255
        return picture
