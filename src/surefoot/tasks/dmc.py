"""DM Control suite tasks: https://arxiv.org/abs/2006.12983."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from surefoot.errors import MissingDependency, UserError
from surefoot.tasks.rendering import MujocoCamera, View
from surefoot.tasks.wrappers import Advance


def import_suite() -> Any:
    """Import `dm_control.suite` without asking for a graphics library, which training does not need.

    Raises:
        MissingDependency: dm_control or mujoco is not installed.
        UserError: dm_control is not installed and has no build for this Python.
    """
    # dm_control looks for a GL library when it is imported; videos are drawn without its help (see rendering.py).
    os.environ.setdefault("MUJOCO_GL", "disabled")
    try:
        from dm_control import suite
    except ModuleNotFoundError as error:
        if error.name == "dm_control" and sys.version_info >= (3, 13):
            # It requires labmaze, which has no wheel for Python 3.13.
            raise UserError("DM Control cannot be installed on Python 3.13: use Python 3.12") from error
        if error.name in ("dm_control", "mujoco"):
            raise MissingDependency(error.name, "dmc", "DM Control") from error
        raise
    return suite


class DMCSimulation:
    """One DM Control task.

    An episode that reaches the time limit is truncated; it is terminated only where the task itself sets the discount
    to 0. The suite's own environment is taken apart because its `step` computes an observation every control step.
    """

    def __init__(self, domain: str, task: str) -> None:
        """Load the suite's task, for example "cheetah" and "run"."""
        env = import_suite().load(domain, task, task_kwargs={"random": 0})
        _forgo_rendering(env.physics)
        _remember_names(env.physics)
        self._env, self._task, self._physics = env, env.task, env.physics
        self._sub_steps, self._step_limit = env._n_sub_steps, env._step_limit
        self._steps = 0
        spec = env.action_spec()
        self.action_low = np.broadcast_to(spec.minimum, spec.shape).astype(np.float32)
        self.action_high = np.broadcast_to(spec.maximum, spec.shape).astype(np.float32)
        self._keys, stop = [], 0
        for key, part in env.observation_spec().items():
            start, stop = stop, stop + int(np.prod(part.shape))
            self._keys.append((key, slice(start, stop)))
        self.observation_size = stop
        self.observation_keys: tuple[str, ...] | None = tuple(key for key, _ in self._keys)

    def reset(self, seed: int) -> None:
        """Begin the episode that belongs to `seed`."""
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
        """Return the observation's parts in the order of the suite's specification, [O] float32."""
        flat = np.empty(self.observation_size, np.float32)
        parts = self._task.get_observation(self._physics)
        for key, place in self._keys:
            flat[place] = np.ravel(parts[key])
        return flat

    def solved(self) -> bool:
        """Return False: the suite defines no success."""
        return False

    def control_seconds(self) -> float:
        """Return the simulated seconds of one control step."""
        return float(self._env.control_timestep())

    def camera(self, view: View) -> MujocoCamera:
        """Return a camera, by default the model's first, which is the one that shows the task."""
        return MujocoCamera(self._physics.model.ptr, self._physics.data.ptr, view)

    def close(self) -> None:
        """Free the physics."""
        self._env.close()

    def _ends_on_time(self, discount: float | None) -> bool:
        # A task may also end an episode without ending its value: a discount that is neither None nor 0.
        return discount is not None or self._steps >= self._step_limit


class _RememberingAxis:
    """An axis of DM Control's arrays that looks up each name, or list of names, once.

    Rewards and observations ask for the same names in every control step, a twelfth of all that a dog's takes.
    """

    def __init__(self, axis: Any) -> None:
        self._axis = axis
        self._places: dict[str | tuple[str, ...], Any] = {}

    def convert_key_item(self, key: Any) -> Any:
        """Return where in the array ``key`` is: a name, a list of names, or an index of NumPy's."""
        if type(key) is str:
            name: str | tuple[str, ...] = key
        elif type(key) is list and all(type(part) is str for part in key):
            name = tuple(key)
        else:
            return self._axis.convert_key_item(key)
        if name not in self._places:
            self._places[name] = self._axis.convert_key_item(key)
        return self._places[name]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)  # Of a copy in the making, which has no axis yet.
        return getattr(self._axis, name)


def _remember_names(physics: Any) -> None:
    """Let the named arrays of ``physics`` look up each name once. What they return stays the same."""
    remembering: dict[int, _RememberingAxis] = {}
    for struct in physics.named:
        for array in struct._asdict().values():
            axes = (remembering.setdefault(id(axis), _RememberingAxis(axis)) for axis in array.axes if axis is not None)
            array._axes = type(array.axes)(*axes)


def _forgo_rendering(physics: Any) -> None:
    """Make `physics` say that it has no rendering contexts where rendering is switched off.

    It would make them when asked whether it has any, and quadruped-escape asks in every reset.
    """
    from dm_control import _render
    from dm_control._render import constants

    if _render.BACKEND in (None, *constants.NO_RENDERER):
        physics.__class__ = type("HeadlessPhysics", (type(physics),), {"contexts": None})
