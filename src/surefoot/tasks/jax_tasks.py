"""Tasks whose environments are written in JAX."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Mapping
from typing import Any

from surefoot.errors import MissingDependency, UserError, suggest
from surefoot.tasks.naming import arguments_text
from surefoot.tasks.task import Task
from surefoot.tasks.wrappers import Simulation

JAX_PREFIXES = ("playground/", "gymnax/")
"""Starts of the names of tasks that are ids of packages."""


def jax_id_task(name: str, keywords: Mapping[str, Any]) -> Task:
    """Return the task "playground/ID" or "gymnax/ID".

    Args:
        name: Its name.
        keywords: Entries of MuJoCo Playground's configuration, or parameters of gymnax, that are not the default's.
    """
    suite, _, env_id = name.partition("/")
    full = name + arguments_text((), keywords)
    make = _playground if suite == "playground" else _gymnax
    return _with_jax(
        Task(
            name=full,
            suite="playground" if suite == "playground" else "gymnax",
            action_repeat=1,
            discount=0.99,
            horizon=None,
            env_set=keywords,
            simulate=_simulate,
        ),
        functools.partial(make, env_id, full, keywords),
    )


def jax_task(task: Task) -> Task:
    """Return a task whose callable returns an environment with the interface of Brax.

    Raises:
        UserError: It is not the task of a callable.
    """
    if task.factory is None:
        raise UserError(
            f"engine jax: '{task.name}' is not written in JAX; playground/ID and gymnax/ID are, and module:callable "
            "may return such an environment"
        )
    return _with_jax(task, functools.partial(_users, task.factory, task.name))


def list_names() -> tuple[str, ...]:
    """Return the ids of the installed packages as tasks, also of discrete actions: making one may download data.

    Raises:
        UserError: None is installed.
    """
    names: list[str] = []
    for module, list_ids in (("mujoco_playground", _playground_ids), ("gymnax", _gymnax_ids)):
        if importlib.util.find_spec(module) is not None:
            names += list_ids()
    if not names:
        raise UserError(
            "engine jax: neither MuJoCo Playground (pip install 'surefoot[playground]') nor gymnax (pip install "
            "gymnax) is installed; environments of your own are tasks as module:callable"
        )
    return tuple(names)


def _playground_ids() -> list[str]:
    from mujoco_playground import registry

    return sorted(f"playground/{env_id}" for env_id in registry.ALL_ENVS)


def _gymnax_ids() -> list[str]:
    import gymnax

    return sorted(f"gymnax/{env_id}" for env_id in gymnax.registered_envs)


def _with_jax(task: Task, make: Callable[[], Any]) -> Task:
    return dataclasses.replace(task, jax=make, simulate=functools.partial(_simulate, make, task.name))


def _simulate(make: Callable[[], Any], name: str, *, rendered: bool = False) -> Simulation:
    from surefoot.simulators.vector import JaxSimulation

    return JaxSimulation(make(), name)


def _users(factory: Callable[[], Any], name: str) -> Any:
    from surefoot.simulators.environments import make_brax_like

    return make_brax_like(factory, name)


def _playground(env_id: str, name: str, keywords: Mapping[str, Any]) -> Any:
    from surefoot.simulators.environments import BraxEnv

    try:
        from mujoco_playground import registry
    except ModuleNotFoundError as error:
        if error.name == "mujoco_playground":
            raise MissingDependency("mujoco_playground", "playground", "MuJoCo Playground") from error
        raise UserError(f"task '{name}': MuJoCo Playground cannot be imported: {error}") from error
    if env_id not in registry.ALL_ENVS:
        raise UserError(
            f"unknown task '{name}': MuJoCo Playground has no {env_id!r}{suggest(env_id, registry.ALL_ENVS)}"
        )
    config = registry.get_default_config(env_id)
    if (wrong := next((key for key in keywords if key not in config), None)) is not None:
        known = ", ".join(sorted(config))
        raise UserError(
            f"task '{name}' has no setting '{wrong}'{suggest(wrong, config) or f', expected one of {known}'}"
        )
    # MuJoCo Warp, its default, needs a GPU.
    overrides = {"impl": "jax", **keywords} if "impl" in config else dict(keywords)
    try:
        env = registry.load(env_id, config_overrides=overrides)
    except Exception as error:  # also without network: robots other than DM Control's are downloaded
        raise UserError(f"task '{name}' cannot be made: {type(error).__name__}: {_one_line(error)}") from error
    return BraxEnv(env, name, int(keywords.get("episode_length", config.episode_length)))


def _gymnax(env_id: str, name: str, keywords: Mapping[str, Any]) -> Any:
    from surefoot.simulators.environments import GymnaxEnv

    try:
        import gymnax
    except ModuleNotFoundError as error:
        if error.name == "gymnax":
            raise UserError(
                f"task '{name}' needs the package 'gymnax', which is not installed: pip install gymnax"
            ) from error
        raise UserError(f"task '{name}': gymnax cannot be imported: {error}") from error
    if env_id not in gymnax.registered_envs:
        near = suggest(env_id, gymnax.registered_envs)
        raise UserError(f"unknown task '{name}': gymnax has no {env_id!r}{near}")
    try:
        env, params = gymnax.make(env_id)
    except Exception as error:  # some download data
        raise UserError(f"task '{name}' cannot be made: {type(error).__name__}: {_one_line(error)}") from error
    known = {field.name for field in dataclasses.fields(params)}
    if (wrong := next((key for key in keywords if key not in known), None)) is not None:
        expected = suggest(wrong, known) or f", expected one of {', '.join(sorted(known))}"
        raise UserError(f"task '{name}' has no parameter '{wrong}'{expected}")
    return GymnaxEnv(env, dataclasses.replace(params, **keywords), name)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
