"""Pictures of a simulation: by MuJoCo's own renderer where there is a MuJoCo model, else by the environment's.

Drawing a MuJoCo model here, and not through each suite, gives every suite the same sizes, cameras and errors. It also
works where MUJOCO_GL=disabled was set when the suite was imported, as it is for training.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np

from surefoot.errors import UserError, suggest
from surefoot.tasks.gl import draws_in_software, new_context

FREE = "free"
"""The name of the camera that stands apart and sees the whole model; every MuJoCo model has it."""

_MOST_SHAPES = 10_000

_SOFTWARE_SHADOW_MAP = 1024
"""Pixels along a side; the suites ask for 2048 to 4096."""


@dataclass(frozen=True)
class View:
    """What pictures are asked for.

    Attributes:
        width: pixels.
        height: pixels.
        camera: name or number of one of the model's cameras, or "free"; None leaves the choice to the suite.
    """

    width: int
    height: int
    camera: str | int | None = None


class Camera(Protocol):
    """Takes pictures of one simulation."""

    def shoot(self) -> np.ndarray:
        """Return the current state, [H, W, 3] uint8, an array nothing else holds."""

    def close(self) -> None:
        """Free what the camera holds; the simulation stays."""


class MujocoCamera:
    """Draws a MuJoCo model off-screen, in exactly the view's size."""

    def __init__(self, model: Any, data: Any, view: View, default: str | int = 0) -> None:
        """Set up the camera.

        Args:
            model: the `mujoco.MjModel`, of which settings of the picture's size and quality are changed, nothing else.
            data: its `mujoco.MjData`, which must stay the one that the simulation steps.
            view: size and camera.
            default: the camera where the view names none; a model without it gets the free camera.

        Raises:
            UserError: the model has no such camera, or nothing here can draw off-screen.
        """
        import mujoco

        self._mujoco, self._model, self._data = mujoco, model, data
        self._camera = _find_camera(model, view.camera, default)
        self._gl = new_context(view.width, view.height)
        self._gl.make_current()
        model.vis.global_.offwidth, model.vis.global_.offheight = view.width, view.height
        self._scene, self._option = mujoco.MjvScene(model, maxgeom=_MOST_SHAPES), mujoco.MjvOption()
        if draws_in_software():  # where mirrors in the floor and fine shadows cost more than all the rest
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
            model.vis.quality.shadowsize = min(model.vis.quality.shadowsize, _SOFTWARE_SHADOW_MAP)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._place = mujoco.MjrRect(0, 0, view.width, view.height)

    def shoot(self) -> np.ndarray:
        """Return the current state, [H, W, 3] uint8."""
        mujoco = self._mujoco
        self._gl.make_current()  # another camera of this process may have drawn since
        for field in range(self._model.nhfield):  # terrain that a reset has changed
            mujoco.mjr_uploadHField(self._model, self._context, field)
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._place, self._scene, self._context)
        picture = np.empty((self._place.height, self._place.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._place, self._context)
        return picture[::-1].copy()  # OpenGL counts rows from the bottom

    def close(self) -> None:
        """Free the graphics memory."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


class EnvironmentCamera:
    """Asks a Gymnasium environment to draw itself, in the size it likes."""

    def __init__(self, env: gymnasium.Env[Any, Any], view: View, name: str) -> None:
        """Set up the camera; `name` is the task's, for messages.

        Raises:
            UserError: the environment was not made to return pictures, or a camera is asked for.
        """
        if env.render_mode is None and "rgb_array" in env.metadata.get("render_modes", ()):
            # Most environments look at their mode only when they draw. So the one that was trained on can be shown as
            # it is, whoever made it; those that need to know earlier say so when asked to draw.
            env.unwrapped.render_mode = "rgb_array"
        if env.render_mode != "rgb_array":
            raise UserError(
                f"task '{name}' cannot be rendered: its environment has the render_mode {env.render_mode!r}, expected "
                "'rgb_array', or None and 'rgb_array' among the render_modes of its metadata"
            )
        if view.camera is not None:
            raise UserError(f"task '{name}' draws itself and has no camera {view.camera!r}: leave the camera out")
        self._env, self._name = env, name

    def shoot(self) -> np.ndarray:
        """Return what the environment draws, [H, W, 3] uint8.

        Raises:
            UserError: it raised, or returned something else.
        """
        try:
            picture: Any = self._env.render()
        except Exception as error:  # an environment is foreign code: it may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"task '{self._name}' cannot be rendered: {reason}") from error
        if not (
            isinstance(picture, np.ndarray)
            and picture.dtype == np.uint8
            and picture.shape[2:] == (3,)
            and picture.size > 0
        ):
            got = f"{picture.dtype} {picture.shape}" if isinstance(picture, np.ndarray) else type(picture).__name__
            raise UserError(
                f"task '{self._name}' cannot be rendered: render() returned {got}, expected uint8 [H, W, 3]"
            )
        return picture.copy()

    def close(self) -> None:
        """Do nothing: the window, if any, is the environment's."""


def environment_camera(env: gymnasium.Env[Any, Any], view: View, name: str) -> Camera:
    """Return a camera for a Gymnasium environment: MuJoCo's where it keeps a `model` and `data` of MuJoCo.

    Raises:
        UserError: it cannot be rendered, has no such camera, or nothing here can draw off-screen.
    """
    if mujoco := sys.modules.get("mujoco"):  # else nobody can have made a model
        model, data = (getattr(env.unwrapped, part, None) for part in ("model", "data"))
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return MujocoCamera(model, data, view)
    return EnvironmentCamera(env, view, name)


def seconds_per_step(env: gymnasium.Env[Any, Any]) -> float | None:
    """Return what an environment says one step of it lasts, in seconds of its own time; None where it doesn't."""
    if isinstance(step := getattr(env.unwrapped, "dt", None), int | float) and step > 0:
        return float(step)
    rate = env.metadata.get("render_fps")
    return 1.0 / rate if isinstance(rate, int | float) and rate > 0 else None


def _find_camera(model: Any, wanted: str | int | None, default: str | int) -> Any:
    """Return the `mujoco.MjvCamera` of a name or number."""
    import mujoco

    names = [model.camera(number).name for number in range(model.ncam)]
    numbers: dict[str, int] = {str(number): number for number in range(model.ncam)}
    numbers |= {name: number for number, name in enumerate(names) if name}
    key = str(default if wanted is None else wanted)
    camera = mujoco.MjvCamera()
    if key in numbers:
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, numbers[key]
    elif key == FREE or wanted is None:
        mujoco.mjv_defaultFreeCamera(model, camera)
    else:
        valid = [name or str(number) for number, name in enumerate(names)] + [FREE]
        raise UserError(f"there is no camera {wanted!r}, expected one of {', '.join(valid)}{suggest(key, valid)}")
    return camera
