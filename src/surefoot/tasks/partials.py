"""Environments given as ``functools.partial``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, find_highest_version, parse_env_id

from surefoot.keywords import is_plain
from surefoot.tasks.targets import import_target


def split_gymnasium_make(factory: Any) -> tuple[str, dict[str, Any]] | None:
    """Return id and keywords of ``functools.partial(gymnasium.make, id, ...)``.

    Args:
        factory: Any callable.

    Returns:
        The id with its version, as "module:id" where it was given so; None for other callables, keywords that JSON
        cannot hold, and specifications that differ from the registered one.
    """
    if not isinstance(factory, functools.partial) or factory.func is not gymnasium.make:
        return None
    try:
        given = inspect.signature(gymnasium.make).bind(*factory.args, **factory.keywords).arguments
    except TypeError:
        return None
    keywords = dict(given.get("kwargs", {}))
    if given.get("max_episode_steps") is not None:
        keywords["max_episode_steps"] = given["max_episode_steps"]
    env_id = _registered_id(given["id"])
    return None if env_id is None or not is_plain(keywords) else (env_id, keywords)


def _registered_id(given: Any) -> str | None:
    if isinstance(given, EnvSpec):
        return given.id if gymnasium.registry.get(given.id) == given else None
    if not isinstance(given, str):
        return None
    module, colon, env_id = given.rpartition(":")
    if colon:
        import_target(given)
    try:
        namespace, name, version = parse_env_id(env_id)
    except gymnasium.error.Error:
        return None
    if version is None and env_id not in gymnasium.registry:
        if (version := find_highest_version(namespace, name)) is None:
            return given
        env_id = f"{env_id}-v{version}"
    return f"{module}{colon}{env_id}"


def split_partial(factory: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return a callable and the keywords that a partial gives it, if these are all that it gives and JSON holds them.

    Args:
        factory: Any callable.

    Returns:
        The callable without its keywords and the keywords, or the callable as it is and none.
    """
    if isinstance(factory, functools.partial) and not factory.args and is_plain(factory.keywords):
        return factory.func, dict(factory.keywords)
    return factory, {}
