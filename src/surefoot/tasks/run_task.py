"""Tasks named by run directories."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from surefoot.errors import UserError
from surefoot.keywords import check_keywords, may_name_code
from surefoot.tasks.naming import arguments_text
from surefoot.tasks.registry import get_task
from surefoot.tasks.task import Task


def get_run_task(
    name: str, given: str | Callable[..., Any] | None = None, env_set: Mapping[str, Any] | None = None
) -> Task:
    """Find the task of a run by the name in its config.json, without running code that only the run names.

    A name with a colon ("module:callable", "module:id") imports a module. A run directory may be untrusted and could
    thereby run any installed module or any file in the current directory, so such a name must also be given by the
    user. The same holds for keywords with a colon, since some environments make others by such names.

    Args:
        name: Entry "task" of config.json.
        given: Task given by the user, as a name, with or without its keywords, or a callable; or None.
        env_set: Entry "env_set" of config.json.

    Raises:
        UserError: The name runs code and was not given, the given task has another name, or no task has this name.
    """
    keywords = {} if env_set is None else check_keywords(env_set, "env_set of this run's config.json")
    suffix = arguments_text((), keywords)
    if not name.endswith(suffix):
        raise UserError(f"this run's config.json has the task {name[:200]!r}, expected one that ends with {suffix}")
    base = name.removesuffix(suffix)
    if given is None and (":" in base or may_name_code(keywords)):
        raise UserError(
            f"this run was trained on {name[:200]!r}, and a name in a run directory does not run code: if you trust "
            "it, pass --task with that name, or in Python task= with the name or the callable"
        )
    target = base if given is None else given.removesuffix(suffix) if isinstance(given, str) else given
    task = get_task(target, keywords)
    # "module:id" and an id that a script has registered by an import are one environment.
    if task.suite == "gymnasium" and (task.name.endswith(f":{name}") or name.endswith(f":{task.name}")):
        return dataclasses.replace(task, name=name)
    if task.name != name:
        raise UserError(f"this run was trained on {name[:200]!r}, not on {task.name!r}")
    return task
