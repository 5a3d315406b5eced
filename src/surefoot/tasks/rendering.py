"""Images of simulations, rendered by MuJoCo or by the environment itself.

MuJoCo models of the suites are rendered here, with the same sizes, cameras and errors, and also if MUJOCO_GL=disabled
was set when the suite was imported, as for training.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np

from surefoot.errors import UserError, suggest
from surefoot.tasks.gl import gl_hint, new_context, renders_in_software
from surefoot.tasks.pictures import Picture

FREE = "free"
"""Name of the camera that shows the whole model, which every MuJoCo model has."""

_RGB = "rgb_array"

_MAX_SHAPES = 10_000

_SOFTWARE_SHADOW_MAP = 1024
"""Pixels along a side; the suites use 2048 to 4096."""


@dataclass(frozen=True)
class View:
    """Size and camera of images.

    Attributes:
        width: Width in pixels.
        height: Height in pixels.
        camera: Name or number of one of the model's cameras, or "free"; None for the suite's default, or the
            environment's own `render`.
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

    def __init__(
        self,
        model: Any,
        data: Any,
        view: View,
        default: str | int = 0,
        before: Callable[[], object] | None = None,
    ) -> None:
        """Set up the camera.

        Args:
            model: The `mujoco.MjModel`; only its settings of image size and quality are changed.
            data: The `mujoco.MjData` that the simulation steps.
            view: Size and camera.
            default: Camera if the view names none; the free camera if the model does not have it.
            before: Called before every image.

        Raises:
            UserError: The model has no such camera, or no off-screen renderer works.
        """
        import mujoco

        self._mujoco, self._model, self._data, self._before = mujoco, model, data, before
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
        if self._before is not None:
            self._before()
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
        if view.camera is not None:
            raise UserError(f"task '{name}' has its own renderer without cameras, got camera {view.camera!r}: omit it")
        declared = tuple(_metadata(env).get("render_modes") or ())
        self._made_without_mode = _render_mode(env) is None
        if self._made_without_mode and (_RGB in declared or not declared):
            # Most environments read their mode only in `render`. Others raise there.
            with contextlib.suppress(Exception):
                env.unwrapped.render_mode = _RGB
        mode = _render_mode(env)
        if mode not in (None, _RGB) or (mode is None and declared):
            raise UserError(
                f"task '{name}' cannot be rendered: its environment has the render_mode {mode!r} of {list(declared)}, "
                f"expected {_RGB!r}"
            )
        self._env, self._name, self._to_picture = env, name, Picture()

    def render(self) -> np.ndarray:
        """Return the environment's image, [H, W, 3] uint8.

        Raises:
            UserError: It raised, or returned something else.
        """
        try:
            image: Any = self._env.render()
        except Exception as error:  # the environment is user code
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            hint = gl_hint(error)
            if self._made_without_mode and not hint:
                hint = "; if its renderer is made with the environment, let the callable take render_mode"
            raise UserError(f"task '{self._name}' cannot be rendered: {reason}{hint}") from error
        try:
            return self._to_picture(image)
        except ValueError as error:
            raise UserError(f"task '{self._name}' cannot be rendered: render() returned {error}") from error

    def close(self) -> None:
        """Do nothing: the renderer belongs to the environment."""


def make_for_render(factory: Callable[..., Any]) -> Any:
    """Make an environment whose `render` will be called: with render_mode="rgb_array" if the factory takes it.

    Args:
        factory: Callable that returns an environment and may take `render_mode`.
    """
    if not _takes_render_mode(factory):
        return factory()
    try:
        with warnings.catch_warnings():  # of a mode that the metadata do not list
            warnings.filterwarnings("ignore", message=".*render_mode=", module="gymnasium")
            return factory(render_mode=_RGB)
    except TypeError as error:
        if "render_mode" not in str(error):
            raise
        return factory()


def _takes_render_mode(factory: Callable[..., Any]) -> bool:
    """Return whether a callable has a parameter `render_mode`, or passes any keyword on."""
    if isinstance(factory, functools.partial) and "render_mode" in factory.keywords:
        return False
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):  # some builtins have no signature
        return False
    return any(
        parameter.kind is parameter.VAR_KEYWORD
        or (parameter.name == "render_mode" and parameter.kind is not parameter.POSITIONAL_ONLY)
        for parameter in parameters
    )


def environment_camera(env: gymnasium.Env[Any, Any], view: View, name: str) -> Camera:
    """Return a camera of a Gymnasium environment.

    It is a `MujocoCamera` for Gymnasium's own MuJoCo environments, and for others with MuJoCo's `model` and `data` if
    the view names a camera. Others may draw more than their model, so that their own `render` is used by default.

    Raises:
        UserError: It cannot be rendered, has no such camera, or no off-screen renderer works.
    """
    if (mujoco := sys.modules.get("mujoco")) and (view.camera is not None or _is_gymnasiums(env)):
        model, data = (getattr(env.unwrapped, part, None) for part in ("model", "data"))
        if isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData):
            # Markers of goals, which gymnasium-robotics moves before it renders.
            return MujocoCamera(model, data, view, before=getattr(env.unwrapped, "_render_callback", None))
    return EnvironmentCamera(env, view, name)


def _is_gymnasiums(env: gymnasium.Env[Any, Any]) -> bool:
    """Return whether an environment and its wrappers are Gymnasium's own."""
    layer = env
    while isinstance(layer, gymnasium.Wrapper) and type(layer).__module__.startswith("gymnasium."):
        layer = layer.env
    return type(layer).__module__.startswith("gymnasium.envs.mujoco.")


def seconds_per_step(env: gymnasium.Env[Any, Any]) -> float | None:
    """Return the duration of one step in seconds according to `render_fps`, or None.

    An attribute `dt` is not used: it may be the duration of a step of the physics, of which one step takes several.
    """
    try:
        rate = float(_metadata(env).get("render_fps"))  # type: ignore[arg-type]  # of any type
    except (TypeError, ValueError):
        return None
    return 1.0 / rate if math.isfinite(rate) and rate > 0.0 else None


def _metadata(env: gymnasium.Env[Any, Any]) -> Mapping[str, Any]:
    metadata: Any = getattr(env, "metadata", None)
    return metadata if isinstance(metadata, Mapping) else {}


def _render_mode(env: gymnasium.Env[Any, Any]) -> str | None:
    return getattr(env, "render_mode", None)


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
