"""Tasks named by run directories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from surefoot.errors import UserError
from surefoot.tasks.registry import Task, get_task


def get_run_task(name: str, given: str | Callable[[], Any] | None = None) -> Task:
    """Find the task of a run by the name in its config.json, without running code that only the run names.

    A name with a colon ("module:callable", "module:id") imports a module. A run directory may be untrusted and could
    thereby run any installed module or any file in the current directory, so such a name must also be given by the
    user.

    Args:
        name: Entry "task" of config.json.
        given: Task given by the user, as a name or a callable, or None.

    Raises:
        UserError: The name runs code and was not given, the given task has another name, or no task has this name.
    """
    if given is None and ":" in name:
        raise UserError(
            f"this run was trained on {name[:200]!r}, and a name in a run directory does not run code: if you trust "
            "it, pass --task with that name, or in Python task= with the name or the callable"
        )
    task = get_task(name if given is None else given)
    if task.name != name:
        raise UserError(f"this run was trained on {name[:200]!r}, not on {task.name!r}")
    return task
