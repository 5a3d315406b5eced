"""The task that a run directory names: found without running code that only the directory asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from surefoot.errors import UserError
from surefoot.tasks.registry import Task, get_task


def get_run_task(name: str, given: str | Callable[[], Any] | None = None) -> Task:
    """Find the task of a run, as its config.json names it.

    A name with a colon ("module:callable", "module:id") imports the module. A run directory may come from a stranger,
    and importing or calling what it asks for would let it choose what runs here: any installed module, any file in
    the current folder. So such a name is followed only where the user says it too.

    Args:
        name: the entry "task" of config.json.
        given: what the user says the run was trained on, a name or the callable itself; None where they said nothing.

    Raises:
        UserError: the name runs code and was not given, the given task is another one, or nothing has this name.
    """
    if given is None and ":" in name:
        raise UserError(
            f"this run was trained on {name[:200]!r}, and no code runs because a run directory names it: if you trust "
            "it, say so with --task and that name, or from Python with task= and the name or the callable"
        )
    resolved = get_task(name if given is None else given)
    if resolved.name != name:
        raise UserError(f"this run was trained on {name[:200]!r}, not on {resolved.name!r}")
    return resolved
