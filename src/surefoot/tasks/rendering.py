"""Images of simulations, rendered by MuJoCo or by the environment itself.

MuJoCo models of all suites are rendered here, with the same sizes, cameras and errors, and also if MUJOCO_GL=disabled
was set when the suite was imported, as for training.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np

from surefoot.errors import UserError, suggest
from surefoot.tasks.gl import new_context, renders_in_software

FREE = "free"
"""Name of the camera that shows the whole model, which every MuJoCo model has."""

_MAX_SHAPES = 10_000

_SOFTWARE_SHADOW_MAP = 1024
"""Pixels along a side; the suites use 2048 to 4096."""


@dataclass(frozen=True)
class View:
    """Size and camera of images.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        camera: Name or number of one of the model's cameras, or "free"; None for the suite's default.
    """

    width: int
    height: int
    camera: str | int | None = None


class Camera(Protocol):
    """Camera of one simulation."""

    def render(self) -> np.ndarray:
        """Return an image of the current state as a new array, [H, W, 3] uint8."""

    def close(self) -> None:
        """Free the resources of the camera, not of the simulation."""


class MujocoCamera:
    """Off-screen renderer of a MuJoCo model in exactly the view's size."""

    def __init__(self, model: Any, data: Any, view: View, default: str | int = 0) -> None:
        """Set up the camera.

        Args:
            model: The `mujoco.MjModel`; only its settings of image size and quality are changed.
            data: The `mujoco.MjData` that the simulation steps.
            view: Size and camera.
            default: Camera if the view names none; the free camera if the model does not have it.

        Raises:
            UserError: The model has no such camera, or no off-screen renderer works.
        """
        import mujoco

        self._mujoco, self._model, self._data = mujoco, model, data
        self._camera = _find_camera(model, view.camera, default)
        self._gl = new_context(view.width, view.height)
        self._gl.make_current()
        model.vis.global_.offwidth, model.vis.global_.offheight = view.width, view.height
        self._scene, self._option = mujoco.MjvScene(model, maxgeom=_MAX_SHAPES), mujoco.MjvOption()
        if renders_in_software():  # reflections and detailed shadows would dominate the cost
            self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
            model.vis.quality.shadowsize = min(model.vis.quality.shadowsize, _SOFTWARE_SHADOW_MAP)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._place = mujoco.MjrRect(0, 0, view.width, view.height)

    def render(self) -> np.ndarray:
        """Return an image of the current state, [H, W, 3] uint8."""
        mujoco = self._mujoco
        self._gl.make_current()  # another camera may have been used since
        for field in range(self._model.nhfield):  # resets may change the terrain
            mujoco.mjr_uploadHField(self._model, self._context, field)
        mujoco.mjv_updateScene(
            self._model, self._data, self._option, None, self._camera, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._place, self._scene, self._context)
        image = np.empty((self._place.height, self._place.width, 3), np.uint8)
        mujoco.mjr_readPixels(image, None, self._place, self._context)
        return image[::-1].copy()  # OpenGL counts rows from the bottom

    def close(self) -> None:
        """Free the graphics memory."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


class EnvironmentCamera:
    """Camera that calls a Gymnasium environment's `render`, in the environment's size."""

    def __init__(self, env: gymnasium.Env[Any, Any], view: View, name: str) -> None:
        """Set up the camera; `name` is the name of the task, for error messages.

        Raises:
            UserError: The environment does not support "rgb_array", or the view names a camera.
        """
        if env.render_mode is None and "rgb_array" in env.metadata.get("render_modes", ()):
            # Most environments read their mode only in `render`, so that the training environment can be used. Others
            # raise there.
            env.unwrapped.render_mode = "rgb_array"
        if env.render_mode != "rgb_array":
            raise UserError(
                f"task '{name}' cannot be rendered: its environment has the render_mode {env.render_mode!r}, expected "
                "'rgb_array', or None and 'rgb_array' among the render_modes of its metadata"
            )
        if view.camera is not None:
            raise UserError(f"task '{name}' has its own renderer without cameras, got camera {view.camera!r}: omit it")
        self._env, self._name = env, name

    def render(self) -> np.ndarray:
        """Return the environment's image, [H, W, 3] uint8.

        Raises:
            UserError: It raised, or returned something else.
        """
        try:
            image: Any = self._env.render()
        except Exception as error:  # the environment is user code
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"task '{self._name}' cannot be rendered: {reason}") from error
        if not (
            isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,) and image.size > 0
        ):
            got = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
            raise UserError(
                f"task '{self._name}' cannot be rendered: render() returned {got}, expected uint8 [H, W, 3]"
            )
        return image.copy()

    def close(self) -> None:
        """Do nothing: the renderer belongs to the environment."""


def environment_camera(env: gymnasium.Env[Any, Any], view: View, name: str) -> Camera:
    """Return a camera of a Gymnasium environment: a `MujocoCamera` if it has MuJoCo's `model` and `data`.

    Raises:
        UserError: It cannot be rendered, has no such camera, or no off-screen renderer works.
    """
    if mujoco := sys.modules.get("mujoco"):  # otherwise it has no MuJoCo model
        model, data = (getattr(env.unwrapped, part, None) for part in ("model", "data"))
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            return MujocoCamera(model, data, view)
    return EnvironmentCamera(env, view, name)


def seconds_per_step(env: gymnasium.Env[Any, Any]) -> float | None:
    """Return the declared duration of one step in seconds, or None."""
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
