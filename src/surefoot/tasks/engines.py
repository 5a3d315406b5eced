"""Engines of tasks, and tasks of EnvPool."""

from __future__ import annotations

import dataclasses
import functools

from surefoot.engine import Engine
from surefoot.errors import UserError
from surefoot.tasks.jax_tasks import jax_task
from surefoot.tasks.task import PoolSpec, Task
from surefoot.tasks.wrappers import Simulation

PREFIX = "envpool/"
"""Start of the names of tasks that are ids of EnvPool."""

_DOG = (
    *("joint_angles", "joint_velocites", "torso_pelvis_height", "z_projection", "torso_com_velocity"),
    *("inertial_sensors", "foot_forces", "touch_sensors", "actuator_state"),
)
_KEYS = {
    "dog": _DOG,
    "fish": ("joint_angles", "upright", "target", "velocity"),
    "humanoid": ("joint_angles", "head_height", "extremities", "torso_vertical", "com_velocity", "velocity"),
    "quadruped": ("egocentric_state", "torso_velocity", "torso_upright", "imu", "force_torque"),
}
"""Keys of the suite's observations by domain, where EnvPool's have more or another order."""

_DIFFERENT = ("myo-pen-twirl", "myo-pen-twirl-hard")
"""Tasks whose environments differ between the engines, as tests/third_party/test_envpool.py measures."""


def with_engine(task: Task, engine: Engine) -> Task:
    """Return a task whose environments another engine steps.

    Args:
        task: Task of the suite, or an id of EnvPool, which has one engine.
        engine: Engine.

    Raises:
        UserError: EnvPool does not have the task, or has another under its name; or it is not written in JAX.
    """
    if engine == "suite" or task.engine == engine:
        return task
    if engine == "jax":
        return jax_task(task)
    if task.name in _DIFFERENT:
        raise UserError(
            f"engine envpool: '{task.name}' differs from MyoSuite's in EnvPool; {PREFIX}{_id_of(task)} is EnvPool's"
        )
    if not task.benchmark:
        raise UserError(
            f"engine envpool: '{task.name}' is not one of the {25 - len(_DIFFERENT)} tasks that were compared with "
            f"EnvPool's (surefoot tasks --engine envpool); any id of EnvPool is a task as {PREFIX}ID"
        )
    return pool_task(task)


def pool_task(task: Task) -> Task:
    """Return one of the paper's tasks with EnvPool's environments, also where they differ from the suite's."""
    keys = _KEYS.get(task.name.partition("-")[0]) if task.suite == "dmc" else None
    dtype = "float64" if task.suite == "dmc" else "float32"
    return _with_pool(task, PoolSpec(_id_of(task), keys, task.horizon, dtype))


def list_pool_tasks(tasks: tuple[Task, ...]) -> tuple[Task, ...]:
    """Return those of the tasks known by name that EnvPool has as well."""
    return tuple(task for task in tasks if task.benchmark and task.name not in _DIFFERENT)


def id_task(name: str) -> Task:
    """Return the task of an id of EnvPool, ``envpool/ID``."""
    task = Task(name=name, suite="envpool", action_repeat=1, discount=0.99, horizon=None, simulate=_simulate)
    return _with_pool(task, PoolSpec(name.removeprefix(PREFIX)))


def _with_pool(task: Task, spec: PoolSpec) -> Task:
    return dataclasses.replace(task, pool=spec, simulate=functools.partial(_simulate, spec, task.name))


def _id_of(task: Task) -> str:
    """Return EnvPool's id of a task of DM Control or MyoSuite."""
    if task.suite == "myosuite":
        return str(getattr(task.simulate, "args", ("",))[0])
    words = task.name.replace("_", "-").split("-")
    return f"{''.join(word.capitalize() for word in words)}-v1"


def _simulate(spec: PoolSpec, name: str, *, rendered: bool = False) -> Simulation:
    from surefoot.tasks.envpool import PoolSimulation

    return PoolSimulation(spec, name)
