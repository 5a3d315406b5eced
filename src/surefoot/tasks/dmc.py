"""DM Control suite tasks: https://arxiv.org/abs/2006.12983."""

from __future__ import annotations

import copy
import functools
import importlib.util
import os
import sys
from typing import Any

import numpy as np

from surefoot.errors import MissingDependency, UserError
from surefoot.spaces import ActionSpec, EnvSpaces, ObservationPart
from surefoot.tasks.rendering import MujocoCamera, View
from surefoot.tasks.wrappers import Advance

# dm_control requires labmaze, which has no wheel for Python 3.13.
_INSTALLABLE = sys.version_info < (3, 13)
_NOT_INSTALLABLE = (
    "DM Control cannot be installed on Python 3.13: use Python 3.12, the same tasks in EnvPool (--engine envpool, pip "
    "install 'surefoot[envpool]'), or Gymnasium's MuJoCo tasks, such as HalfCheetah-v5 (pip install 'surefoot[mujoco]')"
)


def import_suite() -> Any:
    """Import `dm_control.suite` without a graphics library, which training does not need.

    Raises:
        MissingDependency: dm_control or mujoco is not installed.
        UserError: dm_control is not installed and has no build for this Python.
    """
    # dm_control loads a GL library on import; videos are rendered independently of it (see rendering.py).
    os.environ.setdefault("MUJOCO_GL", "disabled")
    _delay_import("scipy", "ndimage")
    try:
        from dm_control import suite
    except ModuleNotFoundError as error:
        if error.name == "dm_control" and not _INSTALLABLE:
            raise UserError(_NOT_INSTALLABLE) from error
        if error.name in ("dm_control", "mujoco"):
            raise MissingDependency(error.name, "dmc", "DM Control") from error
        raise
    return suite


def _delay_import(package: str, name: str) -> None:
    """Import a part of a package at the first access to one of its attributes.

    Only quadruped-escape uses ``scipy.ndimage``, which the suite imports for every task and which takes 0.2 s.
    """
    full = f"{package}.{name}"
    if full in sys.modules or (spec := importlib.util.find_spec(full)) is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    sys.modules[full] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(sys.modules[package], name, module)  # ``from package import name`` then leaves it alone


@functools.lru_cache(maxsize=1)
def _load(domain: str, task: str) -> Any:
    """Return the suite's environment, to be copied: compiling a model takes 0.07 to 0.7 s, a copy 0.01 to 0.06."""
    return import_suite().load(domain, task, task_kwargs={"random": 0})


class DMCSimulation:
    """One DM Control task.

    An episode that reaches the time limit is truncated; it is terminated only if the task sets the discount to 0. The
    suite's `step` is not used because it computes an observation in every control step.
    """

    def __init__(self, domain: str, task: str) -> None:
        """Load the suite's task, for example "cheetah" and "run"."""
        env = copy.deepcopy(_load(domain, task))
        _disable_rendering_contexts(env.physics)
        _cache_names(env.physics)
        self._env, self._task, self._physics = env, env.task, env.physics
        self._sub_steps, self._step_limit = env._n_sub_steps, env._step_limit
        self._steps = 0
        self.spaces = _describe_spaces(env.action_spec(), env.observation_spec())
        self._keys, stop = [], 0
        for part in self.spaces.observation:
            start, stop = stop, stop + part.size
            self._keys.append((part.path[0], slice(start, stop)))

    def reset(self, seed: int) -> None:
        """Start the episode of `seed`."""
        self._task.random.seed(seed)
        self._steps = 0
        with self._physics.reset_context():
            self._task.initialize_episode(self._physics)

    def advance(self, action: np.ndarray) -> Advance:
        """Take one control step."""
        self._task.before_step(action, self._physics)
        self._physics.step(self._sub_steps)
        self._task.after_step(self._physics)
        self._steps += 1
        reward = self._task.get_reward(self._physics)
        discount = self._task.get_termination(self._physics)
        terminated = discount == 0.0
        return Advance(float(reward), terminated, not terminated and self._ends_on_time(discount))

    def observe(self) -> np.ndarray:
        """Return the observation in the order of the suite's specification, [O] float32."""
        flat = np.empty(self.spaces.observation_size, np.float32)
        parts = self._task.get_observation(self._physics)
        for key, place in self._keys:
            flat[place] = np.ravel(parts[key])
        return flat

    def solved(self) -> None:
        """Return None: the suite defines no success."""

    def control_seconds(self) -> float:
        """Return the simulated seconds of one control step."""
        return float(self._env.control_timestep())

    def camera(self, view: View) -> MujocoCamera:
        """Return a camera, by default the model's first, which shows the task."""
        return MujocoCamera(self._physics.model.ptr, self._physics.data.ptr, view)

    def close(self) -> None:
        """Free the physics."""
        self._env.close()

    def _ends_on_time(self, discount: float | None) -> bool:
        # A discount other than None and 0 ends an episode without terminating its value.
        return discount is not None or self._steps >= self._step_limit


def _describe_spaces(action: Any, observation: Any) -> EnvSpaces:
    """Return the description of a task's specifications."""
    low, high = (np.broadcast_to(bound, action.shape).tolist() for bound in (action.minimum, action.maximum))
    return EnvSpaces(
        tuple(
            ObservationPart.at((key,), tuple(part.shape), np.dtype(part.dtype).name)
            for key, part in observation.items()
        ),
        ActionSpec(tuple(action.shape), np.dtype(action.dtype).name, tuple(low), tuple(high)),
    )


class _CachingAxis:
    """Axis of DM Control's named arrays that caches the index of each name or list of names.

    Rewards and observations look up the same names in every control step, which takes a twelfth of the dog's step.
    """

    def __init__(self, axis: Any) -> None:
        self._axis = axis
        self._indices: dict[str | tuple[str, ...], Any] = {}

    def convert_key_item(self, key: Any) -> Any:
        """Return the index of ``key``: a name, a list of names, or a NumPy index."""
        if type(key) is str:
            name: str | tuple[str, ...] = key
        elif type(key) is list and all(type(part) is str for part in key):
            name = tuple(key)
        else:
            return self._axis.convert_key_item(key)
        if name not in self._indices:
            self._indices[name] = self._axis.convert_key_item(key)
        return self._indices[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # copy and pickle look it up before `_axis` is set
        return getattr(self._axis, name)


def _cache_names(physics: Any) -> None:
    """Cache the name lookups of the named arrays of ``physics``."""
    caching: dict[int, _CachingAxis] = {}
    for struct in physics.named:
        for array in struct._asdict().values():
            axes = (caching.setdefault(id(axis), _CachingAxis(axis)) for axis in array.axes if axis is not None)
            array._axes = type(array.axes)(*axes)


def _disable_rendering_contexts(physics: Any) -> None:
    """Make `physics.contexts` None if rendering is disabled.

    The property would create contexts, and quadruped-escape reads it in every reset.
    """
    from dm_control import _render
    from dm_control._render import constants

    if _render.BACKEND in (None, *constants.NO_RENDERER):
        physics.__class__ = type("HeadlessPhysics", (type(physics),), {"contexts": None})
