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


class HasOtherRenderModes(Ramp):
    metadata = {"render_modes": ["human", "ansi"]}  # noqa: RUF012


class HasNullMetadata(Ramp):
    metadata = None  # type: ignore[assignment]


class HasPhysicsStep(Ramp):
    """Ten steps of the physics per step."""

    dt = 0.01


class DrawsTransparentIntegers(Ramp):
    def render(self) -> Any:
        return np.dstack([super().render(), np.zeros((33, 51), np.uint8)]).astype(np.int64)


class DrawsWhenMade(Ramp):
    """Its renderer is made with it."""

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.brightness = 30 if render_mode == "rgb_array" else None

    def render(self) -> Any:
        return np.full((33, 51, 3), self.brightness * self.taken, np.uint8)


def draws_when_made_of_a_class() -> DrawsWhenMade:
    return DrawsWhenMade()


class NeedsDisplayWhenMade(Ramp):
    def __init__(self, render_mode: str | None = None) -> None:
        if render_mode is not None:
            raise RuntimeError("gladLoadGL error")


class DrawsMoreThanItsModel(Ramp):
    """Has a MuJoCo model, and draws a marker that it places before rendering, as gymnasium-robotics does."""

    def __init__(self) -> None:
        import mujoco

        self.model = mujoco.MjModel.from_xml_string(
            "<mujoco><worldbody><camera name='top' pos='0 0 3'/><light pos='0 0 4' dir='0 0 -1'/>"
            "<geom name='marker' type='sphere' size='1' rgba='0 0 1 1'/></worldbody></mujoco>"
        )
        self.data = mujoco.MjData(self.model)
        mujoco.mj_forward(self.model, self.data)

    def _render_callback(self) -> None:
        self.model.geom("marker").rgba[:] = 1.0, 0.0, 0.0, 1.0


gymnasium.register("drawn/NullMetadata-v0", HasNullMetadata)
gymnasium.register("drawn/WhenMade-v0", DrawsWhenMade)


class RaisesOnStep(Ramp):
    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        if self.taken == 3:
            raise RuntimeError("the motor is hot")
        return super().step(action)
