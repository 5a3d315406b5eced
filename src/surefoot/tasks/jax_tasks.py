"""Tasks whose environments are written in JAX."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from surefoot.errors import MissingDependency, UserError, suggest
from surefoot.streams import show
from surefoot.tasks.naming import arguments_text
from surefoot.tasks.task import Suite, Task
from surefoot.tasks.wrappers import Simulation

JAX_PREFIXES = ("playground/", "gymnax/")
"""Starts of the names of tasks that are ids of packages."""


def jax_id_task(name: str, keywords: Mapping[str, Any]) -> Task:
    """Return the task "playground/ID" or "gymnax/ID".

    Args:
        name: Its name.
        keywords: Entries of MuJoCo Playground's configuration, or parameters of gymnax, that are not the default's.
    """
    prefix, _, env_id = name.partition("/")
    made_by: dict[str, tuple[Suite, Callable[..., Any]]] = {
        "playground": ("playground", _playground),
        "gymnax": ("gymnax", _gymnax),
    }
    suite, make = made_by[prefix]
    full = name + arguments_text((), keywords)
    task = Task(
        name=full, suite=suite, action_repeat=1, discount=0.99, horizon=None, env_set=keywords, simulate=_simulate
    )
    return _with_jax(task, _Making(make, env_id, full, keywords, repr(sorted(keywords.items()))))


@dataclasses.dataclass(frozen=True)
class _Making:
    """Factory of a package's environment. Equal ones share it within a process, and with it the compiled programs."""

    make: Callable[..., Any]
    env_id: str
    name: str
    keywords: Mapping[str, Any] = dataclasses.field(compare=False)
    keywords_text: str

    def __call__(self) -> Any:
        return self.make(self.env_id, self.name, self.keywords)


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
        UserError: None is installed, or one cannot be imported.
    """
    names: list[str] = []
    problems: list[UserError] = []
    packages = (
        ("mujoco_playground", "playground/", lambda package: package.registry.ALL_ENVS),
        ("gymnax", "gymnax/", lambda package: package.registered_envs),
    )
    for module, prefix, ids_of in packages:
        if importlib.util.find_spec(module) is not None:
            try:
                names += (f"{prefix}{env_id}" for env_id in sorted(ids_of(_import(module))))
            except UserError as error:
                problems.append(error)
    for problem in problems:
        if not names:
            raise problem
        show(str(problem), sys.stderr)
    if not names:
        raise UserError(
            "engine jax: neither MuJoCo Playground (pip install 'surefoot[playground]') nor gymnax (pip install gymnax "
            "six) is installed; environments of your own are tasks as module:callable"
        )
    return tuple(names)


def _with_jax(task: Task, make: Callable[[], Any]) -> Task:
    return dataclasses.replace(task, jax=make, simulate=functools.partial(_simulate, make, task.name))


def _simulate(make: Callable[[], Any], name: str, *, rendered: bool = False) -> Simulation:
    from surefoot.simulators.vector import JaxSimulation

    return JaxSimulation(make, name)


def _users(factory: Callable[[], Any], name: str) -> Any:
    from surefoot.simulators.environments import BraxEnv

    return BraxEnv(factory(), name)


def _playground(env_id: str, name: str, keywords: Mapping[str, Any]) -> Any:
    from surefoot.simulators.environments import BraxEnv

    registry = _import("mujoco_playground").registry
    if env_id not in registry.ALL_ENVS:
        near = suggest(env_id, registry.ALL_ENVS)
        raise UserError(f"unknown task '{name}': MuJoCo Playground has no {env_id!r}{near}")
    config = registry.get_default_config(env_id)
    changes = dict(_flat(keywords))
    known = dict(_flat(config.to_dict()))
    for key in changes:
        if key not in known:
            expected = suggest(key, known) or f", expected one of {', '.join(sorted(known))}"
            nested = "; nested ones are given as NAME={OTHER=VALUE}" if "." in expected else ""
            raise UserError(f"task '{name}' has no setting '{key}'{expected}{nested}")
    if "action_repeat" in changes:
        raise UserError(f"task '{name}': its action_repeat is not used, expected --set action_repeat=K")
    # MuJoCo Warp, its default, needs a GPU.
    overrides = {"impl": "jax", **changes} if "impl" in known else changes
    try:
        env = registry.load(env_id, config_overrides=overrides)
    except Exception as error:  # also without network: robots other than DM Control's are downloaded
        raise UserError(f"task '{name}' cannot be made: {type(error).__name__}: {error}") from error
    # An environment may change its configuration, as Cartpole does for vision.
    own = getattr(env, "_config", config)
    return BraxEnv(env, name, changes.get("episode_length", own.get("episode_length")))


def _gymnax(env_id: str, name: str, keywords: Mapping[str, Any]) -> Any:
    from surefoot.simulators.environments import GymnaxEnv

    gymnax = _import("gymnax")
    if env_id not in gymnax.registered_envs:
        near = suggest(env_id, gymnax.registered_envs)
        raise UserError(f"unknown task '{name}': gymnax has no {env_id!r}{near}")
    try:
        env, params = gymnax.make(env_id)
    except Exception as error:  # some download data
        raise UserError(f"task '{name}' cannot be made: {type(error).__name__}: {error}") from error
    known = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    for key, value in keywords.items():
        if key not in known:
            expected = suggest(key, known) or f", expected one of {', '.join(sorted(known))}"
            raise UserError(f"task '{name}' has no parameter '{key}'{expected}")
        kinds = int | float if isinstance(known[key], float) else type(known[key])
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(known[key], bool):
            raise UserError(f"task '{name}' has {key}={value!r}, expected a value like its default {known[key]!r}")
    return GymnaxEnv(env, dataclasses.replace(params, **keywords), name)


def _import(module: str) -> Any:
    """Import a package of environments.

    Raises:
        MissingDependency: MuJoCo Playground is not installed.
        UserError: gymnax is not installed, or the package cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name == module == "mujoco_playground":
            raise MissingDependency(module, "playground", "MuJoCo Playground") from error
        if error.name == module:
            # gymnax imports six without requiring it.
            raise UserError(f"{module} is not installed: pip install {module} six") from error
        raise UserError(f"{module} cannot be imported: {error}") from error
    except Exception as error:  # a graphics library that is missing, an incompatible version
        raise UserError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested settings with dotted names."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
