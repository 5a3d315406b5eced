"""config.json of a run: writing it, and reading a run back from it."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from surefoot.algorithms import algorithm_from_data, to_data
from surefoot.errors import UserError
from surefoot.machine import describe_machine
from surefoot.networks.validation import one_line
from surefoot.runs import RunDirectory
from surefoot.tasks import Task, get_run_task
from surefoot.training.config import CADENCES, TrainConfig
from surefoot.training.plan import Plan, make_plan
from surefoot.training.warm_start.info import WarmStartInfo

_CHANGEABLE = ("env_steps", *CADENCES, "curvature", "env_workers")


def describe_run(config: TrainConfig, plan: Plan, task: Task) -> dict[str, Any]:
    """Return the fully resolved configuration for config.json."""
    names = ("num_seeds", "seed", "env_steps", *CADENCES, "precision", "overlap", "curvature")
    return {
        "task": task.name,
        "suite": task.suite,
        "algorithm": to_data(config.algorithm),
        **{name: getattr(config, name) for name in names},
        "seeds": list(plan.seeds),
        "replay_capacity": config.replay_capacity,
        "env_workers": config.env_workers,
        "warm_start": plan.warm_start.to_data(),
        "resolved": {
            "action_repeat": plan.action_repeat,
            "discount": plan.discount,
            "agent_steps": plan.agent_steps,
            "replay_capacity": plan.capacity,
        },
        "machine": describe_machine(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [_program(sys.argv[0]), *sys.argv[1:]],
    }


def _program(path: str) -> str:
    """Name what was run: "surefoot", however its command line was started, or a user's own script."""
    name = Path(path).name
    return "surefoot" if name == "__main__.py" else name


def read_run(
    directory: RunDirectory, task: str | Callable[[], Any] | None, changes: dict[str, Any]
) -> tuple[TrainConfig, Task, Plan]:
    """Return what a run directory says that its run is.

    Args:
        directory: of the run.
        task: what the user says it was trained on; see ``tasks.get_run_task``.
        changes: settings to change; only those that leave what is trained as it is.

    Raises:
        UserError: config.json is damaged, the task's own settings have changed since, or a change is not allowed.
    """
    if unknown := sorted(changes.keys() - set(_CHANGEABLE)):
        raise UserError(
            f"a resumed run cannot change {unknown[0]!r}: only {', '.join(_CHANGEABLE)} leave what is trained as it is"
        )
    resolved = get_run_task(_entry(directory, "task", str), task)
    settings = {name: _entry(directory, name, int) for name in ("num_seeds", "seed", "env_steps", *CADENCES)}
    settings |= {"curvature": _flag(directory, "curvature")}
    # Runs made before there were these have neither.
    if "precision" in directory.config:
        settings |= {"precision": _entry(directory, "precision", str)}
    if "overlap" in directory.config:
        settings |= {"overlap": _flag(directory, "overlap")}
    settings |= {name: _entry(directory, name, int | None) for name in ("replay_capacity", "env_workers")}
    algorithm = algorithm_from_data(_entry(directory, "algorithm", dict))
    warm_start = WarmStartInfo.from_data(directory.config.get("warm_start"))
    config = TrainConfig(
        task=task or resolved.name,
        algorithm=algorithm,
        init_from=None if warm_start.init_from is None else Path(warm_start.init_from),
        init_replay=warm_start.init_replay,
        prefill=warm_start.prefill,
        **(settings | changes),
    )
    if config.env_steps < settings["env_steps"]:
        raise UserError(
            f"env_steps can only grow when a run is resumed: it was {settings['env_steps']:,}, got {config.env_steps:,}"
        )
    plan = make_plan(config, resolved, warm_start)
    _refuse_other_plan(directory, plan)
    return config, resolved, plan


def _entry(directory: RunDirectory, name: str, kind: Any) -> Any:
    """Return an entry of config.json, which somebody may have edited."""
    value = directory.config.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        expected = getattr(kind, "__name__", str(kind))
        raise UserError(f"{directory.path / 'config.json'}: {name} is {one_line(value)}, expected {expected}")
    return value


def _flag(directory: RunDirectory, name: str) -> bool:
    """Return an entry that is true or false."""
    value = directory.config.get(name)
    if not isinstance(value, bool):
        raise UserError(f"{directory.path / 'config.json'}: {name} is {one_line(value)}, expected true or false")
    return value


def _refuse_other_plan(directory: RunDirectory, plan: Plan) -> None:
    """Refuse to go on where the task's own settings have changed since."""
    stored = _entry(directory, "resolved", dict)
    for name in ("action_repeat", "discount"):
        if stored.get(name) != getattr(plan, name):
            raise UserError(
                f"this run was trained with {name} {one_line(stored.get(name))}, which is now {getattr(plan, name)}"
            )
