"""Tasks by name, Gymnasium id or callable."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium

from surefoot.errors import UserError, suggest
from surefoot.keywords import check_keywords
from surefoot.tasks.engines import PREFIX, id_task
from surefoot.tasks.gymnasium import (
    call_factory,
    call_target,
    make_from_callable,
    make_from_target,
    make_mujoco,
    make_registered,
)
from surefoot.tasks.jax_tasks import JAX_PREFIXES, jax_id_task
from surefoot.tasks.naming import callable_name
from surefoot.tasks.partials import split_gymnasium_make, split_partial
from surefoot.tasks.suites import list_tasks
from surefoot.tasks.targets import import_target, load_callable, require_callable
from surefoot.tasks.task import Task, env_task
from surefoot.tasks.third_party import how_to_register


def get_task(target: str | Callable[..., gymnasium.Env[Any, Any]], env_set: Mapping[str, Any] | None = None) -> Task:
    """Return a task without starting a simulator.

    Args:
        target: A name from `list_tasks` (ignoring case and the difference between - and _); a registered Gymnasium id;
            "envpool/ID", "playground/ID" or "gymnax/ID";
            "module:callable" or "module:id", which import the module, also from the current directory; or a callable
            that returns a `gymnasium.Env`, whose arguments `functools.partial` or `env_set` supply.
            `functools.partial(gymnasium.make, id)` is the task of the id.
        env_set: Keywords with which the environment is made: values that JSON can hold.

    Raises:
        UserError: There is no such task, its module cannot be imported, it does not take these keywords, or the
            callable needs others.
    """
    keywords = {} if env_set is None else check_keywords(env_set)
    if "render_mode" in keywords:
        raise UserError("env_set cannot have 'render_mode': environments are made for rendering by `surefoot record`")
    return _callable_task(target, keywords) if not isinstance(target, str) else _named_task(target, keywords)


def _named_task(target: str, keywords: dict[str, Any]) -> Task:
    if (task := _by_spelling().get(_spelling(target))) is not None:
        return _with_keywords(task, keywords)
    if target.startswith(PREFIX):
        if keywords:
            raise UserError(f"task '{target}' takes no keywords, got '{next(iter(keywords))}'")
        return id_task(target)
    if target.startswith(JAX_PREFIXES):
        return jax_id_task(target, keywords)
    if ":" in target:
        return _module_task(target, keywords)
    return _registered_task(target, target, keywords)


def _with_keywords(task: Task, keywords: dict[str, Any]) -> Task:
    """Return a task of the static table with keywords, which may change its sizes."""
    if not keywords:
        return task
    if task.suite != "gymnasium":
        raise UserError(
            f"task '{task.name}' takes no keywords, got '{next(iter(keywords))}': registered Gymnasium ids and "
            "module:callable do"
        )
    source = functools.partial(make_mujoco, task.name, keywords)
    return env_task(task.name, task.suite, source, keywords=keywords, horizon=_horizon(keywords, task.horizon))


def _callable_task(given: Callable[..., Any], keywords: dict[str, Any]) -> Task:
    if not callable(given):
        raise UserError(f"a task is a name or a callable that returns a gymnasium.Env, got {given!r}")
    if (registered := split_gymnasium_make(given)) is not None:
        env_id, own = registered
        return _named_task(env_id, check_keywords(_merged(own, keywords, env_id)))
    factory, own = split_partial(given)
    name, note = callable_name(factory)
    keywords = _merged(own, keywords, name)
    require_callable(factory, name, keywords)
    source = functools.partial(make_from_callable, factory, name, keywords)
    task = env_task(name, "callable", source, keywords=keywords)
    return dataclasses.replace(task, note=note, factory=functools.partial(call_factory, factory, name, keywords))


def _merged(own: dict[str, Any], keywords: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the keywords of a partial and of ``env_set``.

    Raises:
        UserError: They give one keyword two values, or the partial gives a render mode.
    """
    if "render_mode" in own:
        raise UserError(
            f"task '{name}' has the keyword render_mode={own['render_mode']!r} in the callable: leave it out, "
            "environments are made for rendering by `surefoot record`"
        )
    for key in own.keys() & keywords.keys():
        if own[key] != keywords[key]:
            raise UserError(
                f"task '{name}' has two values of the keyword '{key}': {own[key]!r} in the callable, {keywords[key]!r} "
                "in env_set"
            )
    return own | keywords


def _module_task(target: str, keywords: dict[str, Any]) -> Task:
    module = import_target(target)
    name = target.rpartition(":")[2]
    if name not in gymnasium.registry:
        with contextlib.suppress(Exception):  # a convention of packages that do not register ids on import
            module.register_envs()
    # A Python name may also be an id that the module has registered.
    if name in gymnasium.registry or "-" in name or "/" in name:
        return _registered_task(name, target, keywords)
    load_callable(target, keywords)  # errors show here instead of in every worker
    task = env_task(target, "module", functools.partial(make_from_target, target, keywords), keywords=keywords)
    return dataclasses.replace(task, factory=functools.partial(call_target, target, keywords))


def _registered_task(env_id: str, name: str, keywords: dict[str, Any]) -> Task:
    try:
        spec = gymnasium.spec(env_id)
    except gymnasium.error.Error as error:
        raise _unknown(env_id, name, error) from error
    source = functools.partial(make_registered, spec, keywords, name)
    return env_task(name, "gymnasium", source, keywords=keywords, horizon=_horizon(keywords, spec.max_episode_steps))


def _unknown(env_id: str, name: str, error: Exception) -> UserError:
    if ":" not in name and (known := how_to_register(env_id)) is not None:
        return UserError(f"unknown task '{name}': {known}")
    is_clear = isinstance(error, gymnasium.error.NameNotFound | gymnasium.error.VersionNotFound)
    reason = "" if is_clear else f" ({' '.join(str(error).split())})"
    if ":" in name:  # the module has registered others
        module = name.rpartition(":")[0]
        near = suggest(name, [f"{module}:{known}" for known in gymnasium.registry if not _is_of_gymnasium(known)], 0.8)
    else:
        near = _with_colon(name) or suggest(env_id, [task.name for task in list_tasks()] + list(gymnasium.registry))
    return UserError(
        f"unknown task '{name}'{near}{reason}; `surefoot tasks` lists the known names, any registered Gymnasium id "
        "works too, and so does module:callable"
    )


def _is_of_gymnasium(env_id: str) -> bool:
    return str(gymnasium.registry[env_id].entry_point).startswith("gymnasium.")


def _horizon(keywords: dict[str, Any], registered: int | None) -> int | None:
    """Return the time limit of a registered environment; `gymnasium.make` has a keyword for it, -1 for none."""
    steps = keywords.get("max_episode_steps")
    if steps is None:
        return registered
    return steps if isinstance(steps, int) and steps > 0 else None


def _with_colon(name: str) -> str:
    """Suggest module:callable for module.callable."""
    module, _, attribute = name.rpartition(".")
    is_dotted = module and all(part.isidentifier() for part in name.split("."))
    return f"; did you mean '{module}:{attribute}'?" if is_dotted else ""


@functools.cache
def _by_spelling() -> dict[str, Task]:
    return {_spelling(task.name): task for task in list_tasks()}


def _spelling(name: str) -> str:
    return name.lower().replace("_", "-")
